package producer_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// told is one version an object ever had, as its record would have to say it.
type told struct {
	harvesttest.Version
	fields map[string]string
}

// versions are all of an object.
func (h *history) versions(st *schema.Stream, id int64) []told {
	var all []told
	for _, v := range h.sim.Versions(st.Name, id) {
		t := told{Version: v}
		if !v.Deleted {
			t.fields = h.expected(st, v.JSON, 0)
		}
		all = append(all, t)
	}
	return all
}

// everVisible holds every published version against the truth's history: none was invented, nothing alive was buried, none steps back,
// and timers do not chatter (P8).
func (h *history) everVisible(st *schema.Stream, records []published) {
	h.t.Helper()
	if st.Read == schema.Single {
		return
	}
	before, reached, known := map[int64]published{}, map[int64]int{}, map[int64][]told{}
	for _, p := range records {
		old := before[p.id]
		before[p.id] = p
		versions, ok := known[p.id]
		if !ok {
			versions = h.versions(st, p.id)
			known[p.id] = versions
		}
		shown := func(v told) bool { return p.tells(st, v) }
		on := slices.IndexFunc(versions[min(reached[p.id], len(versions)):], shown)
		switch {
		case on >= 0:
			reached[p.id] += on
		case !slices.ContainsFunc(versions, shown):
			h.t.Errorf("%s %d: PHANTOM: seq %d (deleted %v) was never so: %v", st.Name, p.id, p.seq, p.deleted, p.fields)
			for _, v := range versions {
				h.t.Logf("  from %s: deleted %v %s", v.From.Format(time.RFC3339), v.Deleted, v.JSON)
			}
			return
		case p.stamp.Before(old.stamp):
			// Of equal stamps a lagging replica may show the older one later: design §11 promises no order there.
			h.t.Errorf("%s %d: REGRESS: seq %d is older than seq %d", st.Name, p.id, p.seq, old.seq)
		}
		if old.fields["is_running"] == "true" && p.fields["is_running"] == "true" && onlyTimers(st, old, p) && p.at.Sub(old.at) < 5*time.Minute-10*time.Second {
			h.t.Errorf("%s %d: CHATTER: seq %d tells of growing hours %s after seq %d", st.Name, p.id, p.seq, p.at.Sub(old.at), old.seq)
		}
	}
}

func onlyTimers(st *schema.Stream, a, b published) bool {
	for i := range st.Schema.Fields {
		if f := &st.Schema.Fields[i]; f.Compare && !f.Timer && a.fields[f.Name] != b.fields[f.Name] {
			return false
		}
	}
	return true
}

// tells says whether a record is what one version had to say.
func (p *published) tells(st *schema.Stream, v told) bool {
	if p.deleted {
		return v.Deleted && !v.From.After(p.at.Add(10*time.Second)) // clocks may differ a little
	}
	if v.Deleted {
		return false
	}
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if f.Compare && f.Name != st.ParentID && p.fields[f.Name] != v.fields[f.Name] && !(v.Running && f.Timer) {
			return false
		}
	}
	return sameExtra(p.fields["extra"], v.fields["extra"])
}

// mirror is P10: of streams with dates, what once had an updated_at from the anchor on, and its children; of others, everything. What had
// one for a moment only, before a restore, the producer may have missed.
func (h *history) mirror(st *schema.Stream, o harvesttest.Object) (must, may bool) {
	if parent, ok := schema.ByName(st.Parent); ok && parent.Dates != "" {
		o, st = harvesttest.Object{ID: o.ParentID}, parent
		o.JSON = nil
		if now, ok := h.sim.Object(parent.Name, o.ID); ok {
			o = now
		}
	}
	if st.Dates == "" || h.anchor.IsZero() {
		return true, true
	}
	must = h.since(o.JSON)
	return must, must || slices.ContainsFunc(h.sim.Versions(st.Name, o.ID), func(v harvesttest.Version) bool { return h.since(v.JSON) })
}

// polled holds that what Harvest dates is on the topic: every living row with its updated_at, children where their parent moved with them
// or later.
func (h *history) polled(st *schema.Stream, records []published) {
	h.t.Helper()
	latest := map[int64]published{}
	for _, p := range records {
		latest[p.id] = p
	}
	for _, o := range h.sim.Truth(st.Name) {
		must, _ := h.mirror(st, o)
		if !must || st.Read == schema.Single {
			continue
		}
		at := updated(o.JSON)
		if st.Read == schema.Children {
			if slices.ContainsFunc(h.lags, func(l span) bool { return at.After(l.from) && at.Before(l.to) }) {
				continue // a child may show later than its parent: the rotating pass finds it
			}
			if parent, ok := h.sim.Object(st.Parent, o.ParentID); !ok || updated(parent.JSON).Before(at) {
				continue
			}
		}
		got, ok := latest[o.ID]
		if told, _ := time.Parse(time.RFC3339, got.fields["updated_at"]); !ok || !got.deleted && told.Before(at) {
			h.t.Errorf("%s %d: LATE: polls did not find the version of %s; on the topic: %v, that of %s", st.Name, o.ID, at.Format(time.TimeOnly), ok, told.Format(time.TimeOnly))
		}
	}
}

// since says whether an object's updated_at is not before the anchor.
func (h *history) since(object []byte) bool { return !updated(object).Before(h.anchor) }

// updated is an object's updated_at, the zero time where there is none.
func updated(object []byte) time.Time {
	var row struct {
		Updated time.Time `json:"updated_at"`
	}
	if json.Unmarshal(object, &row) != nil {
		return time.Time{}
	}
	return row.Updated
}

// verifyRequests holds that the account's budget was kept (P9), and that nobody reads the token in a log.
func (h *history) verifyRequests() {
	h.t.Helper()
	if n := h.sim.WorstWindow(15 * time.Second); n > 100 && !h.rivals {
		h.t.Errorf("RATE: %d requests within 15 s", n)
	}
	for _, r := range h.sim.Requests() {
		if r.Status == http.StatusTooManyRequests && r.Fault == harvesttest.DoNothing && !h.rivals {
			h.t.Errorf("RATE: a request at %s was refused", r.At.Format(time.TimeOnly))
			break
		}
	}
	if strings.Contains(h.log.String(), "test-token") {
		h.t.Error("LEAK: the token is in the log")
	}
}
