package producer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"

	"golang.org/x/sync/errgroup"
)

// Deps is what a producer gets beside its configuration.
type Deps struct {
	Log       *slog.Logger
	Version   string
	Transport http.RoundTripper // to Harvest; nil: the network
	PageSize  int               // rows a page; 0: Harvest's largest. Tests page through small accounts
	Jitter    func() float64    // in [0,1), spreads retries; nil: at random. Tests repeat a run
}

// Producer is one producer program, made from a configuration that was validated. Its methods are the commands of design §7.
type Producer struct {
	Deps
	cfg      *Config
	metrics  *metrics
	client   *harvest.Client
	registry *kafka.Registry
	command  string
	host     func() string // this machine's name

	// what a command line adds
	TakeOver, Initialise bool

	firstStart time.Time
	process    string // random; the nonces of all its incarnations begin with it
	nonce      string // of the latest incarnation that became the writer
	worked     bool   // and got as far as its engine
	warned     map[string]bool
	states     atomic.Pointer[[]StreamState]
	ready      atomic.Bool
}

// New makes a producer; nothing is connected to yet.
func New(cfg Config, deps Deps) (*Producer, error) {
	p := &Producer{Deps: deps, cfg: &cfg, metrics: newMetrics(), warned: map[string]bool{}, firstStart: time.Now().UTC(), process: rand.Text(), host: host}
	p.cfg.Kafka.Log = deps.Log
	if errs := p.cfg.resolve(); len(errs) > 0 {
		return nil, ops.Fail(ops.ExitConfig, errors.Join(errs...))
	}
	var err error
	p.client, err = harvest.New(harvest.Config{
		BaseURL: cfg.BaseURL, Token: cfg.APIKey.Reveal(), Account: cfg.AccountID, UserAgent: userAgent(deps.Version, cfg.Contact),
		Limit: cfg.RateLimit, Transport: faultpoint.Transport(deps.Transport), Log: deps.Log, Jitter: deps.Jitter,
		Observe: func(a harvest.Attempt) { p.metrics.attempts.WithLabelValues(strconv.Itoa(a.Status)).Inc() },
	})
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	if p.registry, err = kafka.NewRegistry(p.cfg.Kafka); err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	return p, nil
}

func userAgent(version, contact string) string {
	agent := "harveststream/" + version
	if contact != "" {
		agent += " (" + contact + ")"
	}
	return agent
}

// Run is the service: it serves until ctx ends, and returns nil then.
func (p *Producer) Run(ctx context.Context) error {
	p.command = "run"
	for _, w := range p.cfg.Warnings() {
		p.warnOnce(w)
	}
	p.sayAnchor()
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		return ops.Admin{Healthy: nil, Ready: p.isReady, Metrics: p.metrics.registry, Streams: func() any { return p.States() }, Log: p.Log}.Serve(within, p.cfg.AdminAddr)
	})
	g.Go(func() error {
		defer p.ready.Store(false)
		return p.incarnations(within, func(e *engine) { e.scheduleService(time.Now()) })
	})
	err := g.Wait()
	var decided interface{ ExitCode() int }
	stopped := ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || !errors.As(err, &decided)) // a signal's cause has an exit code too
	if stopped || errors.Is(err, context.Canceled) {
		return nil // stopped, if in the midst of a start: nothing was under way that could be lost
	}
	return err
}

// Sync makes one complete pass over the selected streams (design §7).
func (p *Producer) Sync(ctx context.Context) error {
	p.command = "sync"
	p.sayAnchor()
	return p.incarnations(ctx, func(e *engine) { e.oneShot, e.stages = true, e.syncStages() })
}

// Sweep sweeps the named streams now. allowDeletes answers a stopped one, -1 when not given; dryRun only counts.
func (p *Producer) Sweep(ctx context.Context, names []string, allowDeletes int, dryRun bool) error {
	if err := p.selectedAll(names); err != nil {
		return err
	}
	p.command = "sweep"
	return p.incarnations(ctx, func(e *engine) {
		e.oneShot, e.stages, e.asked, e.allowDeletes, e.dryRun = true, e.sweepStages(names), names, allowDeletes, dryRun
	})
}

// Reset makes the named streams be read from the anchor again, and reads them: seq and topic stay, only differences are published.
func (p *Producer) Reset(ctx context.Context, names []string) error {
	if err := p.selectedAll(names); err != nil {
		return err
	}
	p.command = "reset"
	return p.incarnations(ctx, func(e *engine) {
		for _, name := range names {
			e.byName[name].restart()
			if s := e.byName[name]; s.parent != nil {
				s.requeue(e.cfg.AccountID, e.keyID)
			}
		}
		e.oneShot, e.stages = true, e.syncStages()
	})
}

func (p *Producer) selectedAll(names []string) error {
	for _, name := range names {
		if _, ok := schema.ByName(name); !ok {
			return ops.Fail(ops.ExitUsage, fmt.Errorf("there is no stream %q", name))
		}
		found := false
		for _, s := range p.cfg.selected {
			found = found || s.Name == name
		}
		if !found {
			return ops.Fail(ops.ExitUsage, fmt.Errorf("stream %s is not selected by HARVEST_STREAMS or REPLICATION_FILE", name))
		}
	}
	return nil
}

const (
	startTries   = 2 * time.Minute // how long a first start waits for what cannot be reached before it gives up (69)
	restartPause = 2 * time.Second
)

// incarnations runs one engine after another: any trouble with Kafka drops the client and all memory and begins anew (P1). What a
// human must mend carries an exit code and ends it. A service that was at work once waits for its brokers as long as it takes.
func (p *Producer) incarnations(ctx context.Context, plan func(*engine)) error {
	trying := time.Now()
	for {
		err := p.incarnation(ctx, plan)
		var decided interface{ ExitCode() int }
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.As(err, &decided):
			return err
		case kafka.Denied(err):
			return ops.Fail(ops.ExitPermission, err)
		case p.worked:
			trying, p.worked = time.Now(), false
		case time.Since(trying) > startTries && (p.command != "run" || p.nonce == ""):
			return ops.Fail(ops.ExitUnavailable, err)
		}
		p.Log.Warn("starting again", "error", err)
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// incarnation is one life of the writer: its start, its work, its sign-off.
func (p *Producer) incarnation(ctx context.Context, plan func(*engine)) error {
	e, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer e.writer.Close()
	p.worked = true
	e.scheduleLife(time.Now())
	plan(e)
	p.publishStates(e)
	p.ready.Store(true)
	err = e.loop()
	p.ready.Store(false)
	p.publishStates(e)
	if lost := new(fatalError); errors.As(err, &lost) && lost.writer {
		return err // the writer is spent: nothing more can be said under its name
	}
	faultpoint.Pass("kp19")
	if off := e.flush(true, e.heartbeat(true)); err == nil {
		err = off
	}
	return err
}

// newEngine is an engine that knows its streams and nothing of their state yet.
func (p *Producer) newEngine(ctx context.Context) *engine {
	ctx, cancel := context.WithCancel(ctx)
	e := &engine{
		cfg: p.cfg, ctx: ctx, cancel: cancel, log: p.Log, m: p.metrics, client: p.client, checkpointTopic: p.cfg.Kafka.CheckpointTopic(),
		byName: map[string]*stream{}, byTopic: map[string]*stream{}, answers: make(chan *answer), tasks: map[*task]struct{}{}, allowDeletes: -1, noted: map[string]bool{}, at: map[int64]int{},
	}
	for _, st := range p.cfg.selected {
		s := &stream{Stream: st, pageSize: cmp.Or(p.PageSize, fullPage), topic: p.cfg.Kafka.Topic(st.Name), interval: p.cfg.PollInterval.For(st.Name), busy: map[string]bool{}, growing: map[int64]growth{}, burying: map[int64]*task{}, let: map[*task]int{}}
		s.whole = st.Read == schema.Whole || p.cfg.refresh[st.Name]
		if s.parent = e.byName[st.Parent]; s.parent != nil {
			s.parent.children = append(s.parent.children, s)
		}
		e.streams, e.byName[s.Name], e.byTopic[s.topic] = append(e.streams, s), s, s
	}
	e.changed = func() { p.publishStates(e) }
	return e
}

func (p *Producer) warnOnce(warnings ...string) {
	for _, w := range warnings {
		if !p.warned[w] {
			p.Log.Warn(w)
			p.warned[w] = true
		}
	}
}

// sayAnchor says aloud what will not be in the mirror (P10).
func (p *Producer) sayAnchor() {
	if a := p.anchor(); a.IsZero() {
		p.Log.Info("the whole account is mirrored")
	} else {
		p.Log.Info("time entries, expenses, invoices and estimates are mirrored as far as they changed since the anchor; HARVEST_ANCHOR_DATE=all mirrors everything",
			"anchor", a.Format(time.RFC3339), "fixed", "at the first start")
	}
}

var errNotReady = errors.New("the index is being rebuilt, or another producer is the writer")

func (p *Producer) isReady() error {
	if p.ready.Load() {
		return nil
	}
	return errNotReady
}
