package producer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/internal/kafka"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

// engine owns all state of a running producer: streams, indexes, checkpoints, the queue of requests. One goroutine runs it (loop);
// workers only fetch and decode (P9). It lives for one incarnation of the writer: after any trouble with Kafka it is dropped with
// everything in it (P1).
type engine struct {
	cfg    *Config
	ctx    context.Context
	cancel context.CancelFunc
	log    *slog.Logger
	m      *metrics

	client  *harvest.Client
	account account
	writer  *kafka.Writer
	beat    kafka.Heartbeat

	streams         []*stream // in the catalogue's order, parents before children
	byName, byTopic map[string]*stream
	keyID           int // schema id of every key
	checkpointTopic string
	limits          kafka.Limits // the topics' max.message.bytes

	queues   [classes][]*answer // waiting for a free worker and the limiter
	served   int                // requests given out, for turns
	inFlight int
	answers  chan *answer
	workers  sync.WaitGroup
	tasks    map[*task]struct{}
	timers   timers
	fatal    error           // ends the loop
	noted    map[string]bool // odd values that were logged once
	at       map[int64]int   // scratch of take

	changed      func() // told after every task, for the states others may look at
	oneShot      bool
	stages       []stage   // of a one-shot command, still to begin
	asked        []string  // the streams it is about; nil: all
	failures     []failure // what may keep it from a clean exit
	allowDeletes int       // --allow-deletes; -1 = not given (P7)
	dryRun       bool
}

// loop serves until the context ends, everything asked for in a one-shot run is done, or an error ends the incarnation.
func (e *engine) loop() error {
	defer e.shutdown()
	for e.fatal == nil && e.ctx.Err() == nil {
		now := time.Now()
		wait := e.timers.fire(now)
		if !e.oneShot {
			e.kick(now)
		}
		if e.fatal != nil {
			break
		}
		if e.oneShot && len(e.tasks) == 0 {
			if len(e.stages) == 0 {
				return e.outcome()
			}
			begin := e.stages[0]
			e.stages = e.stages[1:]
			begin(now)
			continue
		}
		if w, waiting := e.dispatch(); waiting && w < wait {
			wait = w
		}
		e.sleep(wait)
	}
	if e.fatal == nil && e.oneShot {
		return e.ctx.Err() // interrupted is not done
	}
	return e.fatal
}

// sleep waits for an answer, the next timer, or the end.
func (e *engine) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case a := <-e.answers:
		e.inFlight--
		a.done = true
		if a.err == nil {
			e.account.drift = time.Until(a.res.Now)
		}
		e.m.inFlight.Set(float64(e.inFlight))
		e.resume(a)
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// start runs a task until its first question.
func (e *engine) start(t *task) {
	e.tasks[t] = struct{}{}
	e.step(t)
}

// resume lets a task go on when the answer it waits for is there.
func (e *engine) resume(a *answer) {
	t := a.call.task
	switch _, running := e.tasks[t]; {
	case !running: // an error ended it meanwhile
		e.release(a)
	case len(t.asked) > 0 && t.asked[0].done:
		e.step(t)
	}
}

func (e *engine) step(t *task) {
	if _, more := t.next(); more {
		return
	}
	t.free()
	delete(e.tasks, t)
	for _, a := range t.asked { // asked and not waited for: an error ended the task
		e.release(a)
	}
	t.asked = nil
	if t.err != nil && errors.As(t.err, new(*fatalError)) {
		e.fatal = t.err
		return
	}
	t.ended(t.err)
	e.changed()
}

// run starts work as a task; what it ends with goes to ended.
func (e *engine) run(name string, s *stream, c class, work func(*task) error, ended func(error)) {
	e.start(e.newTask(name, s, c, work, ended))
}

// nextRequest is a number no request has been given yet: what is observed from now on has at least this one.
func (e *engine) nextRequest() uint32 { return uint32(e.client.Requests()) + 1 }

func (e *engine) enqueue(c class, a *answer) { e.queues[c] = append(e.queues[c], a) }

// dispatch hands out requests while a worker is free and the limiter lets them through at once, so that the order of service is
// decided at the last moment. It returns how long the limiter wants to wait, if something is waiting.
func (e *engine) dispatch() (time.Duration, bool) {
	for e.inFlight < e.cfg.Concurrency {
		c, ok := e.nextClass()
		if last := e.cfg.Concurrency - 1; ok && last > 0 && e.inFlight == last { // one worker is kept for what is live: lists may hang (P9)
			c, ok = live, len(e.queues[live]) > 0
		}
		if !ok {
			return 0, false
		}
		a := e.queues[c][0]
		if _, running := e.tasks[a.call.task]; !running {
			e.queues[c] = e.queues[c][1:]
			continue
		}
		if w := e.client.Reserve(); w > 0 {
			return w, true
		}
		a.call.req.Reserved = true
		e.queues[c] = e.queues[c][1:]
		e.served++
		e.inFlight++
		e.m.requests.WithLabelValues(classNames[c]).Inc()
		e.m.inFlight.Set(float64(e.inFlight))
		e.lend(a)
		e.workers.Go(func() {
			e.fetch(a)
			select {
			case e.answers <- a:
			case <-e.ctx.Done():
			}
		})
	}
	return 0, false
}

// nextClass picks the queue to serve: the one whose turn it is, else the most urgent with work.
func (e *engine) nextClass() (class, bool) {
	if c := turns[e.served%len(turns)]; len(e.queues[c]) > 0 {
		return c, true
	}
	for c := range classes {
		if len(e.queues[c]) > 0 {
			return c, true
		}
	}
	return 0, false
}

// lend gives an answer a reader of its stream.
func (e *engine) lend(a *answer) {
	if a.call.shape == raw || a.call.shape == count {
		return
	}
	s := a.call.stream
	if n := len(s.readers); n > 0 {
		a.reader, s.readers = s.readers[n-1], s.readers[:n-1]
	} else {
		a.reader = &reader{enc: schema.NewEncoder(s.Stream, e.cfg.AccountID, e.cfg.omit)}
		a.reader.enc.NoText = e.oneShot // which sees hardly a row twice
	}
	a.reader.index = nil
	if a.call.shape == list && a.call.parent == 0 && s.Get != "" && a.call.task.class != backfill { // a doubt is settled by GET (take); a first read meets what is new
		a.reader.index = s.index
	}
}

// release takes the reader back, once no worker uses it any more.
func (e *engine) release(a *answer) {
	if a.done && a.reader != nil {
		a.call.stream.readers = append(a.call.stream.readers, a.reader)
		a.reader = nil
	}
}

// fetch makes one request and reads its answer: the workers' whole duty. It touches no state of the engine, and of the index only known.
func (e *engine) fetch(a *answer) {
	a.err = e.client.Do(e.ctx, a.call.req, func(res *harvest.Response) error {
		a.res = *res
		r := a.reader
		if r != nil {
			r.enc.Reset()
			r.recs = r.recs[:0]
		}
		item := func(b []byte) (int, error) { return r.read(b, a.call.parent) }
		var err error
		switch a.call.shape {
		case list:
			a.page, err = harvest.ReadPage(res.Body, a.call.stream.List, item)
		case count:
			a.page, err = harvest.ReadPage(res.Body, a.call.stream.List, harvest.Skip)
		case object:
			err = harvest.ReadObject(res.Body, item)
		}
		a.res.Body = nil // the buffer is the client's
		if a.call.shape == raw {
			a.res.Body = bytes.Clone(res.Body)
		}
		if r != nil {
			r.faults = r.enc.Faults()
		}
		faultpoint.Pass("kp08")
		return err
	})
}

// shutdown ends every task and waits for the workers, so that nothing of this incarnation runs on.
func (e *engine) shutdown() {
	e.cancel()
	for t := range e.tasks {
		t.stop()
	}
	clear(e.tasks)
	e.workers.Wait()
}

// fatalError ends the incarnation: nothing in memory may be believed afterwards (P1), or the account cannot be read at all.
type fatalError struct {
	err    error
	writer bool // the writer is spent
}

func (f *fatalError) Error() string { return f.err.Error() }
func (f *fatalError) Unwrap() error { return f.err }

// lostWriter is the error of a transaction: whatever it was, the writer is of no more use.
func lostWriter(err error) error { return &fatalError{err: err, writer: true} }
