package producer

import (
	"fmt"
	"slices"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// A one-shot command is a list of stages; each begins when all tasks of the one before have ended.
type stage func(now time.Time)

// syncStages are one complete pass (design §7): polls, children, probes, due sweeps, children of what those brought.
func (e *engine) syncStages() []stage {
	return []stage{
		e.eachStream(func(s *stream, _ time.Time) {
			if s.Read != schema.Children {
				e.task(s, "poll", e.pollClass(s), e.syncPoll)
			}
		}),
		e.kick,
		e.eachStream(func(s *stream, now time.Time) {
			switch {
			case s.Read == schema.Children:
				e.rotateIfDue(s, now)
			case s.probed() && !s.whole && !s.reading():
				e.task(s, "probe", probing, e.probeAndMend)
			}
		}),
		e.eachStream(func(s *stream, now time.Time) {
			if s.Read != schema.Children && !s.whole {
				e.sweepIfDue(s, now)
			}
		}),
		e.kick,
		e.completeChildren,
	}
}

func (e *engine) eachStream(do func(*stream, time.Time)) stage {
	return func(now time.Time) {
		for _, s := range e.streams {
			do(s, now)
		}
	}
}

func (e *engine) pollClass(s *stream) class {
	if s.reading() {
		return backfill
	}
	return live
}

func (e *engine) syncPoll(t *task, s *stream) error {
	poll := e.poll
	if s.reading() && s.byChanges() {
		poll = e.firstRead
	}
	if err := poll(t, s); err != nil || !s.hasTimers() {
		return err
	}
	return e.pollTimers(t, s)
}

// completeChildren moves the moment up to which child streams are complete to their parents' (S9), or to the first change after which a
// list was read early and not again yet.
func (e *engine) completeChildren(time.Time) {
	for _, s := range e.streams {
		if s.Read != schema.Children || len(s.queue) > 0 || s.busy["children"] || s.blocked != nil || s.parent.reading() {
			continue
		}
		to := s.parent.ck.Cursor
		if len(s.early) > 0 {
			if first := time.Unix(int64(s.early[0].stamp), 0).UTC(); first.Before(to) {
				to = first
			}
		}
		if to.After(s.ck.Cursor) {
			s.ck.Cursor, s.dirty = to, true
		}
	}
}

// sweepStages are `producer sweep`: the streams named, whole, then what their deletes took along. The lists of a child stream that was
// never read are read as of changed parents; else anew from the first on, whatever a round under way has read.
func (e *engine) sweepStages(names []string) []stage {
	return []stage{
		func(time.Time) {
			for _, name := range names {
				if s := e.byName[name]; s.Read != schema.Children {
					e.task(s, "sweep", background, e.sweepWhole)
				} else if s.parent.reading() {
					e.task(s.parent, "sweep", background, e.sweepWhole)
				}
			}
		},
		func(time.Time) {
			for _, name := range names {
				if s := e.byName[name]; s.Read == schema.Children && !s.ck.Round.Began.IsZero() {
					s.ck.Round.Done = true
					e.task(s, "rotate", background, e.rotate)
				}
			}
		},
		func(now time.Time) {
			if !e.dryRun {
				e.kick(now)
			}
		},
	}
}

// sweepWhole sweeps a stream, once it has been read at all. Of one object reading it is all there is.
func (e *engine) sweepWhole(t *task, s *stream) error {
	if s.Read == schema.Single {
		return e.pollObject(t, s)
	}
	if s.reading() && s.byChanges() && !e.dryRun {
		if err := e.firstRead(t, s); err != nil {
			return err
		}
	}
	return e.sweep(t, everything)
}

// outcome is what a one-shot command ends with: the first trouble of a stream it was about.
func (e *engine) outcome() error {
	for _, s := range e.streams {
		if !e.about(s) {
			continue
		}
		if s.brakedAt > 0 && (!e.dryRun || s.stops > 0) { // a dry run tells of its own finds
			e.fail(s, ops.Fail(ops.ExitData, fmt.Errorf("stream %s: %d rows are missing in Harvest and were not deleted: answer with `producer sweep %s --allow-deletes %d`",
				s.Name, s.brakedAt, s.Name, s.brakedAt)))
		}
		if n := len(s.restores); n > 0 {
			e.log.Warn("rows went back to an older version; they are published when they are seen so again, more than a lookback later", "stream", s.Name, "rows", n)
		}
	}
	for _, f := range e.failures {
		if f.s == nil || e.about(f.s) {
			return f.err
		}
	}
	return nil
}

// about says whether a one-shot command was asked about a stream.
func (e *engine) about(s *stream) bool { return e.asked == nil || slices.Contains(e.asked, s.Name) }

// confirmNoted reads by GET what may only be published so: keys met after their tombstone (P7), and rows with a lower stamp, a lookback
// after a sweep first saw them (P5). Child rows without a GET are shown by their parent's second list.
func (e *engine) confirmNoted(t *task, s *stream) error {
	for len(s.revivals) > 0 {
		r := s.revivals[0]
		if err := e.lookAgain(t, s, r.id, r.owner, 0); err != nil {
			return err
		}
		s.revivals = s.revivals[1:]
	}
	for e.restoreDue(s, time.Now()) {
		id := s.restores[0].ID
		if x := s.index.get(id); x != nil { // else its topic was lost, and it is read again
			if err := e.lookAgain(t, s, id, x.owner, id); err != nil {
				return err
			}
		}
		s.restores, s.dirty = s.restores[1:], true
	}
	return nil
}

// restoreDue says whether a lookback has passed since a sweep first met a row older than it was published (P5).
func (e *engine) restoreDue(s *stream, now time.Time) bool {
	return len(s.restores) > 0 && e.surely(now).Sub(s.restores[0].At) > e.cfg.Lookback
}

// lookAgain reads one noted key; restored is it too where it may be taken back (P5).
func (e *engine) lookAgain(t *task, s *stream, id, owner, restored int64) error {
	if s.Get == "" {
		return e.secondLook(t, s, owner, restored, func(ids []int64) error { return e.buryChildren(t, s, ids) })
	}
	return e.look(t, s, id, owner, sight{cause: bySweep, confirmed: true, restored: restored})
}
