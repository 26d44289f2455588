package producer

import (
	"context"
	"iter"

	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

// class is the order of service of P9, the most urgent first.
type class uint8

const (
	live       class = iota // polls and timers
	probing                 // probes
	following               // children of changed parents
	backfill                // first reads, their children last
	background              // sweeps and the rotating pass
	classes
)

var classNames = [classes]string{"live", "probe", "children", "backfill", "background"}

// turns says which class goes first at every tenth request: the most urgent mostly, each of the others once in ten, so that none
// starves and sweeps always have a tenth (P9).
var turns = [10]class{live, live, backfill, live, following, live, live, probing, live, background}

// call is one request a task wants made.
type call struct {
	req    harvest.Request
	shape  shape
	parent int64   // children: the parent whose list it is
	stream *stream // whose rows the answer holds; nil: the task's
	task   *task
}

// shape says how an answer is read.
type shape uint8

const (
	list   shape = iota // an envelope with rows
	object              // one bare object of the stream
	count               // an envelope; only its total is wanted
	raw                 // the body itself
)

// answer is what came back. Its records live in a reader of the stream until the task asks for the next answer.
type answer struct {
	call   call
	page   harvest.Page
	res    harvest.Response
	reader *reader
	err    error
	done   bool
}

// reader decodes the answers of one stream; it travels with the answer, so each is used by one goroutine at a time.
type reader struct {
	enc    *schema.Encoder
	index  *index // whose rows need no record where their content is known; nil: all do
	recs   []schema.Record
	faults []schema.Fault
}

// read reads the row that b begins with and returns its length. Of a row whose content the index knows no record is made, and one whose
// JSON it knows is not even decoded: that was done before, with the same outcome. take sees whether the index still says so.
func (r *reader) read(b []byte, parent int64) (int, error) {
	r.recs = append(r.recs, schema.Record{})
	rec := &r.recs[len(r.recs)-1]
	if r.index == nil {
		return r.enc.Decode(b, parent, rec)
	}
	id := schema.LeadingID(b)
	known := r.index.known(id)
	if n := known.text.Begins(b); n > 0 {
		rec.ID, rec.Text, rec.Hash, rec.Updated = id, known.text, known.hash, int64(known.stamp)*1000
		return n, nil
	}
	return r.enc.DecodeNew(b, parent, known.hash, rec)
}

func (a *answer) recs() []schema.Record {
	if a.reader == nil {
		return nil
	}
	return a.reader.recs
}

// task is one piece of work that asks Harvest one thing after another: a poll, a sweep, a child pass. Its code reads from top to
// bottom and runs on the engine's goroutine alone: asking suspends it (a coroutine of iter.Pull), so it may touch all state
// without a lock (P9).
type task struct {
	name   string
	stream *stream
	class  class
	ctx    context.Context

	asked []*answer // not yet consumed, oldest first
	held  *answer   // handed to the code last; its reader is freed at the next turn

	yield func(struct{}) bool
	next  func() (struct{}, bool)
	stop  func()
	err   error
	ended func(error)
	eng   *engine
}

// stopped is what ask's answers carry once the engine shuts down.
var errStopped = context.Canceled

// newTask prepares work to be run by the engine; ended is told its outcome.
func (e *engine) newTask(name string, s *stream, c class, work func(*task) error, ended func(error)) *task {
	t := &task{name: name, stream: s, class: c, ctx: e.ctx, ended: ended, eng: e}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		t.err = work(t)
	})
	return t
}

// ask puts a request into the engine's queue without waiting for it. Answers come in the order of asking.
func (t *task) ask(c call) {
	c.task = t
	if c.stream == nil {
		c.stream = t.stream
	}
	a := &answer{call: c}
	t.asked = append(t.asked, a)
	t.eng.enqueue(t.class, a)
}

// answer waits for the oldest request that is not answered yet. The answer before it is no longer valid.
func (t *task) answer() (*answer, error) {
	t.free()
	for !t.asked[0].done {
		if !t.yield(struct{}{}) {
			return nil, errStopped
		}
	}
	a := t.asked[0]
	t.asked = t.asked[1:]
	t.held = a
	return a, a.err
}

// get asks one thing and waits for it.
func (t *task) get(c call) (*answer, error) {
	t.ask(c)
	return t.answer()
}

// pending is how many requests of this task are under way.
func (t *task) pending() int { return len(t.asked) }

func (t *task) free() {
	if t.held != nil && t.held.reader != nil {
		t.eng.release(t.held)
	}
	t.held = nil
}
