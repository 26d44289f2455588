package producer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

const (
	recentDays   = 14                  // what the frequent sweep covers
	buriedAtOnce = 10_000              // in one transaction, which has ten seconds (P1)
	manyDeletes  = 100                 // from here on a second list confirms instead of a GET each (P7)
	sampleOf     = 20                  // of explained candidates one in twenty is asked for (P7)
	replicaLag   = 30 * time.Second    // what was stamped since may not show everywhere: no absence of it is believed (P7); HARVEST_LOOKBACK may say less
	secondsInDay = int64(24 * 60 * 60) // of UTC: days are counted from 1970-01-01
)

func today(now time.Time) int32 { return int32(now.Unix() / secondsInDay) }

func dateText(day int32) string {
	return time.Unix(int64(day)*secondsInDay, 0).UTC().Format(time.DateOnly)
}

// windowQuery is the list of a window.
func (s *stream) windowQuery(w window, more ...string) harvest.Request {
	if !w.whole {
		more = append(more, "from", dateText(w.from), "to", dateText(w.to))
	}
	return s.query(more...)
}

// sweep reads a window of a stream whole, publishes what differs, and buries what is gone (P7).
func (e *engine) sweep(t *task, w window) error {
	s := t.stream
	began := time.Now()
	first, slips := e.nextRequest(), s.slips
	got, err := e.walk(t, s, s.windowQuery(w), sight{cause: bySweep, sweeping: true})
	if err != nil {
		return err
	}
	missing, stops := s.index.unmet(w, first), s.stops
	s.missed = len(missing)
	e.m.sweeps.WithLabelValues(s.Name).Inc()
	if got.published > 0 || len(missing) > 0 {
		e.log.Info("swept", "stream", s.Name, "rows", got.rows, "changed", got.published, "missing", len(missing), "took", time.Since(began).Round(time.Millisecond).String())
	}
	if err := e.bury(t, s, missing, w); err != nil {
		return err
	}
	if w.whole && s.stops == stops {
		e.answered(s)
	}
	return e.publish(nil, func() {
		if w.whole {
			s.ck.Recent, s.excused = got.floor, 0
			if s.slips == slips {
				s.ck.Swept = got.floor
			}
			if !s.byChanges() { // a sweep is all that is done for it
				s.ck.Cursor, s.ck.Backfill = later(s.ck.Cursor, got.floor.Add(-e.cfg.Lookback)), nil
			}
		}
	}, s)
}

// bury is P7 from the candidates on: explained or not, the brake, a confirmation of each, a control, the tombstones.
func (e *engine) bury(t *task, s *stream, missing []int64, w window) error {
	missing = s.claim(t, e.seasoned(s, missing))
	defer s.unclaim(t, slices.Clone(missing))
	if len(missing) == 0 || e.cfg.Deletes == deletesOff {
		return nil
	}
	faultpoint.Pass("kp17")
	if err := e.readMe(t); err != nil {
		return err
	}
	if !e.mayTell(s, len(missing)) {
		return nil
	}
	explained, others, err := e.causes(t, s, missing)
	if err != nil {
		return err
	}
	defer delete(s.let, t)
	if !e.mayDelete(t, s, len(explained), len(others)) {
		others = nil
	}
	if e.dryRun || len(explained)+len(others) == 0 {
		return nil
	}
	explained, others, err = e.confirmAll(t, s, explained, others, w)
	if gone := slices.Concat(explained, others); err == nil && len(gone) > 0 {
		err = e.entomb(t, s, gone, bySweep, len(others))
	}
	return err
}

// seasoned keeps the keys whose last change lies so far back that whatever answers should know of it. A lagging replica leaves a new row out
// of its list, answers 404 for it, and shows the control, which is older: for once all three misreport it (P7). A one-shot command has no
// later look, after which its topics would be equal: it believes them.
func (e *engine) seasoned(s *stream, ids []int64) []int64 {
	if e.oneShot {
		return ids
	}
	now := e.serverTime(time.Now())
	kept := slices.DeleteFunc(ids, func(id int64) bool {
		return now.Sub(time.Unix(int64(s.index.get(id).stamp), 0)) < min(replicaLag, e.cfg.Lookback)
	})
	s.tooSoon = s.tooSoon || len(kept) < len(ids)
	return kept
}

// claim keeps the keys that no other task is burying, and marks them: what a deleted parent took along is found by a window's sweep as
// well, and need not be asked for twice.
func (s *stream) claim(t *task, ids []int64) []int64 {
	ids = slices.DeleteFunc(ids, func(id int64) bool { return s.burying[id] != nil })
	for _, id := range ids {
		s.burying[id] = t
	}
	return ids
}

// unclaim lets go of the keys that are still a task's.
func (s *stream) unclaim(t *task, ids []int64) {
	for _, id := range ids {
		if s.burying[id] == t {
			delete(s.burying, id)
		}
	}
}

// administers says whether absence can mean deletion at all: others than administrators see a part (P7).
func (e *engine) administers() bool { return e.account.admin || e.cfg.Deletes == deletesOn }

// mayTell says whether the token sees enough to tell that rows are gone. One that no longer does stops the sweep; of one that never did it is
// said once, at the start.
func (e *engine) mayTell(s *stream, missing int) bool {
	if !e.administers() && e.account.wasAdmin {
		e.brake(s, missing, "the token is no administrator's any more: it may just not see these rows")
	}
	return e.administers()
}

// mayDelete asks the brake about a task's unexplained candidates and remembers what it said. What it has let other tasks delete counts as
// if it were done: each of those is still asking for its rows.
func (e *engine) mayDelete(t *task, s *stream, explained, others int) bool {
	elsewhere := 0
	for other, n := range s.let {
		if other != t {
			elsewhere += n
		}
	}
	stop := conclude(candidates{unexplained: others, explained: explained, today: sumDeletes(s.ck.Deletes, time.Now()) + elsewhere,
		living: s.index.live - elsewhere, allowed: e.allowDeletes, admin: e.administers(), changed: e.account.changed})
	if stop == "" {
		s.let[t] = others
		return true
	}
	e.brake(s, others, stop)
	return false
}

// answered ends a stopped sweep's wait: a later one over the whole stream went through. What a window, or a single row, was allowed
// says nothing about that.
func (e *engine) answered(s *stream) {
	if !e.dryRun {
		s.brakedAt = 0
		e.m.braked.WithLabelValues(s.Name).Set(0)
	}
}

// brake stops a sweep and says how to answer it.
func (e *engine) brake(s *stream, n int, why string) {
	if s.brakedAt != n {
		e.log.Error("sweep stopped: "+why+". Nothing was deleted. If these rows are really gone, run `producer sweep "+s.Name+" --allow-deletes "+strconv.Itoa(n)+"`",
			"stream", s.Name, "missing", n)
	}
	s.brakedAt = n
	s.stops++
	e.m.braked.WithLabelValues(s.Name).Set(float64(n))
}

// causes parts the candidates whose own parent is confirmed gone from the others. It asks for the parents of many others, and for what
// changed last: what moved to another parent in time did not go with this one, and what moved out of the window is not missing.
func (e *engine) causes(t *task, s *stream, missing []int64) (explained, others []int64, err error) {
	explained, others = e.explain(s, missing)
	if len(others) > brakeFloor {
		if err := e.askOwners(t, s, others); err != nil {
			return nil, nil, err
		}
		explained, others = e.explain(s, s.living(slices.Concat(explained, others)))
	}
	if (len(explained) > 0 || len(others) > brakeFloor) && s.Read == schema.Changes {
		first := e.nextRequest()
		if _, err := e.readChanges(t, s); err != nil {
			return nil, nil, err
		}
		explained, others = e.explain(s, s.stillUnmet(slices.Concat(explained, others), first))
	}
	return explained, others, nil
}

// explain is causes by the index alone. Those whose parent another task is about to bury are neither: that task's cascade takes them along,
// and where it does not, the next count or sweep finds them.
func (e *engine) explain(s *stream, missing []int64) (explained, others []int64) {
	owner := e.byName[s.OwnerStream]
	for _, id := range missing {
		var o *entry
		if owner != nil {
			o = owner.index.get(s.index.get(id).owner)
		}
		switch {
		case o != nil && o.gone():
			explained = append(explained, id)
		case o != nil && owner.burying[o.id] != nil:
			delete(s.burying, id)
		default:
			others = append(others, id)
		}
	}
	return explained, others
}

// askOwners asks for the parents of many unexplained candidates: a project that was deleted a moment ago may not have been noticed yet.
func (e *engine) askOwners(t *task, s *stream, ids []int64) error {
	owners := e.byName[s.OwnerStream]
	if owners == nil || owners.blocked != nil {
		return nil
	}
	asked := map[int64]bool{}
	for _, id := range ids {
		o := owners.index.get(s.index.get(id).owner)
		if o == nil || o.gone() || asked[o.id] || len(asked) == brakeFloor {
			continue
		}
		asked[o.id] = true
		if err := e.confirm(t, owners, o.id, bySweep); err != nil {
			return err
		}
	}
	return nil
}

// living keeps the keys that were not deleted meanwhile.
func (s *stream) living(ids []int64) []int64 {
	return slices.DeleteFunc(ids, func(id int64) bool { return s.index.get(id).gone() })
}

// confirmAll keeps the candidates that are really gone: a GET for each other one (or, of very many, a second list), one in twenty of
// the explained, and a control that must answer 200.
func (e *engine) confirmAll(t *task, s *stream, explained, others []int64, w window) (_, _ []int64, err error) {
	if ok, err := e.control(t, s, explained, others); err != nil || !ok {
		return nil, nil, err
	}
	var sample []int64
	for i := 0; i < len(explained); i += sampleOf {
		sample = append(sample, explained[i])
	}
	gone, err := e.ask404(t, s, sample)
	if err != nil {
		return nil, nil, err
	}
	if len(gone) < len(sample) {
		explained = gone
	}
	if len(others) > manyDeletes {
		others, err = e.listAgain(t, s, others, w)
	} else {
		others, err = e.ask404(t, s, others)
	}
	return explained, others, err
}

// listAgain confirms by a second list, which must be a clean one: drift may hide the same row from two lists (P6). Where the account is
// too busy for that, what neither shows is asked for one by one.
func (e *engine) listAgain(t *task, s *stream, ids []int64, w window) ([]int64, error) {
	first := e.nextRequest()
	for range maxWalks {
		got, err := e.walk(t, s, s.windowQuery(w), sight{cause: bySweep, sweeping: true})
		if err != nil {
			return nil, err
		}
		if got.clean {
			return s.stillUnmet(ids, first), nil
		}
	}
	return e.ask404(t, s, s.stillUnmet(ids, first))
}

// stillUnmet keeps the keys no request since the numbered one has shown.
func (s *stream) stillUnmet(ids []int64, first uint32) []int64 {
	var unmet []int64
	for _, id := range ids {
		if e := s.index.get(id); !e.gone() && e.req < first {
			unmet = append(unmet, id)
		}
	}
	return unmet
}

// control asks for another row, the one met last: only if that one is shown does the absence of others mean anything (P7). Without
// another row a human has allowed it, or an owner that is confirmed gone explains it.
func (e *engine) control(t *task, s *stream, explained, others []int64) (bool, error) {
	missing := map[int64]bool{}
	for _, id := range slices.Concat(explained, others) {
		missing[id] = true
	}
	var met *entry
	s.index.all(func(x *entry) {
		if !x.gone() && !missing[x.id] && (met == nil || x.req > met.req) {
			met = x
		}
	})
	if met == nil {
		return len(others) == 0 || e.allowDeletes >= 0, nil
	}
	shown, err := e.shows(t, s, met)
	if err == nil && !shown {
		e.log.Warn("a row that should be there is not shown: nothing is deleted now", "stream", s.Name, "id", met.id)
		s.stops++
	}
	return shown, err
}

// shows says whether Harvest shows a row: by GET, or, where there is none, in its parent's list.
func (e *engine) shows(t *task, s *stream, x *entry) (bool, error) {
	req, how := s.one(x.id, x.owner), object
	if s.Get == "" {
		req, how = s.listOf(x.owner), list
	}
	a, err := t.get(call{req: req, shape: how, parent: s.parentOf(x.owner), stream: s})
	if isGone(err) || harvest.IsForbidden(err) {
		return false, nil
	}
	if err != nil || how == object {
		return err == nil, err
	}
	return slices.ContainsFunc(a.recs(), func(r schema.Record) bool { return r.ID == x.id }), nil
}

// ask404 asks for each key and returns those that answer 404; what is shown after all is compared and published like any observation.
func (e *engine) ask404(t *task, s *stream, ids []int64) ([]int64, error) {
	var gone []int64
	asked := 0
	for i, id := range ids {
		for ; asked < len(ids) && asked < i+e.cfg.Concurrency; asked++ {
			x := s.index.get(ids[asked])
			t.ask(call{req: s.one(x.id, x.owner), shape: object, parent: s.parentOf(x.owner), stream: s})
		}
		a, err := t.answer()
		switch {
		case isGone(err):
			gone = append(gone, id)
		case harvest.IsForbidden(err): // hidden, not gone
		case err != nil:
			return nil, err
		default:
			if _, err := e.take(s, a, sight{cause: bySweep, confirmed: true}); err != nil {
				return nil, err
			}
		}
	}
	return gone, nil
}

// confirm reads one key by GET and publishes what it shows; a 404 makes it a candidate.
func (e *engine) confirm(t *task, s *stream, id int64, why cause) error {
	return e.look(t, s, id, s.index.get(id).owner, sight{cause: why, confirmed: true})
}

// look is confirm for those who have more to say. A row this token may not see is nobody's proof and no stream's trouble.
func (e *engine) look(t *task, s *stream, id, owner int64, how sight) error {
	a, err := t.get(call{req: s.one(id, owner), shape: object, parent: s.parentOf(owner), stream: s})
	if isGone(err) {
		x := s.index.get(id)
		if x.gone() {
			return nil
		}
		return e.bury(t, s, []int64{id}, window{from: x.day, to: x.day, whole: x.day == noDay})
	}
	if err != nil {
		if harvest.IsForbidden(err) {
			return nil
		}
		return err
	}
	_, err = e.take(s, a, how)
	return err
}

// isGone says whether Harvest answered that there is no such object.
func isGone(err error) bool {
	var h *harvest.Error
	return errors.As(err, &h) && h.Status == 404
}

// one is the request for a single object.
func (s *stream) one(id, owner int64) harvest.Request {
	path := strings.ReplaceAll(s.Get, "{id}", strconv.FormatInt(id, 10))
	if i := strings.IndexByte(path, '{'); i >= 0 {
		path = path[:i] + strconv.FormatInt(owner, 10) + path[strings.IndexByte(path, '}')+1:]
	}
	return harvest.Request{Path: path}
}

func (s *stream) parentOf(owner int64) int64 {
	if s.Read == schema.Children {
		return owner
	}
	return 0
}

// entomb publishes the tombstones of keys confirmed gone, together with those of their children (P7), and looks for what else their
// owner takes along.
func (e *engine) entomb(t *task, s *stream, gone []int64, why cause, unexplained int) error {
	faultpoint.Pass("kp18")
	if let := s.let[t]; let > 0 {
		s.let[t] = max(0, let-unexplained)
	}
	if e.allowDeletes < 0 { // those a person allowed are answered for
		s.ck.Deletes = addDeletes(s.ck.Deletes, time.Now().UTC(), unexplained)
	}
	records := 0
	for some := range slices.Chunk(gone, buriedAtOnce) {
		changes := e.tombstones(s, some, why)
		records += len(changes)
		if err := e.publish(changes, nil, slices.Concat(s.children, []*stream{s})...); err != nil {
			return err
		}
	}
	if records == 0 {
		return nil
	}
	e.log.Info("deleted", "stream", s.Name, "keys", len(gone), "records", records)
	s.missed = max(0, s.missed-len(gone))
	e.cascade(s, gone)
	return nil
}

// tombstones are those of keys and of their children.
func (e *engine) tombstones(s *stream, gone []int64, why cause) []change {
	now := e.serverTime(time.Now())
	req := e.nextRequest()
	var changes []change
	add := func(s *stream, id int64, why cause) {
		if x := s.index.get(id); x != nil && !x.gone() {
			changes = append(changes, change{s: s, id: id, old: x, op: "delete", cause: why, stamp: x.stamp, req: req, now: now})
		}
	}
	for _, id := range gone {
		add(s, id, why)
		for _, c := range s.children {
			c.index.children(id, func(x *entry) { add(c, x.id, byParent) })
		}
	}
	return changes
}

// cascade looks, in every stream whose rows hang on the deleted ones, for rows that went along: explained candidates, found without a
// sweep.
func (e *engine) cascade(from *stream, gone []int64) {
	deleted := map[int64]bool{}
	for _, id := range gone {
		deleted[id] = true
	}
	for _, s := range e.streams {
		if s.OwnerStream != from.Name || s.Read == schema.Children {
			continue
		}
		var ids []int64
		s.index.all(func(x *entry) {
			if !x.gone() && deleted[x.owner] {
				ids = append(ids, x.id)
			}
		})
		if len(ids) > 0 {
			e.run(fmt.Sprintf("burying %d rows of %s", len(ids), s.Name), s, background, func(t *task) error {
				return e.bury(t, s, ids, everything)
			}, e.ended(s, "cascade"))
		}
	}
}
