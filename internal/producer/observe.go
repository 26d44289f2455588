package producer

import (
	"slices"
	"time"

	"harveststream/internal/kafka"
	"harveststream/pkg/schema"
)

// sight says how the rows of an answer are to be taken.
type sight struct {
	cause     cause
	confirmed bool  // a GET of this very row, or its second list: brings back what was deleted (P7)
	restored  int64 // a key that a sweep met with a lower stamp more than a lookback ago: taken back if it is so still (P5)
	sweeping  bool  // outside the mirror nothing new is published (P10); lower stamps are noted (P5)
	since     time.Time
	began     time.Time       // the server's clock when the walk began: for the rows that came in meanwhile (P6)
	walk      map[uint32]bool // numbers of the walk's earlier requests: a row one of them showed is met twice (P6)
	progress  func(*answer)   // moves what the checkpoint says behind this answer
}

// taken is what an answer's rows amounted to.
type taken struct {
	published int
	incoming  int // rows that entered the list while it was walked (P6)
	repeated  int // rows the same walk has met before (P6)
}

// take compares the rows of an answer with the index and publishes what differs, in one transaction with the checkpoint (P2, P3).
func (e *engine) take(s *stream, a *answer, how sight) (taken, error) {
	var out taken
	e.report(s, a)
	recs := a.recs()
	if s.bereft(a.call.parent) {
		recs = nil
	}
	changes := make([]change, 0, len(recs))
	at := e.at // where in changes a key is
	clear(at)
	for i := range recs {
		rec := &recs[i]
		if n, twice := at[rec.ID]; twice { // on one page: the last one counts
			changes = slices.Delete(changes, n, n+1)
			delete(at, rec.ID)
			for id, m := range at {
				if m > n {
					at[id] = m - 1
				}
			}
		}
		old := s.index.get(rec.ID)
		if rec.Body == nil && !old.says(rec) {
			s.revive(rec.ID, old.owner) // another answer changed the index meanwhile: the record is needed after all
			continue
		}
		c := change{s: s, id: rec.ID, old: old, rec: rec, cause: how.cause, req: uint32(a.res.Number), now: a.res.Now,
			stamp: stampOf(rec.Updated, a.res.Now.UnixMilli())}
		if rec.Updated == 0 && old != nil { // dated by a clock: where that goes back, requests tell the order
			c.stamp = max(c.stamp, old.stamp)
		}
		switch {
		case old != nil && !old.gone() && how.walk[old.req]:
			out.repeated++
		case how.entered(old, c.stamp):
			out.incoming++
		}
		if !e.wanted(s, old, &c, how) {
			continue
		}
		at[c.id] = len(changes)
		changes = append(changes, c)
	}
	out.published = len(changes)
	err := e.publish(changes, func() {
		if how.progress != nil {
			how.progress(a)
		}
	}, s)
	return out, err
}

// entered says whether a row came into the list after its walk began (P6): it was stamped since, and was not in the list before.
func (how sight) entered(old *entry, stamp uint32) bool {
	if how.began.IsZero() || int64(stamp) < how.began.Unix() {
		return false
	}
	return old == nil || old.gone() || !how.since.IsZero() && int64(old.stamp) < how.since.Unix()
}

// wanted is the verdict on one row, with what has to be noted about those that are not published.
func (e *engine) wanted(s *stream, old *entry, c *change, how sight) bool {
	if old == nil && (how.sweeping || how.cause == byTimer) && s.anchored() && outside(c.rec, s.ck.Anchor) {
		return false // not in the mirror (P10)
	}
	v := decide(old, observation{stamp: c.stamp, req: c.req, hash: c.rec.Hash})
	switch {
	case v == stale && how.restored == c.id && old.hash != c.rec.Hash && c.req > old.req:
		v = update // Harvest went back, and a later GET says so too (P5)
	case v == revive && how.confirmed:
		v = create
	}
	if old != nil && !old.gone() {
		old.req = max(old.req, c.req) // met (P7); and for equal stamps the later request counts (P5)
	}
	switch v {
	case create:
		c.op = "create"
		return true
	case same:
		s.index.seen(old, c.rec)
	case update:
		c.op = "update"
		return !s.onlyGrew(c.rec, c.now, e.cfg.TimerResolution)
	case revive:
		s.revive(c.id, ownerOf(s, c.rec))
	case stale:
		e.m.stale.WithLabelValues(s.Name).Inc()
		if how.sweeping && !old.gone() {
			s.note(kafka.Restore{ID: c.id, At: e.surely(time.Now()).UTC()})
		}
	}
	return false
}

// outside says whether a row lies before the anchor: it never had an updated_at in the mirror, as far as we know.
func outside(rec *schema.Record, anchor time.Time) bool {
	return !anchor.IsZero() && rec.Updated < anchor.UnixMilli()
}

// revive notes a key met after its tombstone: only a GET brings it back (P7).
func (s *stream) revive(id, owner int64) {
	if r := (revival{id, owner}); !slices.Contains(s.revivals, r) {
		s.revivals = append(s.revivals, r)
	}
}

// note remembers a lower stamp, once: the GET more than a lookback later decides (P5).
func (s *stream) note(r kafka.Restore) {
	if !slices.ContainsFunc(s.restores, func(o kafka.Restore) bool { return o.ID == r.ID }) {
		s.restores = append(s.restores, r)
	}
}

// report counts and names what did not fit (P14).
func (e *engine) report(s *stream, a *answer) {
	if a.reader == nil {
		return
	}
	const names = 1000 // beyond so many they are counted together: some come from outside
	for _, f := range a.reader.faults {
		if key := s.Name + "." + f.Field + ": " + f.Reason; len(e.noted) >= names && !e.noted[key] {
			f.Field = "others"
		}
		e.m.badValues.WithLabelValues(s.Name, f.Field).Add(float64(f.Count))
		if key := s.Name + "." + f.Field + ": " + f.Reason; !e.noted[key] {
			e.noted[key] = true
			e.log.Warn("Harvest sent what its field does not take; nothing is lost, see harvest_producer_bad_values_total", "stream", s.Name, "field", f.Field, "reason", f.Reason, "values", f.Count)
		}
	}
}
