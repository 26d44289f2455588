package producer

import (
	"time"
)

// StreamState is what can be seen of a stream from outside: /streams, the quickstart's table, `producer status`.
type StreamState struct {
	Stream    string    `json:"stream"`
	Rows      int       `json:"rows"`      // living keys
	Published int64     `json:"published"` // records since this process became the writer
	Seq       int64     `json:"seq"`       // records ever, all partitions
	Cursor    time.Time `json:"complete_to,omitzero"`
	Reading   bool      `json:"first_read"` // the first read is not complete
	Pending   int       `json:"pending_parents,omitempty"`
	Blocked   string    `json:"blocked,omitempty"`
	Missed    int       `json:"missed,omitempty"` // rows the latest sweep did not meet and has not buried
	Stopped   int       `json:"stopped_sweep_rows,omitempty"`
}

// States are the streams' states as of the latest task that ended; nil before the first.
func (p *Producer) States() []StreamState {
	if s := p.states.Load(); s != nil {
		return *s
	}
	return nil
}

// publishStates copies what may be seen from outside; the engine's goroutine calls it.
func (p *Producer) publishStates(e *engine) {
	states := make([]StreamState, 0, len(e.streams))
	for _, s := range e.streams {
		st := StreamState{Stream: s.Name, Rows: s.index.live, Published: s.published, Reading: s.reading(),
			Pending: s.pending(), Missed: s.missed, Stopped: s.brakedAt}
		if !s.reading() {
			st.Cursor = s.ck.Cursor
		}
		for _, part := range s.ck.Partitions {
			st.Seq += part.Seq
		}
		if s.blocked != nil {
			st.Blocked = s.blocked.reason
		}
		states = append(states, st)
	}
	p.states.Store(&states)
}
