package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"golang.org/x/sync/errgroup"

	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
)

// quickstart is everything that runs.
type quickstart struct {
	options
	screen   *screen
	set      settings
	sim      *simulation // nil: a real account
	account  interface{ Count(stream string) int }
	producer *producer.Producer
	db       *database
	log      *slog.Logger
	connect  string          // how to look at the tables
	loaded   map[string]bool // streams whose first read has arrived in the tables
	stops    []func()
}

// run starts everything in the order the data flows, watches it, and ends what it started in the opposite order.
func run(ctx context.Context, env ops.Env, o options) error {
	q := &quickstart{options: o, screen: newScreen(env), loaded: map[string]bool{}}
	defer q.stop()
	if err := q.openLog(); err != nil {
		return err
	}
	known, err := ops.Load[given](env.Environ, env.Dotenv)
	if err != nil {
		return err
	}
	database, err := q.findDatabase(ctx, known)
	if err != nil {
		return err
	}
	started, defaults, err := q.startAccount(known)
	if err != nil {
		return err
	}
	kafka, err := q.startKafka()
	if err != nil {
		return err
	}
	if q.set, err = load(env, defaults, slices.Concat(started, kafka, database)); err != nil {
		return err
	}
	for _, name := range slices.Concat(ops.Unknown[producer.Config](env.Environ, env.Dotenv, "HARVEST_"), ops.Unknown[sinker.Config](env.Environ, env.Dotenv, "SINK_")) {
		q.log.Warn("variable is not known, most likely misspelt", "name", name)
	}
	if q.db, err = openDatabase(ctx, &q.set); err != nil {
		return err
	}
	q.stops = append(q.stops, q.db.close)
	return q.programs(ctx, env)
}

func (q *quickstart) stop() {
	for _, stop := range slices.Backward(q.stops) {
		stop()
	}
}

// openLog makes the logger of both programs: warnings to the screen, everything to a file where one is wanted.
func (q *quickstart) openLog() error {
	short := &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	shown := slog.NewTextHandler(q.screen, short)
	q.log = slog.New(shown)
	if q.logFile == "" {
		return nil
	}
	file, err := os.OpenFile(q.logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return ops.Fail(ops.ExitUsage, fmt.Errorf("--log: %w", err))
	}
	q.stops = append(q.stops, func() { _ = file.Close() })
	q.log = slog.New(slog.NewMultiHandler(shown, slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelInfo})))
	return nil
}

// findDatabase starts a PostgreSQL of our own where none is given.
func (q *quickstart) findDatabase(ctx context.Context, known given) ([]string, error) {
	if known.DatabaseURL != "" {
		q.connect = `psql "$DATABASE_URL"`
		return nil, nil
	}
	q.screen.say("Starting PostgreSQL …")
	told := slog.New(slog.NewTextHandler(q.screen, &slog.HandlerOptions{Level: slog.LevelInfo}))
	server, err := pgserver.Start(ctx, pgserver.Options{Log: told})
	if err != nil {
		return nil, ops.Fail(ops.ExitUnavailable, err)
	}
	q.stops = append(q.stops, func() {
		if err := server.Stop(); err != nil {
			q.screen.say("stopping PostgreSQL: %v", err)
		}
	})
	q.connect = "psql '" + server.URL + "'"
	return []string{"DATABASE_URL=" + server.URL, "DATABASE_URL_FILE="}, nil
}

// startAccount makes the simulated account, unless a real one is given.
func (q *quickstart) startAccount(known given) (started, defaults []string, err error) {
	if known.APIKey != "" {
		return nil, calm, nil
	}
	q.screen.say("Making up an account of %d time entries …", q.entries)
	q.sim = newSimulation(q.entries)
	base, stop, err := serve(q.sim, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	q.stops = append(q.stops, stop)
	return []string{"HARVEST_BASE_URL=" + base + "/v2", fmt.Sprint("HARVEST_ACCOUNT_ID=", simulatedAccount), "HARVEST_API_KEY=" + simulatedToken}, lively, nil
}

// startKafka starts a broker and a schema registry on loopback ports.
func (q *quickstart) startKafka() ([]string, error) {
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
		"log.cleaner.backoff.ms":           "86400000000", // its compaction does not spare open transactions
		"log.retention.ms":                 "-1",          // which it applies to compacted topics, too
		"group.initial.rebalance.delay.ms": "0",
	}))
	if err != nil {
		return nil, ops.Fail(ops.ExitUnavailable, fmt.Errorf("starting the broker: %w", err))
	}
	q.stops = append(q.stops, bus.Close)
	registry, stop, err := serve(srfake.NewRegistry().Handler(), "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	q.stops = append(q.stops, stop)
	return []string{"KAFKA_BROKERS=" + strings.Join(bus.ListenAddrs(), ","), "SCHEMA_REGISTRY_URL=" + registry}, nil
}

// programs runs producer and sinker side by side until the watch ends, or ctx, or one of them.
func (q *quickstart) programs(ctx context.Context, env ops.Env) error {
	var err error
	if q.producer, err = producer.New(q.set.producer, producer.Deps{Log: q.log.With("program", "producer"), Version: env.Version}); err != nil {
		return err
	}
	all, cancel := context.WithCancel(ctx)
	defer cancel()
	g, all := errgroup.WithContext(all)
	working, rest := context.WithCancel(all)
	defer rest()
	if q.sim == nil {
		if err := q.startCensus(all, g); err != nil {
			return err
		}
	} else {
		q.account = q.sim
		work := q.sim.work
		if q.once {
			work = q.sim.edit
		}
		g.Go(func() error { work(working); return nil })
	}
	g.Go(func() error { return q.producer.Run(all) })
	g.Go(func() error {
		return sinker.Run(all, q.set.sinker, sinker.Deps{Log: q.log.With("program", "sinker"), Stdout: io.Discard})
	})
	g.Go(func() error {
		defer cancel()
		return q.watch(all, rest)
	})
	err = g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// startCensus counts a real account's rows, where the budget leaves room for it.
func (q *quickstart) startCensus(ctx context.Context, g *errgroup.Group) error {
	c, err := newCensus(q.set.producer)
	if err != nil {
		return err
	}
	q.account = c
	q.screen.say("Reading account %d, in memory only, at %d requests per 15 s.", q.set.producer.AccountID, q.set.producer.RateLimit)
	if q.set.producer.RateLimit <= spareLimit {
		g.Go(func() error { c.run(ctx, q.set.streams); return nil })
	}
	return nil
}

// watch shows how it goes. rest makes a simulated account stand still.
func (q *quickstart) watch(ctx context.Context, rest func()) error {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	loaded := false
	for {
		began := time.Now()
		f, err := q.gather(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		q.screen.show(f)
		if !loaded && f.loaded() {
			loaded = true
			if q.once {
				rest()
				return q.verdict(ctx)
			}
			q.screen.tell(worthTrying(&q.set, q.connect))
		}
		ticker.Reset(max(500*time.Millisecond, 4*time.Since(began))) // a large account's rows are counted less often
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
