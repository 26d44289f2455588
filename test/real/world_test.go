package real_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

const token = "canary-5f1d7c" // must be seen in no output

// small is an account that a pass reads in a second; lists of more than a page are TestKills' affair.
var small = harvesttest.Sizes{Users: 8, Clients: 8, Projects: 14, Tasks: 5, Invoices: 30, Estimates: 24, Expenses: 60, TimeEntries: 2500}

// eager makes a pass find everything there is to find, however silent.
var eager = []string{"HARVEST_SWEEP_INTERVAL=1s", "HARVEST_RECENT_SWEEP_INTERVAL=1s", "HARVEST_LOOKBACK=1s", "HARVEST_CHILDREN_INTERVAL=1s", "HARVEST_TIMER_RESOLUTION=1s"}

// world is one test's account, topics and database.
type world struct {
	t      testing.TB
	name   string // of topics' prefix and database
	sims   map[int64]*harvesttest.Sim
	client *kgo.Client
	env    []string
}

// newWorld makes a world with an account of 482913 in it.
func newWorld(t testing.TB, o harvesttest.Options) *world {
	t.Helper()
	needReal(t)
	w := &world{t: t, name: strings.ToLower(strings.NewReplacer("Test", "", "/", "_").Replace(t.Name())) + "_" + strconv.FormatInt(time.Now().UnixMilli(), 36), sims: map[int64]*harvesttest.Sim{}}
	w.database()
	var err error
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(parts.kafka, ",")...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HARVEST_API_KEY=" + token, "HARVEST_CONTACT=https://example.com", "HARVEST_ANCHOR_DATE=all",
		"HARVEST_RATE_LIMIT=30000", "HARVEST_CONCURRENCY=4", "HARVEST_POLL_INTERVAL=500ms", "HARVEST_PROBE_INTERVAL=2s", "HARVEST_TIMER_RESOLUTION=24h",
		"KAFKA_BROKERS=" + parts.kafka, "KAFKA_TOPIC_PREFIX=" + w.prefix(), "SCHEMA_REGISTRY_URL=" + parts.registry, "SCHEMA_REGISTRY_USERNAME=" + registryUser,
		"SCHEMA_REGISTRY_PASSWORD=" + registryPassword, "DATABASE_URL=" + databaseURL(w.name), "ADMIN_ADDR=", "LOG_FORMAT=text",
	}
	o.Seed += *seed
	w.env = append(w.env, w.account(o)...)
	return w
}

func (w *world) prefix() string { return w.name + "." }

func (w *world) database() {
	w.t.Helper()
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, parts.postgres)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{w.name}.Sanitize()); err != nil {
		w.t.Fatal(err)
	}
}

// account puts a simulated account on a port of its own and returns what a producer of it has to know.
func (w *world) account(o harvesttest.Options) []string {
	w.t.Helper()
	if o.Sizes == (harvesttest.Sizes{}) {
		o.Sizes = small
	}
	if o.Account == 0 {
		o.Account = 482913
	}
	o.Token, o.NoRequests, o.NoVersions = token, true, true
	sim := harvesttest.New(o)
	w.sims[o.Account] = sim
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	w.t.Cleanup(func() { _ = server.Close() })
	return []string{fmt.Sprintf("HARVEST_BASE_URL=http://%s/v2", listener.Addr()), fmt.Sprint("HARVEST_ACCOUNT_ID=", o.Account)}
}

// sim is the account of a world that has one only.
func (w *world) sim() *harvesttest.Sim { return w.sims[482913] }

// sync and drain bring what the account says now through the topics into the tables.
func (w *world) sync(env ...string) *program {
	w.t.Helper()
	return w.must("producer", []string{"sync"}, env...)
}
func (w *world) drain(env ...string) *program {
	w.t.Helper()
	return w.must("sinker", []string{"drain"}, env...)
}

func (w *world) pass(env ...string) {
	w.t.Helper()
	w.sync(env...)
	w.drain(env...)
}

// rows are what a query answers, one text a row.
func (w *world) rows(query string, args ...any) []string {
	w.t.Helper()
	texts, err := w.query(query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return texts
}

func (w *world) query(query string, args ...any) ([]string, error) {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, databaseURL(w.name)) // each time: the server is restarted under us
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close(ctx) }()
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// tables holds every table against the account and returns what differs and how many rows were compared.
func (w *world) tables(scope harvesttest.Scope) (differences []string, compared int) {
	for account, sim := range w.sims {
		for _, st := range schema.All() {
			texts, err := w.query("SELECT to_jsonb(t)::text FROM harvest."+st.Name+" t WHERE account_id = $1", account)
			if err != nil {
				return append(differences, err.Error()), compared
			}
			rows := make([][]byte, len(texts))
			for i, r := range texts {
				rows[i] = []byte(r)
			}
			compared += len(rows)
			differences = append(differences, sim.Differences(st, rows, scope)...)
		}
	}
	return differences, compared
}

// equal wants tables to be what the account is.
func (w *world) equal(scope harvesttest.Scope) int {
	w.t.Helper()
	differences, compared := w.tables(scope)
	w.refuse("tables", differences)
	w.sound()
	return compared
}

func (w *world) refuse(what string, differences []string) {
	w.t.Helper()
	for _, d := range differences[:min(len(differences), 20)] {
		w.t.Errorf("%s: %s", what, d)
	}
	if len(differences) > 20 {
		w.t.Errorf("%s: %d differences in all", what, len(differences))
	}
}

// arrives makes a change and waits until the services have brought it to its table. What else changed may be such as only sweeps see.
func (w *world) arrives(most time.Duration, services ...*program) time.Duration {
	w.t.Helper()
	began := time.Now()
	note := fmt.Sprint("changed at ", began)
	entry := w.first("time_entries", func(id int64) error {
		return w.sim().Update("time_entries", id, harvesttest.Fields{"notes": note})
	})
	for {
		got, err := w.query("SELECT notes FROM harvest.time_entries WHERE id = $1", entry)
		if err == nil && slices.Equal(got, []string{note}) {
			return time.Since(began).Round(100 * time.Millisecond)
		}
		for _, p := range services {
			p.alive()
		}
		if time.Since(began) > most {
			for _, p := range services {
				w.t.Log(p.said())
			}
			w.t.Fatalf("a change did not arrive within %s: %q, %v", most, got, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// first is the first row of a stream that lets do be done to it: some are locked.
func (w *world) first(stream string, do func(id int64) error) int64 {
	w.t.Helper()
	for _, id := range w.sim().IDs(stream) {
		if do(id) == nil {
			return id
		}
	}
	w.t.Fatalf("%s has no row for that", stream)
	return 0
}

// converge waits until the services have made the tables equal to an account that stands still.
func (w *world) converge(most time.Duration, services ...*program) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		differences, _ := w.tables(harvesttest.Compared)
		if len(differences) == 0 {
			w.sound()
			return time.Since(began).Round(100 * time.Millisecond)
		}
		for _, p := range services {
			p.alive()
		}
		if time.Since(began) > most {
			w.refuse(fmt.Sprintf("after %s", most), differences)
			for _, p := range services {
				w.t.Log(p.said())
			}
			w.t.FailNow()
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// sound holds what must be true at any time: nothing set aside, nothing lost on the way.
func (w *world) sound() {
	w.t.Helper()
	if letters := w.rows("SELECT reason FROM harvest._dead_letters"); len(letters) > 0 {
		w.t.Errorf("%d dead letters: %s", len(letters), letters[0])
	}
	if gaps := w.rows("SELECT stream FROM harvest._streams WHERE gaps > 0"); len(gaps) > 0 {
		w.t.Errorf("gaps in %v", gaps)
	}
}

// records is how many records the streams' topics hold, markers and what was aborted included, the checkpoints not.
func (w *world) records() int64 {
	w.t.Helper()
	var n int64
	ends, err := kadm.NewClient(w.client).ListEndOffsets(context.Background(), w.topics()...)
	if err != nil {
		w.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func (w *world) topics() []string {
	var names []string
	for _, st := range schema.All() {
		names = append(names, w.prefix()+st.Name)
	}
	return names
}

// without is an environment with some variables taken out.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}
