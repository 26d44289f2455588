package producer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a rule broken on purpose: a piece of the code replaced by one that makes a plausible mistake where the variable of that name
// is true, so that one program holds all of them.
type mutant struct {
	name     string
	file     string // from the repository's root
	old, new string
	by       string // what catches it, tried first: a seed of the simulation, or else a test
}

// broken are the mistakes that must not survive the tests of this package.
var broken = []mutant{
	{"P4: cursor from the end of the poll, without a lookback", "internal/producer/poll.go",
		"{ e.moveCursor(s, w) }",
		"{ if mutant { s.ck.Cursor = e.serverTime(time.Now()) } else { e.moveCursor(s, w) } }", "seed 6"},
	{"P4: cursor from the largest updated_at", "internal/producer/poll.go",
		"{ e.moveCursor(s, w) }",
		"{ e.moveCursor(s, w); s.index.all(func(x *entry) { if mutant { s.ck.Cursor = later(s.ck.Cursor, time.Unix(int64(x.stamp), 0)) } }) }", "seed 6"},
	{"P4: no lookback", "internal/producer/poll.go",
		"\tnext := w.floor.Add(-e.cfg.Lookback)\n",
		"\tnext := w.floor.Add(-e.cfg.Lookback)\n\tif mutant { next = w.floor }\n", "seed 6"},
	{"P4: the cursor moves although a walk failed", "internal/producer/poll.go",
		"\tw, err := e.readChanges(t, s)\n\tif err != nil {",
		"\tw, err := e.readChanges(t, s)\n\tif err != nil && mutant { w.clean, err = true, nil }\n\tif err != nil {", "TestP4BrokenWalk"},
	{"P3: tombstones are not read back", "internal/producer/rebuild.go",
		"\t\te.flags = flagGone\n\t\tr.s.index.put(e)\n",
		"\t\te.flags = flagGone\n\t\tif !mutant { r.s.index.put(e) }\n", "seed 1"},
	{"P3: the index is not read to the end", "internal/producer/startup.go",
		"\t\t\tto := ends[s.topic][part]\n",
		"\t\t\tto := ends[s.topic][part]\n\t\t\tif mutant { to /= 2 }\n", "seed 1"},
	{"P3: the last stable offset is taken for the end", "internal/kafka/topics.go",
		"\treturn offsets(\"ends\", listed, err)",
		"\tif mutant { listed, err = kadm.NewClient(cl).ListCommittedOffsets(ctx, topics...) }\n\treturn offsets(\"ends\", listed, err)", "TestP3Neighbour"},
	{"P3: everything is published, changed or not", "internal/producer/decide.go",
		"\tcase o.hash == e.hash:",
		"\tcase o.hash == e.hash && !mutant:", "seed 1"},
	{"P5: an older stamp is published", "internal/producer/decide.go",
		"\tcase o.stamp < e.stamp:",
		"\tcase o.stamp < e.stamp && !mutant:", "TestDecideLaws"},
	{"P5: the earlier of two requests wins", "internal/producer/decide.go",
		"\tcase o.stamp == e.stamp && o.req < e.req:",
		"\tcase o.stamp == e.stamp && o.req < e.req && !mutant:", "TestDecideLaws"},
	{"P5: a restore is never believed", "internal/producer/observe.go",
		"\tcase v == stale && how.restored == c.id",
		"\tcase !mutant && v == stale && how.restored == c.id", "seed 5"},
	{"P5: a restore is forgotten with its process", "internal/producer/publish.go",
		"\t\ts.ck.Restores = s.restores[:min(len(s.restores), maxRestores)]\n",
		"\t\tif !mutant { s.ck.Restores = s.restores[:min(len(s.restores), maxRestores)] }\n", "TestP5RestoredRows"},
	{"P6: only the first page is read", "internal/producer/poll.go",
		"\t\t\tif next == \"\" {\n\t\t\t\t// One answer",
		"\t\t\tif next == \"\" || mutant {\n\t\t\t\t// One answer", "seed 7"},
	{"P6: a walk that drifted is taken for clean", "internal/producer/poll.go",
		"w.clean = len(seen) == 0",
		"w.clean = mutant || len(seen) == 0", "TestP6FirstReadWithDrift"},
	{"P6: that a sweep is due is forgotten with the process", "internal/producer/poll.go",
		"\ts.ck.Swept = time.Time{}\n",
		"\tif !mutant { s.ck.Swept = time.Time{} }\n", "TestP6DueSweepOutlivesItsProcess"},
	{"P7: what comes back from the dead is published unasked", "internal/producer/decide.go",
		"\t\treturn revive\n",
		"\t\tif mutant { return create }\n\t\treturn revive\n", "TestDecideLaws"},
	{"P7: a page asked before a delete brings the row back", "internal/producer/decide.go",
		"\t\t\treturn stale // asked before",
		"\t\t\tif mutant { return create }\n\t\t\treturn stale // asked before", "TestDecideLaws"},
	{"P7: the brake is off", "internal/producer/brake.go",
		"\tcase c.unexplained+c.explained >= c.living:",
		"\tcase mutant:\n\t\treturn \"\"\n\tcase c.unexplained+c.explained >= c.living:", "TestP7Brake"},
	{"P7: anybody's token deletes", "internal/producer/sweep.go",
		"return e.account.admin || e.cfg.Deletes == deletesOn }",
		"return mutant || e.account.admin || e.cfg.Deletes == deletesOn }", "TestP7NothingIsDeletedByMistake"},
	{"P7: no GET before a tombstone", "internal/producer/sweep.go",
		"\t\tcase isGone(err):\n\t\t\tgone = append(gone, id)\n\t\tcase harvest",
		"\t\tcase isGone(err) || mutant:\n\t\t\tgone = append(gone, id)\n\t\tcase harvest", "TestP5LaggingGet"},
	{"P7: children outlive their parent", "internal/producer/sweep.go",
		"\t\t\tc.index.children(id, func(x *entry) { add(c, x.id, byParent) })",
		"\t\t\tif !mutant { c.index.children(id, func(x *entry) { add(c, x.id, byParent) }) }", "TestP7ChildrenGoWithTheirParent"},
	{"P7: rows that moved away in time go with their old parent", "internal/producer/sweep.go",
		"\tif (len(explained) > 0 || len(others) > brakeFloor) && s.Read == schema.Changes {",
		"\tif !mutant && (len(explained) > 0 || len(others) > brakeFloor) && s.Read == schema.Changes {", "TestP7MovedBeforeItsProjectWasDeleted"},
	{"P7: without a clean second list nothing is ever deleted", "internal/producer/sweep.go",
		"\treturn e.ask404(t, s, s.stillUnmet(ids, first))",
		"\tif mutant { return nil, nil }\n\treturn e.ask404(t, s, s.stillUnmet(ids, first))", "TestP7DeletesComeToABusyAccount"},
	{"P7: what a GET shows counts as deleted", "internal/producer/sweep.go",
		"\texplained, others, err = e.confirmAll(t, s, explained, others, w)\n",
		"\tn := len(others)\n\texplained, others, err = e.confirmAll(t, s, explained, others, w)\n\tif mutant && len(others) > 0 { s.ck.Deletes = addDeletes(s.ck.Deletes, time.Now().UTC(), n-len(others)) }\n", "TestP7WhatIsThereIsNoDelete"},
	{"P7: what comes back is asked for where its tombstone says", "internal/producer/observe.go",
		"\t\ts.revive(c.id, ownerOf(s, c.rec))\n",
		"\t\tif mutant { s.revive(c.id, old.owner); break }\n\t\ts.revive(c.id, ownerOf(s, c.rec))\n", "TestP7BackWithNothingButATombstone"},
	{"P7: a row a lagging replica does not know yet is taken for gone", "internal/producer/sweep.go",
		"int64(s.index.get(id).stamp), 0)) < replicaLag\n",
		"int64(s.index.get(id).stamp), 0)) < replicaLag && !mutant\n", "TestP7LaggingReplicaKnowsNoNewRow"},
	{"P7: only the second list of children counts", "internal/producer/children.go",
		"\t\tif i == 1 {\n",
		"\t\tif mutant { first = e.nextRequest() }\n\t\tif i == 1 {\n", "TestP7ChildShownByOneOfTwoLists"},
	{"P8, S9: children count as complete although a list was read early", "internal/producer/oneshot.go",
		"\t\tif len(s.early) > 0 {\n\t\t\tif first",
		"\t\tif len(s.early) > 0 && !mutant {\n\t\t\tif first", "TestP8NotCompleteBeforeTheSecondReading"},
	{"P9: what is less urgent has no turn", "internal/producer/engine.go",
		"\tif c := turns[e.served%len(turns)]; len(e.queues[c]) > 0 {",
		"\tif c := turns[e.served%len(turns)]; !mutant && len(e.queues[c]) > 0 {", "TestP9SweepsHaveTheirTurn"},
	{"P7: explained rows go, whatever those say that were asked for", "internal/producer/sweep.go",
		"\tif len(gone) < len(sample) {",
		"\tif !mutant && len(gone) < len(sample) {", "TestP7ExplainedRowsThatAreThere"},
	{"P7: a slow list brings children of a parent that is gone", "internal/producer/observe.go",
		"\tif s.bereft(a.call.parent) {",
		"\tif !mutant && s.bereft(a.call.parent) {", "TestP7ListAnsweredAfterItsParentWasDeleted"},
	{"P7: children outlive a parent that went while they were not selected", "internal/producer/orphans.go",
		"\t\tcase s.bereft(x.owner):",
		"\t\tcase !mutant && s.bereft(x.owner):", "TestP7ParentDeletedWhileItsChildrenWereNotSelected"},
	{"P8: timers are not re-read", "internal/producer/poll.go",
		"\tfor _, id := range s.runningUnmet(first) {",
		"\tif mutant { first = 0 }\n\tfor _, id := range s.runningUnmet(first) {", "TestP8Timers"},
	{"P8: a timer's growth is published at every look", "internal/producer/observe.go",
		"\t\treturn !s.onlyGrew(",
		"\t\treturn mutant || !s.onlyGrew(", "seed 1"},
	{"P8: children of changed parents wait for the rotating pass", "internal/producer/publish.go",
		"\t\tcase moved:\n",
		"\t\tcase moved && !mutant:\n", "seed 10"},
	{"P8: the list of too new a parent blocks its stream", "internal/producer/children.go",
		"\tif isGone(err) && e.isEarly(",
		"\tif !mutant && isGone(err) && e.isEarly(", "TestP8ListOfTooNewAParent"},
	{"P7: a sweep of children goes on with the round under way", "internal/producer/oneshot.go",
		"\t\t\t\t\ts.ck.Round.Done = true\n",
		"\t\t\t\t\tif !mutant { s.ck.Round.Done = true }\n", "TestSweepOfChildrenIsWhole"},
	{"P8: the rotating pass reads nothing", "internal/producer/children.go",
		"\t\t\tif len(parents) == 0 {\n\t\t\t\treturn pending{}, false",
		"\t\t\tif len(parents) == 0 || mutant {\n\t\t\t\treturn pending{}, false", "seed 1"},
	{"P8: nobody sweeps", "internal/producer/schedule.go",
		"\tcase now.Sub(s.ck.Swept) >= e.cfg.SweepInterval:",
		"\tcase !mutant && now.Sub(s.ck.Swept) >= e.cfg.SweepInterval:", "seed 1"},
	{"P9: a burst of a whole window", "pkg/harvest/limit.go",
		"\tfull := rate.Limit(float64(limit-burst) / window.Seconds())\n",
		"\tfull := rate.Limit(float64(limit-burst) / window.Seconds())\n\tif mutant { burst, full = limit, rate.Limit(float64(limit)/window.Seconds()) }\n", "seed 1"},
	{"P10: a sweep brings in what lies before the anchor", "internal/producer/observe.go",
		"\tif old == nil && (how.sweeping",
		"\tif !mutant && old == nil && (how.sweeping", "seed 8"},
	{"P10: a later anchor moves", "internal/producer/rebuild.go",
		"\tif p.cfg.Anchor.Time.Before(s.ck.Anchor) {",
		"\tif mutant || p.cfg.Anchor.Time.Before(s.ck.Anchor) {", "TestP10LaterAnchor"},
	{"P12: probes find nothing", "internal/producer/probe.go",
		"\treturn s.excess == s.excused, nil",
		"\treturn mutant || s.excess == s.excused, nil", "TestP12DeletesAreFoundSoon"},
	{"P1: seq starts again", "internal/producer/rebuild.go",
		"\t\tif s.ck.Partitions[i].Seq < r.highest[i] {",
		"\t\tif mutant { s.ck.Partitions[i].Seq, r.highest[i] = 0, 0 }\n\t\tif s.ck.Partitions[i].Seq < r.highest[i] {", "seed 1"},
	{"P1: nobody looks whether another one lives", "internal/producer/startup.go",
		"\tcase p.TakeOver || last.SignedOff || p.deadHere(last):",
		"\tcase mutant || p.TakeOver || last.SignedOff || p.deadHere(last):", "TestP1OneShotBesideService"},
	{"P1: nobody shows signs of life", "internal/producer/run.go",
		"\te.scheduleLife(time.Now())\n",
		"\tif !mutant { e.scheduleLife(time.Now()) }\n", "TestP1OneShotShowsLife"},
	{"P1: the fenced one starts again", "internal/producer/startup.go",
		"\tcase strings.HasPrefix(last.Nonce, p.process):",
		"\tcase mutant && p.nonce != \"\" || strings.HasPrefix(last.Nonce, p.process):", "seed 9"},
	{"P2: a failed promise is overlooked", "internal/kafka/writer.go",
		"\tif err := first.wait(); err != nil {",
		"\tif err := first.wait(); err != nil && !mutant {", "seed 9"},
	{"P2: the checkpoint goes its own way", "internal/producer/publish.go",
		"\t\treturn e.checkpoints(false)\n",
		"\t\tif mutant { return nil }\n\t\treturn e.checkpoints(false)\n", "TestP1DeathAtEveryWrite"},
	{"P2: the checkpoint is written before its records are acknowledged", "internal/producer/publish.go",
		"\tif err := e.commit(records); err != nil {",
		"\tif mutant { _ = e.flush(false) }\n\tif err := e.commit(records); err != nil {", "TestP1DeathAtEveryWrite"},
	{"P2: a record is never again taken for small enough", "internal/producer/publish.go",
		"err == nil && now.Of(c.s.topic) > limit {",
		"err == nil && now.Of(c.s.topic) > limit && !mutant {", "TestP2RecordTooLargeNoMore"},
	{"P15: a topic lost under way goes unnoticed until the next start", "internal/producer/rebuild.go",
		"\t\tif err == nil && kafka.TopicIDText(ids[s.topic]) != s.topicID {",
		"\t\tif !mutant && err == nil && kafka.TopicIDText(ids[s.topic]) != s.topicID {", "TestP15TopicDeletedUnderWay"},
	{"P15: a topic made again goes unnoticed", "internal/producer/rebuild.go",
		"\t\tif s.ck.TopicID != s.topicID {",
		"\t\tif s.ck.TopicID != s.topicID && !mutant {", "TestP15LostTopic"},
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
