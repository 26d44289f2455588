package producer

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"harveststream/internal/kafka"
	"harveststream/pkg/harvest"
)

// A child stream has no list of its own: its rows are read parent by parent. Which parents? Those whose updated_at moved, in order of
// their seq, up to a mark in the child stream's checkpoint; and all of them once a round, since not every change of a child moves its
// parent (P8).

// listOf is the list of one parent's children.
func (s *stream) listOf(parent int64) harvest.Request {
	r := s.query()
	r.Path = strings.ReplaceAll(s.Path, "{id}", strconv.FormatInt(parent, 10))
	return r
}

// source hands out the parents of a pass one by one; done moves the checkpoint behind one; gone takes the children that two complete
// lists of their parent did not show.
type source struct {
	next func() (pending, bool)
	done func(pending)
	gone func([]int64) error
}

// follow reads the children of the parents that changed.
func (e *engine) follow(t *task, s *stream) error {
	s.asked = 0
	defer func() { s.asked = 0 }()
	err := e.readLists(t, s, source{
		next: func() (pending, bool) {
			for len(s.queue) > 0 {
				p := s.queue[0]
				s.queue = s.queue[1:]
				if x := s.parent.index.get(p.parent); x != nil && !x.gone() && !s.queuedLater(p) {
					s.asked++
					return p, true
				}
			}
			return pending{}, false
		},
		done: func(p pending) {
			s.asked--
			s.setMark(p.part, p.seq)
			e.readSoon(s, p.parent)
		},
		gone: func(ids []int64) error { return e.buryChildren(t, s, ids) },
	})
	if err != nil {
		s.requeue(e.cfg.AccountID, e.keyID) // what was taken from the queue and not done is above the mark
	}
	return err
}

// early is a parent whose list was read less than a lookback after the parent's change: what shows late (P4) may not have been in it.
type early struct {
	parent int64
	stamp  uint32 // of the change
}

// readSoon notes a parent whose list was read, if that was early.
func (e *engine) readSoon(s *stream, parent int64) {
	x := s.parent.index.get(parent)
	if x == nil || x.gone() || !e.isEarly(x.stamp) {
		return
	}
	at, there := slices.BinarySearchFunc(s.early, early{parent, x.stamp}, early.compare)
	if !there {
		s.early = slices.Insert(s.early, at, early{parent, x.stamp})
	}
}

func (a early) compare(b early) int {
	return cmp.Or(cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.parent, b.parent))
}

// isEarly says whether what changed with a stamp may still not show everywhere.
func (e *engine) isEarly(stamp uint32) bool {
	return time.Unix(int64(stamp), 0).Add(e.cfg.Lookback).After(e.surely(time.Now()))
}

// recallEarly finds, after a restart, the parents whose lists may have been read early: those changed since the moment up to which the
// children are complete. Those above the mark are to be read anyway.
func (s *stream) recallEarly() {
	from := s.ck.Cursor
	if from.IsZero() {
		from = s.parent.ck.Cursor
	}
	if from.IsZero() {
		return
	}
	queued := map[int64]bool{}
	for _, p := range s.queue {
		queued[p.parent] = true
	}
	s.parent.index.all(func(x *entry) {
		if !x.gone() && int64(x.stamp) >= from.Unix() && !queued[x.id] {
			s.early = append(s.early, early{x.id, x.stamp})
		}
	})
	slices.SortFunc(s.early, early.compare)
}

// followAgain reads the lists once more that were read early, now that a lookback has passed (P4, P8).
func (e *engine) followAgain(t *task, s *stream) error {
	var due []early
	for _, x := range s.early {
		if e.isEarly(x.stamp) {
			break
		}
		due = append(due, x)
	}
	asked := due
	return e.readLists(t, s, source{
		next: func() (pending, bool) {
			for len(asked) > 0 {
				p := asked[0]
				asked = asked[1:]
				if x := s.parent.index.get(p.parent); x != nil && !x.gone() && x.stamp == p.stamp {
					return pending{parent: p.parent, seq: int64(p.stamp)}, true
				}
				s.settle(p) // gone, or changed again: then it is followed for that
			}
			return pending{}, false
		},
		done: func(p pending) { s.settle(early{p.parent, uint32(p.seq)}) },
		gone: func(ids []int64) error { return e.buryChildren(t, s, ids) },
	})
}

// settle forgets that a list was read early.
func (s *stream) settle(x early) {
	if at, there := slices.BinarySearchFunc(s.early, x, early.compare); there {
		s.early = slices.Delete(s.early, at, at+1)
	}
}

// queuedLater says whether a parent stands in the queue again, near its head: one reading then serves both.
func (s *stream) queuedLater(p pending) bool {
	return slices.ContainsFunc(s.queue[:min(len(s.queue), 64)], func(q pending) bool { return q.parent == p.parent })
}

// maxMissing is how many missing children a pass remembers in the checkpoint. More than that will hardly be for it to bury.
const maxMissing = 200

// rotate reads the children of every parent in the mirror, in order of their ids, from where the round stands.
func (e *engine) rotate(t *task, s *stream) error {
	if s.ck.Round.Done || s.ck.Round.Began.IsZero() {
		s.ck.Round = kafka.Round{Began: e.surely(time.Now())}
	}
	var missing []entry // as they were when two lists did not show them
	for _, id := range s.ck.Round.Missing {
		if x := s.index.get(id); x != nil && !x.gone() {
			missing = append(missing, *x)
		}
	}
	remembered := len(missing)
	var parents []int64
	s.parent.index.all(func(x *entry) {
		if !x.gone() && x.id > s.ck.Round.Last {
			parents = append(parents, x.id)
		}
	})
	slices.Sort(parents)
	err := e.readLists(t, s, source{
		next: func() (pending, bool) {
			if len(parents) == 0 {
				return pending{}, false
			}
			id := parents[0]
			parents = parents[1:]
			return pending{parent: id}, true
		},
		done: func(p pending) {
			if len(missing) == remembered { // a restart goes back to the first parent whose missing children are not
				s.ck.Round.Last = p.parent
			}
		},
		gone: func(ids []int64) error {
			for _, id := range ids { // the brake judges the pass as a whole
				missing = append(missing, *s.index.get(id))
				if remembered < len(missing)-1 || remembered == maxMissing {
					continue
				}
				s.ck.Round.Missing = append(s.ck.Round.Missing, id)
				remembered++
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := e.orphans(t, s); err != nil {
		return err
	}
	stops, unseen := s.stops, s.unseenSince(missing)
	s.missed = len(unseen)
	if err := e.buryUnseen(t, s, unseen); err != nil {
		return err
	}
	if s.stops == stops {
		e.answered(s)
	}
	return e.publish(nil, func() { s.ck.Round = kafka.Round{Began: s.ck.Round.Began, Done: true} }, s)
}

// buryUnseen is the end of a pass: what it missed may have come back since, so each parent is looked at once more (P7).
func (e *engine) buryUnseen(t *task, s *stream, missing []int64) error {
	defer delete(s.let, t)
	ok, err := e.mayBury(t, s, missing)
	if err != nil || !ok {
		return err
	}
	looked := map[int64]bool{}
	for _, id := range missing {
		if parent := s.index.get(id).owner; !looked[parent] {
			looked[parent] = true
			err := e.secondLook(t, s, parent, 0, func(ids []int64) error { return e.entomb(t, s, ids, byChildren, len(ids)) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// unseenSince keeps the keys that no request has shown since they were found missing: a pass may take a day (P7).
func (s *stream) unseenSince(missing []entry) []int64 {
	var ids []int64
	for _, was := range missing {
		if x := s.index.get(was.id); !x.gone() && x.req == was.req {
			ids = append(ids, was.id)
		}
	}
	return ids
}

// readLists reads parents' lists side by side. What needs a second look (a child gone, a deleted one back, a further page, a parent
// that answers 404) waits until no other list is under way, and the mark waits with it.
func (e *engine) readLists(t *task, s *stream, from source) error {
	var asked, unsure []pending
	for {
		for len(unsure) == 0 && t.pending() < e.cfg.Concurrency {
			p, more := from.next()
			if !more {
				break
			}
			asked = append(asked, p)
			t.ask(call{req: s.listOf(p.parent), parent: p.parent, stream: s})
		}
		if len(asked) == 0 {
			if len(unsure) == 0 {
				return nil
			}
			for _, p := range unsure {
				if err := e.secondLook(t, s, p.parent, 0, from.gone); err != nil {
					return err
				}
				from.done(p)
			}
			unsure = nil
			continue
		}
		p := asked[0]
		asked = asked[1:]
		a, err := t.answer()
		if err != nil && !isGone(err) {
			return err
		}
		if err != nil || !s.settled(p.parent, a) {
			unsure = append(unsure, p)
			continue
		}
		how := sight{cause: byChildren, sweeping: true}
		if len(unsure) == 0 {
			how.progress = func(*answer) { from.done(p) }
		} else {
			unsure = append(unsure, p) // in order, so that the mark does not overtake
		}
		if _, err := e.take(s, a, how); err != nil {
			return err
		}
	}
}

// settled says whether one complete answer tells all about a parent's children: none missing, none back from the dead.
func (s *stream) settled(parent int64, a *answer) bool {
	if a.page.Next != "" {
		return false
	}
	shown := 0
	for i := range a.recs() {
		switch x := s.index.get(a.recs()[i].ID); {
		case x != nil && x.gone():
			return false
		case x != nil && x.owner == parent:
			shown++
		}
	}
	known := 0
	s.index.children(parent, func(*entry) { known++ })
	return shown == known
}

// secondLook reads one parent's complete list twice; what neither shows is gone, what the second shows is there, also after its
// tombstone (P7).
func (e *engine) secondLook(t *task, s *stream, parent, restored int64, gone func([]int64) error) error {
	first := e.nextRequest()
	for i := range 2 {
		req, how := s.listOf(parent), sight{cause: byChildren, sweeping: true}
		if i == 1 {
			how.confirmed, how.restored = true, restored
		}
		for more := true; more; more = req.Link != "" {
			a, err := t.get(call{req: req, parent: parent, stream: s})
			if isGone(err) {
				return e.listless(t, s, parent)
			}
			if err != nil {
				return err
			}
			if _, err := e.take(s, a, how); err != nil {
				return err
			}
			req.Link = a.page.Next
		}
	}
	var missing []int64
	s.index.children(parent, func(x *entry) {
		if x.req < first {
			missing = append(missing, x.id)
		}
	})
	if missing = e.seasoned(s, missing); len(missing) == 0 {
		return nil
	}
	return gone(missing)
}

// listless looks at a parent whose child list answers 404: it seems gone itself, and its deletion takes the children along. A list that
// is not there while its parent is tells nothing about the children: that stops their stream (P11).
func (e *engine) listless(t *task, s *stream, parent int64) error {
	first := e.nextRequest()
	if err := e.confirm(t, s.parent, parent, bySweep); err != nil {
		return err
	}
	if x := s.parent.index.get(parent); x.gone() || x.req < first {
		return nil
	}
	_, err := t.get(call{req: s.listOf(parent), parent: parent, stream: s}) // once more: the parent may be very new
	if isGone(err) && e.isEarly(s.parent.index.get(parent).stamp) {
		return nil // so new that not all of Harvest knows it (P4): followAgain reads the list
	}
	return err
}

// buryChildren publishes the tombstones of children that two complete lists of their parents did not show, if the brake allows (P7).
func (e *engine) buryChildren(t *task, s *stream, missing []int64) error {
	defer delete(s.let, t)
	if ok, err := e.mayBury(t, s, missing); err != nil || !ok {
		return err
	}
	return e.entomb(t, s, missing, byChildren, len(missing))
}

// mayBury looks at the token, asks the brake, and for another row that must be shown.
func (e *engine) mayBury(t *task, s *stream, missing []int64) (bool, error) {
	if len(missing) == 0 || e.cfg.Deletes == deletesOff {
		return false, nil
	}
	if err := e.readMe(t); err != nil {
		return false, err
	}
	if !e.mayTell(s, len(missing)) || !e.mayDelete(t, s, 0, len(missing)) || e.dryRun {
		return false, nil
	}
	return e.control(t, s, nil, missing)
}
