package main

import (
	"context"
	"time"

	"harveststream/internal/producer"
	"harveststream/pkg/schema"
)

// figure is what can be said of a stream at a moment.
type figure struct {
	stream   string
	harvest  int   // rows in the account; -1: not known
	records  int64 // on the topic, of every version
	rows     int   // in the table
	newest   time.Time
	complete bool   // the first read is, in the table
	blocked  string // why this token may not read it
}

type figures []figure

// gather asks everyone. Before producer and sinker have begun most of it is zero.
func (q *quickstart) gather(ctx context.Context) (figures, error) {
	tables, err := q.db.held(ctx)
	if err != nil {
		return nil, err
	}
	states := map[string]producer.StreamState{}
	for _, s := range q.producer.States() {
		states[s.Stream] = s
	}
	var f figures
	for _, st := range q.set.streams {
		state, h := states[st.Name], tables[st.Name]
		reading := state.Reading || state.Pending > 0
		if st.Read == schema.Children { // complete with their parents
			reading = states[st.Parent].Reading || state.Pending > 0
		}
		q.loaded[st.Name] = q.loaded[st.Name] || state.Stream != "" && !reading && state.Rows == h.rows
		f = append(f, figure{stream: st.Name, harvest: q.account.Count(st.Name), records: state.Seq, blocked: state.Blocked,
			rows: h.rows, newest: h.newest, complete: q.loaded[st.Name]})
	}
	return f, nil
}

// total adds the streams up.
func (f figures) total() figure {
	t := figure{complete: f.loaded()}
	for _, g := range f {
		t.harvest += max(0, g.harvest)
		t.records += g.records
		t.rows += g.rows
		if g.newest.After(t.newest) {
			t.newest = g.newest
		}
	}
	return t
}

// loaded says whether the first read of all that may be read has arrived in the tables.
func (f figures) loaded() bool {
	for _, g := range f {
		if !g.complete && g.blocked == "" {
			return false
		}
	}
	return true
}
