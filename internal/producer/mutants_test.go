package producer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a rule broken on purpose: a piece of the code replaced by a plausible mistake.
type mutant struct {
	name     string
	file     string // from the repository's root
	old, new string
	by       string // what catches it, tried first: a seed of the simulation, or else a test
}

// broken are the mistakes that must not survive the tests of this package.
var broken = []mutant{
	{"P4: cursor from the end of the poll, without a lookback", "internal/producer/poll.go",
		"{ e.moveCursor(s, w) }", "{ s.ck.Cursor = e.serverTime(time.Now()) }", ""},
	{"P4: no lookback", "internal/producer/poll.go", "	next := w.floor.Add(-e.cfg.Lookback)\n", "	next := w.floor\n", ""},
	{"P4: cursor from the largest updated_at", "internal/producer/poll.go", "{ e.moveCursor(s, w) }",
		"{ s.index.all(func(x *entry) { s.ck.Cursor = later(s.ck.Cursor, time.Unix(int64(x.stamp), 0)) }) }", ""},
	{"P4: the cursor moves although a walk failed", "internal/producer/poll.go",
		"		if err != nil {\n			return err\n		}\n		if w.clean {", "		if err != nil {\n			break\n		}\n		if w.clean {", ""},
	{"P3: tombstones are not read back", "internal/producer/rebuild.go", "		e.flags = flagGone\n		r.s.index.put(e)\n", "		e.flags = flagGone\n", ""},
	{"P3: the index is not read to the end", "internal/producer/startup.go", "			to := ends[s.topic][part]\n", "			to := ends[s.topic][part] / 2\n", ""},
	{"P3: everything is published, changed or not", "internal/producer/decide.go", "	case o.hash == e.hash:\n		return same\n", "", ""},
	{"P5: an older stamp is published", "internal/producer/decide.go", "	case o.stamp < e.stamp:\n		return stale\n", "", ""},
	{"P5: the earlier of two requests wins", "internal/producer/decide.go", "	case o.stamp == e.stamp && o.req < e.req:\n		return stale\n", "", ""},
	{"P5: a restore is never believed", "internal/producer/observe.go", "	case v == stale && how.restored == c.id && old.hash != c.rec.Hash && c.req > old.req:\n		v = update", "	case false:\n		v = update", ""},
	{"P6: only the first page is read", "internal/producer/poll.go", "			if next == \"\" {\n				// One answer", "			if true {\n				// One answer", ""},
	{"P7: what comes back from the dead is published unasked", "internal/producer/decide.go", "		return revive\n", "		return create\n", ""},
	{"P7: a page asked before a delete brings the row back", "internal/producer/decide.go", "		if o.req <= e.req {\n			return stale // asked before the delete was confirmed\n		}\n		return revive", "		return create", ""},
	{"P7: the brake is off", "internal/producer/brake.go", "	case c.unexplained+c.explained >= c.living:\n		return \"none of the stream is left\"\n	case c.unexplained+c.today > limit:", "	case false:", ""},
	{"P7: anybody's token deletes", "internal/producer/sweep.go", "return e.account.admin || e.cfg.Deletes == deletesOn }", "return true }", ""},
	{"P7: no GET before a tombstone", "internal/producer/sweep.go", "		case isGone(err):\n			gone = append(gone, id)\n		case harvest", "		case true:\n			gone = append(gone, id)\n		case harvest", ""},
	{"P7: children outlive their parent", "internal/producer/sweep.go", "			c.index.children(id, func(x *entry) { add(c, x.id, byParent) })", "			_ = c", ""},
	{"P7: one list is enough to miss a child", "internal/producer/children.go", "	for i := range 2 {\n		req, how", "	for i := 1; i < 2; i++ {\n		req, how", ""},
	{"P8: timers are not re-read", "internal/producer/poll.go", "	for _, id := range s.runningUnmet(first) {", "	for _, id := range s.runningUnmet(0) {", ""},
	{"P8: a timer's growth is published at every look", "internal/producer/observe.go", "		return !s.onlyGrew(c.rec, c.now, e.cfg.TimerResolution)", "		return true", ""},
	{"P8: children of changed parents wait for the rotating pass", "internal/producer/publish.go", "		case moved:\n", "		case false:\n", ""},
	{"P8: the rotating pass reads nothing", "internal/producer/children.go", "			if len(parents) == 0 {\n				return pending{}, false", "			if true {\n				return pending{}, false", ""},
	{"P8: nobody sweeps", "internal/producer/schedule.go", "	case s.sweepDue || now.Sub(s.ck.Swept) >= e.cfg.SweepInterval:", "	case false:", ""},
	{"P9: a burst of a whole window", "pkg/harvest/limit.go", "	burst := min(2, max(1, limit/4))\n", "	burst := limit\n", ""},
	{"P3: the last stable offset is taken for the end", "internal/kafka/topics.go", "ListEndOffsets(ctx, topics...)", "ListCommittedOffsets(ctx, topics...)", ""},
	{"P2: the checkpoint is written before its records are acknowledged", "internal/producer/publish.go", "	if err := e.commit(records); err != nil {",
		"	if err := e.flush(false); err != nil {\n		return err\n	}\n	if err := e.commit(records); err != nil {", ""},
	{"P6: a walk that drifted is taken for clean", "internal/producer/poll.go", "w.clean = len(seen) == 0 && rest.link == nil || end == start+incoming && met >= end", "w.clean = end+start+incoming+met >= 0", ""},
	{"P10: a sweep brings in what lies before the anchor", "internal/producer/observe.go", "	if old == nil && (how.sweeping || how.cause == byTimer) && s.anchored() && outside(c.rec, s.ck.Anchor) {", "	if false {", ""},
	{"P10: a later anchor moves", "internal/producer/rebuild.go", "	if p.cfg.Anchor.Time.Before(s.ck.Anchor) {", "	if true {", ""},
	{"P12: probes find nothing", "internal/producer/probe.go", "	return s.excess == s.excused, nil", "	return true, nil", ""},
	{"P1: seq starts again", "internal/producer/rebuild.go", "		s.ck, s.brakedAt = *ck, ck.Stopped\n", "		s.ck, s.brakedAt = *ck, ck.Stopped\n		s.ck.Partitions = make([]kafka.PartitionState, len(ck.Partitions))\n		r.account = -1\n", ""},
	{"P1: nobody looks whether another one lives", "internal/producer/startup.go", "	case p.TakeOver || last.SignedOff || deadHere(last):", "	case true:", ""},
	{"P1: the fenced one starts again", "internal/producer/startup.go", "	case strings.HasPrefix(last.Nonce, p.process):", "	case p.nonce != \"\" || strings.HasPrefix(last.Nonce, p.process):", ""},
	{"P2: a failed promise is overlooked", "internal/kafka/writer.go", "	if err := first.wait(); err != nil {\n		return inTime(ctx, err)\n	}\n", "	_ = first.wait()\n", ""},
	{"P2: the checkpoint goes its own way", "internal/producer/publish.go", "		return e.checkpoints(false)\n", "		return nil\n", ""},
	{"P15: a topic made again goes unnoticed", "internal/producer/rebuild.go", "		if s.ck.TopicID != s.topicID {", "		if false {", ""},
}

// Each mutant must still be a change of the code as it stands: a table of mistakes nobody could make proves nothing.
func TestMutantsApply(t *testing.T) {
	t.Parallel()
	for _, m := range broken {
		if text := source(t, m.file); strings.Count(text, m.old) != 1 {
			t.Errorf("%s: what it replaces stands %d times in %s", m.name, strings.Count(text, m.old), m.file)
		}
	}
}

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
