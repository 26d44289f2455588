package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

const (
	simulatedAccount = 482913
	simulatedToken   = "test-token"
)

// simulation is a simulated account behind a server, and whoever works in it.
type simulation struct {
	*harvesttest.Sim
	requests atomic.Int64
	changes  atomic.Int64
}

// newSimulation makes an account of that many time entries, with as much of everything else as a firm of that size has.
func newSimulation(entries int) *simulation {
	part := func(n, least int) int { return max(least, entries/n) }
	return &simulation{Sim: harvesttest.New(harvesttest.Options{
		Seed: 1, Account: simulatedAccount, Token: simulatedToken, Gzip: true, NoVersions: true, NoRequests: true,
		Sizes: harvesttest.Sizes{Users: part(800, 5), Clients: part(500, 5), Projects: part(166, 8), Tasks: 16,
			Invoices: part(50, 20), Estimates: part(250, 20), Expenses: part(22, 20), TimeEntries: entries},
	})}
}

// ServeHTTP answers as Harvest would, and probes of whether it serves at all.
func (s *simulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok\n") // a prober that left is its own affair
		return
	}
	s.requests.Add(1)
	s.Sim.ServeHTTP(w, r)
}

// work changes the account until ctx ends: everyday changes of every kind, deletes and silent ones among them. Later on there are fewer, so
// that a day's deletes stay below what producer would stop for (P7).
func (s *simulation) work(ctx context.Context) {
	rng := rand.New(rand.NewPCG(1, 1))
	change := func() { s.Live(rng) }
	busy, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	s.every(busy, time.Second, change)
	s.every(ctx, 20*time.Second, change)
}

// edit changes the account in ways that the next poll sees. What a poll cannot see (deletes, renames) takes producer a minute and more to
// find, longer than a --once should take.
func (s *simulation) edit(ctx context.Context) {
	rng := rand.New(rand.NewPCG(1, 2))
	streams := []string{"time_entries", "expenses", "invoices", "projects", "clients", "tasks"}
	s.every(ctx, 50*time.Millisecond, func() {
		stream := streams[rng.IntN(len(streams))]
		ids := s.IDs(stream)
		field := "notes"
		if stream == "clients" || stream == "tasks" {
			field = "is_active"
		}
		values := harvesttest.Fields{"notes": fmt.Sprint("Note ", rng.IntN(1000)), "is_active": rng.IntN(2) == 0}
		_ = s.Update(stream, ids[rng.IntN(len(ids))], harvesttest.Fields{field: values[field]}) // refused where the row is locked
	})
}

func (s *simulation) every(ctx context.Context, d time.Duration, change func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			change()
			s.changes.Add(1)
		}
	}
}

// serve answers on a loopback port of its own choice until stop is called.
func serve(h http.Handler, addr string) (base string, stop func(), err error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", nil, ops.Fail(ops.ExitUnavailable, fmt.Errorf("listening: %w", err))
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends by Close
	}()
	return "http://" + l.Addr().String(), func() { _ = server.Close(); <-done }, nil
}

// serveSimulator is the command `quickstart simulator`.
func serveSimulator(ctx context.Context, env ops.Env, addr string, entries int) error {
	if err := ops.CheckAddr("--listen", addr); err != nil {
		return ops.Fail(ops.ExitUsage, err)
	}
	sim := newSimulation(entries)
	base, stop, err := serve(sim, addr)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(env.Stdout, "HARVEST_BASE_URL=%s/v2\nHARVEST_ACCOUNT_ID=%d\nHARVEST_API_KEY=%s\n", base, simulatedAccount, simulatedToken)
	sim.work(ctx)
	return nil
}

// census counts the rows of a real account, as Harvest itself says, a few requests a minute.
type census struct {
	client *harvest.Client
	anchor time.Time // zero: all

	mu     sync.Mutex
	counts map[string]int
}

// The requests of producer and census together stay below Harvest's 100 per 15 s (P9).
const (
	censusLimit = 10
	censusRest  = time.Minute
	spareLimit  = 100 - censusLimit
)

func newCensus(cfg producer.Config) (*census, error) {
	client, err := harvest.New(harvest.Config{BaseURL: cfg.BaseURL, Token: cfg.APIKey.Reveal(), Account: cfg.AccountID,
		UserAgent: "harveststream quickstart (" + cmp.Or(cfg.Contact, "no contact given") + ")", Limit: censusLimit})
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	c := &census{client: client, anchor: cfg.Anchor.Time, counts: map[string]int{}}
	if !cfg.Anchor.Given {
		c.anchor = time.Now().AddDate(-1, 0, 0)
	}
	return c, nil
}

func (c *census) run(ctx context.Context, streams []*schema.Stream) {
	for ctx.Err() == nil {
		for _, st := range streams {
			if n, err := c.count(ctx, st); err == nil { // what is wrong the producer tells
				c.mu.Lock()
				c.counts[st.Name] = n
				c.mu.Unlock()
			}
		}
		select {
		case <-time.After(censusRest):
		case <-ctx.Done():
		}
	}
}

var errUncounted = errors.New("no list tells how many there are")

// count asks a list for its total with one request; children have no list of their own.
func (c *census) count(ctx context.Context, st *schema.Stream) (int, error) {
	switch st.Read {
	case schema.Single:
		return 1, nil
	case schema.Children:
		return 0, errUncounted
	}
	query := url.Values{"per_page": {"1"}}
	if st.Dates != "" && !c.anchor.IsZero() {
		query.Set("updated_since", c.anchor.UTC().Format(time.RFC3339))
	}
	var total int
	err := c.client.Do(ctx, harvest.Request{Path: st.Path, Query: query}, func(r *harvest.Response) error {
		page, err := harvest.ReadPage(r.Body, st.List, harvest.Skip)
		total = page.TotalEntries
		return err
	})
	return total, err
}

// Count is how many rows Harvest said a stream has, -1 while that is not known.
func (c *census) Count(stream string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.counts[stream]; ok {
		return n
	}
	return -1
}
