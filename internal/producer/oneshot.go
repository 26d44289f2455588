package producer

import (
	"errors"
	"fmt"
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
			case s.probed() && !s.whole:
				e.task(s, "probe", probing, e.syncProbe)
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
	if s.ck.Cursor.IsZero() {
		return backfill
	}
	return live
}

func (e *engine) syncPoll(t *task, s *stream) error {
	if err := e.poll(t, s); err != nil || !s.hasTimers() {
		return err
	}
	return e.pollTimers(t, s)
}

// syncProbe is P12 without waiting for the next minute: a difference, one more poll, still a difference: found and mended.
func (e *engine) syncProbe(t *task, s *stream) error {
	ok, err := e.probe(t, s)
	if err != nil || ok {
		return err
	}
	if err := e.poll(t, s); err != nil {
		return err
	}
	if ok, err = e.probe(t, s); err != nil || ok {
		return err
	}
	return e.reconcile(t, s)
}

// completeChildren moves the moment up to which child streams are complete to their parents' (S9).
func (e *engine) completeChildren(time.Time) {
	for _, s := range e.streams {
		if s.Read == schema.Children && len(s.queue) == 0 && s.blocked == nil && s.parent.ck.Cursor.After(s.ck.Cursor) {
			s.ck.Cursor, s.dirty = s.parent.ck.Cursor, true
		}
	}
}

// sweepStages are `producer sweep`: the streams named, whole, then what their deletes took along.
func (e *engine) sweepStages(names []string) []stage {
	return []stage{
		func(time.Time) {
			for _, name := range names {
				s := e.byName[name]
				if s.Read == schema.Children {
					e.task(s, "rotate", background, e.rotate)
					continue
				}
				e.task(s, "sweep", background, func(t *task, s *stream) error { return e.sweep(t, everything) })
			}
		},
		e.kick,
	}
}

// outcome is what a one-shot command ends with.
func (e *engine) outcome() error {
	for _, s := range e.streams {
		if s.brakedAt > 0 {
			e.fail(ops.Fail(ops.ExitData, fmt.Errorf("stream %s: %d rows are missing in Harvest and were not deleted: answer with `producer sweep %s --allow-deletes %d`",
				s.Name, s.brakedAt, s.Name, s.brakedAt)))
		}
		if n := len(s.restores); n > 0 {
			e.log.Warn("rows went back to an older version; the service publishes them once it has seen them so twice", "stream", s.Name, "rows", n)
		}
	}
	return e.failed
}

// confirmNoted reads by GET what may only be published so: keys met after their tombstone (P7), and rows with a lower stamp, a lookback
// after a sweep first saw them (P5). Child rows without a GET are shown by their parent's second list.
func (e *engine) confirmNoted(t *task, s *stream) error {
	ids := s.revivals
	s.revivals = nil
	for len(s.restores) > 0 && time.Since(s.restores[0].at) > e.cfg.Lookback {
		ids = append(ids, s.restores[0].id)
		s.restores = s.restores[1:]
	}
	for _, id := range ids {
		x := s.index.get(id)
		var err error
		if s.Get == "" {
			err = e.secondLook(t, s, x.owner, func(ids []int64) error { return e.buryChildren(t, s, ids) })
		} else {
			err = e.confirm(t, s, id, bySweep)
		}
		if err != nil && !errors.Is(err, errStopped) {
			s.revivals = append(s.revivals, id)
			return err
		}
	}
	return nil
}
