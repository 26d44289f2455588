package sinker

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Limits of a batch and of all that waits for the database (S7).
const (
	batchRows  = 25_000
	batchBytes = 16 << 20
	waitBytes  = 40 << 20
	waitShare  = 1 << 20 // of these a partition may have, whatever the others hold
)

// budget bounds the bytes of records that were fetched and not yet applied.
type budget struct {
	mu   sync.Mutex
	used int
	free chan struct{} // has an element when used has shrunk
}

func newBudget() *budget { return &budget{free: make(chan struct{}, 1)} }

func (b *budget) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if n < 0 {
		select {
		case b.free <- struct{}{}:
		default:
		}
	}
}

func (b *budget) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used > waitBytes
}

// wait returns once there is room, or wake has an element, or ctx ends.
func (b *budget) wait(ctx context.Context, wake <-chan struct{}) {
	for b.full() {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			return
		case <-b.free:
		}
	}
}

// intake is what was fetched of one partition and waits for its worker.
type intake struct {
	budget *budget
	ready  chan struct{}

	mu     sync.Mutex
	recs   []*kgo.Record
	bytes  int
	stable int64     // last stable offset seen,
	seen   time.Time // a moment at which it was the partition's end, or behind it
	asked  time.Time // what comes next was asked for after this
	end    int64     // position at which the intake ends, once ended
	err    error
	ended  bool
	closed bool
}

func newIntake(b *budget) *intake {
	return &intake{budget: b, ready: make(chan struct{}, 1), asked: time.Now()}
}

func (q *intake) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// push adds fetched records, control records included. The client may have had them for long: all that is known is that they were asked
// for when those before them had been handed over (S8); of one answer in several parts the first part counts. Those of an intake that is
// closed or has ended are dropped: what comes behind an error may be of another log.
func (q *intake) push(recs []*kgo.Record, stable int64, now time.Time) {
	n := 0
	for _, r := range recs {
		n += recordSize(r)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.ended {
		return
	}
	q.recs = append(q.recs, recs...)
	q.bytes += n
	if stable > q.stable {
		q.stable, q.seen = stable, q.asked
	}
	q.asked = now
	q.budget.add(n)
	q.signal()
}

// finish ends the intake: at a position that is reached with what was pushed, or by an error.
func (q *intake) finish(end int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ended {
		q.ended, q.end, q.err = true, end, err
	}
	q.signal()
}

// close drops what waits and what is still to come.
func (q *intake) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.budget.add(-q.bytes)
		q.recs, q.bytes = nil, 0
	}
}

// taken is a part of a partition's records, [from, to) for its transaction.
type taken struct {
	recs  []*kgo.Record
	to    int64
	atEnd time.Time // when to was the partition's end; zero: it was not
	bytes int
	last  bool // the intake has ended with it
}

// holds reports whether more than its share waits.
func (q *intake) holds() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes > waitShare
}

// take waits for records and returns as many as a batch may hold: one that stands alone at once, a backlog in full batches.
func (q *intake) take(ctx context.Context) (taken, error) {
	for {
		if t, ok, err := q.tryTake(); ok || err != nil {
			return t, err
		}
		select {
		case <-ctx.Done():
			return taken{}, ctx.Err()
		case <-q.ready:
		}
	}
}

func (q *intake) tryTake() (taken, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var t taken
	n := 0
	for n < len(q.recs) && n < batchRows && (n == 0 || t.bytes < batchBytes) {
		t.bytes += recordSize(q.recs[n])
		n++
	}
	if n == 0 {
		if !q.ended || q.err != nil {
			return t, false, q.err
		}
		t.to, t.last = q.end, true
		return t, true, nil
	}
	t.recs = q.recs[:n:n]
	q.recs = q.recs[n:]
	q.bytes -= t.bytes
	t.to = t.recs[n-1].Offset + 1
	if len(q.recs) == 0 {
		q.recs = nil
		if q.ended && q.err == nil {
			t.to, t.last = max(t.to, q.end), true
		}
	}
	if q.stable > 0 && t.to >= q.stable {
		t.atEnd = q.seen
	}
	return t, true, nil
}
