package producer

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

const (
	heartbeatEvery   = 10 * time.Second // P1
	checkpointEvery  = 30 * time.Second // P2: twice a minute for a stream without changes
	companyEvery     = time.Minute      // modules (P11)
	topicsEvery      = time.Minute      // their ids (P15)
	blockedEvery     = time.Hour        // P11
	fullRefreshEvery = 10 * time.Minute // design §7
	idle             = time.Minute      // the longest the loop sleeps
)

// timers is what is to be done at some moment, the next first.
type timers struct {
	queue timerQueue
	n     int
}

type timer struct {
	at time.Time
	n  int // in order of setting where moments are equal, so that a run can be repeated
	do func(now time.Time)
}

type timerQueue []timer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, j int) bool {
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q timerQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)   { *q = append(*q, x.(timer)) }
func (q *timerQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func (t *timers) set(at time.Time, do func(time.Time)) {
	t.n++
	heap.Push(&t.queue, timer{at: at, n: t.n, do: do})
}

// every repeats do, first at once.
func (t *timers) every(d time.Duration, now time.Time, do func(time.Time)) {
	t.set(now, func(now time.Time) {
		t.every(d, now.Add(d), do)
		do(now)
	})
}

// fire runs what is due and returns how long until the next.
func (t *timers) fire(now time.Time) time.Duration {
	for len(t.queue) > 0 && !t.queue[0].at.After(now) {
		heap.Pop(&t.queue).(timer).do(now)
	}
	if len(t.queue) == 0 {
		return idle
	}
	return min(idle, t.queue[0].at.Sub(now))
}

// scheduleService sets the timers of `producer run`.
func (e *engine) scheduleService(now time.Time) {
	asking := false
	e.timers.every(companyEvery, now.Add(companyEvery), func(time.Time) {
		if asking {
			return
		}
		asking = true
		e.run("company", e.streams[0], live, e.readCompany, func(err error) {
			asking = false
			e.ended(nil, "company")(err)
		})
	})
	e.timers.every(topicsEvery, now.Add(topicsEvery), func(time.Time) { e.lookAtTopics() })
	for _, s := range e.streams {
		switch {
		case s.Read == schema.Children:
			e.timers.every(time.Minute, now, func(now time.Time) { e.rotateIfDue(s, now) })
		case s.whole && s.Read == schema.Changes:
			e.timers.every(fullRefreshEvery, now, func(time.Time) { e.task(s, "poll", background, e.poll) })
		default:
			e.timers.every(s.interval, now, func(now time.Time) { e.tick(s, now) })
			e.timers.every(time.Minute, now, func(now time.Time) { e.sweepIfDue(s, now) })
		}
	}
}

// scheduleLife sets the timers of any command that writes: signs of life (P1), and checkpoints that ride on no transaction (P2).
func (e *engine) scheduleLife(now time.Time) {
	e.timers.every(heartbeatEvery, now.Add(heartbeatEvery), func(now time.Time) {
		e.completeChildren(now)
		if err := e.flush(false, e.heartbeat(false)); err != nil {
			e.fatal = err
		}
	})
}

// tick is a stream's turn to be polled: fully once a minute, quickly in between (P4). A stream that is read for the first time, or
// again, is polled as well as soon as its first answer says from when on: what changes meanwhile is not to wait for that.
func (e *engine) tick(s *stream, now time.Time) {
	if s.reading() && s.byChanges() {
		e.task(s, "first read", backfill, e.firstRead)
	}
	switch {
	case s.ck.Cursor.IsZero() && s.byChanges():
	case s.ck.Cursor.IsZero():
		e.task(s, "poll", backfill, e.poll)
	case s.Read != schema.Changes || now.Sub(s.fullPoll) >= fullEvery-time.Second:
		e.task(s, "poll", live, e.fullPass)
	default:
		e.task(s, "poll", live, e.quickPoll)
	}
}

// fullPass is a full poll with what belongs right behind it: running timers (P8) and, each probe interval, the count (P12).
func (e *engine) fullPass(t *task, s *stream) error {
	if err := e.poll(t, s); err != nil {
		return err
	}
	if s.hasTimers() {
		if err := e.pollTimers(t, s); err != nil {
			return err
		}
	}
	if now := time.Now(); s.probed() && !s.whole && !s.reading() && now.Sub(s.lastProbe) >= e.cfg.ProbeInterval-time.Second {
		s.lastProbe = now
		e.task(s, "probe", probing, e.probeAndMend)
	}
	return nil
}

// hasTimers says whether rows of the stream can run (P8).
func (s *stream) hasTimers() bool {
	for i := range s.Schema.Fields {
		if s.Schema.Fields[i].Timer {
			return true
		}
	}
	return false
}

// sweepIfDue starts the periodic sweeps: everything, or the recent days (P12).
func (e *engine) sweepIfDue(s *stream, now time.Time) {
	if s.reading() || s.Read != schema.Changes {
		return
	}
	now = e.surely(now)
	switch {
	case now.Sub(s.ck.Swept) >= e.cfg.SweepInterval:
		e.task(s, "sweep", background, func(t *task, s *stream) error { return e.sweep(t, everything) })
	case s.Dates != "" && now.Sub(s.ck.Recent) >= e.cfg.RecentSweepInterval:
		e.task(s, "sweep", background, e.sweepRecent)
	}
}

func (e *engine) sweepRecent(t *task, s *stream) error {
	s.ck.Recent = e.surely(time.Now())
	return e.sweep(t, window{from: today(s.ck.Recent) - recentDays, to: farFuture})
}

func (e *engine) rotateIfDue(s *stream, now time.Time) {
	if s.ck.Round.Began.IsZero() { // the first reading of all lists, by their parents' seq, is the first round
		if len(s.queue) == 0 && !s.busy["children"] && !s.parent.reading() && s.blocked == nil {
			s.ck.Round, s.dirty = kafka.Round{Began: e.surely(now), Done: true}, true
		}
		return
	}
	every := e.cfg.ChildrenInterval
	if s.whole {
		every = fullRefreshEvery
	}
	everyPass := s.whole && e.oneShot // as of any list in mode full-refresh
	if s.ck.Round.Done && !everyPass && e.surely(now).Sub(s.ck.Round.Began) < every || s.parent.reading() {
		return
	}
	e.task(s, "rotate", background, e.rotate)
}

// kick starts what events, not clocks, call for: children of changed or lost parents, keys back from the dead, possible restores.
func (e *engine) kick(now time.Time) {
	for _, s := range e.streams {
		if s.Read == schema.Children && len(s.queue) > 0 && !s.parent.index.isEmpty() {
			c := following
			if s.queue[0].first {
				c = backfill
			}
			e.task(s, "children", c, e.follow)
		}
		if s.orphansDue && !s.parent.reading() {
			e.task(s, "orphans", background, e.orphans)
		}
		if len(s.early) > 0 && !e.isEarly(s.early[0].stamp) {
			e.task(s, "children again", following, e.followAgain)
		}
		if len(s.revivals) > 0 || e.restoreDue(s, now) {
			e.task(s, "confirm", probing, e.confirmNoted)
		}
	}
}

// task runs one kind of work of a stream, unless it runs already or the stream is blocked.
func (e *engine) task(s *stream, kind string, c class, work func(*task, *stream) error) {
	if s.busy[kind] || s.blocked != nil {
		return
	}
	s.busy[kind] = true
	e.run(kind+" "+s.Name, s, c, func(t *task) error { return work(t, s) }, e.ended(s, kind))
}

// ended is what becomes of a stream when a task of it ends (P11).
func (e *engine) ended(s *stream, kind string) func(error) {
	return func(err error) {
		if s != nil {
			delete(s.busy, kind)
		}
		var block *blockError
		switch {
		case err == nil, errors.Is(err, errStopped):
		case harvest.IsUnauthorized(err):
			e.fatal = &fatalError{err: refusedToken(err)}
		case harvest.Unavailable(err):
			e.log.Warn("Harvest is not available: trying again", "task", kind, "error", err)
			e.fail(s, ops.Fail(ops.ExitUnavailable, err))
		case errors.As(err, &block):
			e.block(block.stream, block.reason, ops.ExitData)
		case s == nil:
			e.log.Warn("reading the account", "error", err)
		case harvest.IsForbidden(err) || harvest.IsNotFound(err):
			e.block(s, e.whyForbidden(s, err), ops.ExitPermission)
		default:
			e.block(s, err.Error(), ops.ExitData)
		}
	}
}

func (e *engine) whyForbidden(s *stream, err error) string {
	why := "this token's role may not read it, or it is switched off"
	if e.account.off(s.Stream) {
		why = "switched off in the account's settings (" + s.Module + ")"
	}
	return fmt.Sprintf("%s: %v", why, err)
}

// block stops reading a stream; the others go on, and it is tried again every hour (P11).
func (e *engine) block(s *stream, reason string, code int) {
	e.log.Error("stream blocked", "stream", s.Name, "reason", reason, "next_try", blockedEvery.String())
	s.blocked = &blocked{reason: reason, since: time.Now(), code: code, module: e.account.off(s.Stream)}
	s.dirty = true // `status` tells it
	e.m.blocked.WithLabelValues(s.Name).Set(1)
	e.fail(s, ops.Fail(code, fmt.Errorf("stream %s is blocked: %s", s.Name, reason)))
	e.timers.set(time.Now().Add(blockedEvery), func(time.Time) { e.unblock(s) })
}

func (e *engine) unblock(s *stream) {
	if s.blocked != nil && !e.account.off(s.Stream) {
		s.blocked, s.dirty = nil, true
		s.fullPoll = time.Time{}
		e.m.blocked.WithLabelValues(s.Name).Set(0)
	}
}

// failure is what keeps a one-shot command from a clean exit, if it is about that stream; nil: the account.
type failure struct {
	s   *stream
	err error
}

// fail remembers the first thing that went wrong with a stream.
func (e *engine) fail(s *stream, err error) {
	if !slices.ContainsFunc(e.failures, func(f failure) bool { return f.s == s }) {
		e.failures = append(e.failures, failure{s, err})
	}
}
