package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// With one processor what happens in a bubble does not depend on the machine.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(pgserver.Main(m))
}

const (
	token     = "canary-5f1d7c" // must be seen in no output
	accountID = 482913
	pageSize  = 10 // so that most lists have several
)

// world is everything between a simulated account and a real database, on virtual time: the clock stands while PostgreSQL works.
type world struct {
	t        *testing.T
	sim      *harvesttest.Sim
	dial     func(ctx context.Context, network, host string) (net.Conn, error) // to the broker
	registry http.RoundTripper
	db       *pgx.Conn
	env      []string
	log      bytes.Buffer // what both programs log, through one logger
	logger   *slog.Logger
}

// small is an account that a pass reads in a blink.
var small = harvesttest.Sizes{Users: 6, Clients: 5, Projects: 9, Tasks: 4, Invoices: 25, Estimates: 24, Expenses: 30, TimeEntries: 300}

// bubble runs a test in a world of its own.
func bubble(t *testing.T, o harvesttest.Options, test func(w *world)) {
	t.Helper()
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, url, o)) })
}

func newWorld(t *testing.T, url string, o harvesttest.Options) *world {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	w := &world{t: t, sim: newSim(o), dial: network.DialContext, registry: handler{srfake.NewRegistry().Handler()}}
	w.logger = slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.BrokerConfigs(map[string]string{
		"log.cleaner.backoff.ms": "86400000000", "log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	if w.db, err = pgx.Connect(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close(context.Background()) })
	w.env = []string{
		"HARVEST_API_KEY=" + token, "HARVEST_ACCOUNT_ID=482913", "HARVEST_CONTACT=https://example.com", "HARVEST_ANCHOR_DATE=all", "KAFKA_BROKERS=localhost:9092",
		"KAFKA_COMPRESSION=none", "SCHEMA_REGISTRY_URL=http://registry", "DATABASE_URL=" + url, "ADMIN_ADDR=",
	}
	return w
}

func newSim(o harvesttest.Options) *harvesttest.Sim {
	if o.Sizes == (harvesttest.Sizes{}) {
		o.Sizes = small
	}
	o.Token, o.BaseURL = token, "https://api.harvestapp.com/v2"
	return harvesttest.New(o)
}

// handler serves a http.Handler without sockets.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// eager makes a pass find everything there is to find, however silent.
var eager = []string{"HARVEST_SWEEP_INTERVAL=1m", "HARVEST_LOOKBACK=1m", "HARVEST_CHILDREN_INTERVAL=1s", "HARVEST_TIMER_RESOLUTION=1s"}

// try runs one of the programs' commands as the program would: configuration from the environment, the exit code and what was printed.
func (w *world) try(run func(env []string) error, env ...string) (code int, printed string) {
	w.t.Helper()
	var out bytes.Buffer
	given := append(slices.Clone(w.env), env...)
	root := func(ops.Env) *cobra.Command {
		return &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return run(given) }}
	}
	code = ops.Execute(w.t.Context(), ops.Env{Stdout: &out, Stderr: &out}, nil, root)
	return code, out.String()
}

// produce is `producer sync` or `producer run`.
func (w *world) produce(do func(*producer.Producer, context.Context) error) func(env []string) error {
	return func(env []string) error {
		cfg, err := ops.Load[producer.Config](env, "")
		if err != nil {
			return err
		}
		cfg.Kafka.Dial, cfg.Kafka.RegistryTransport = w.dial, w.registry
		p, err := producer.New(cfg, producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger, PageSize: pageSize})
		if err != nil {
			return err
		}
		return do(p, w.t.Context())
	}
}

// apply is `sinker drain` or `sinker run`.
func (w *world) apply(do func(context.Context, sinker.Config, sinker.Deps) error) func(env []string) error {
	return func(env []string) error {
		cfg, err := ops.Load[sinker.Config](env, "")
		if err != nil {
			return err
		}
		cfg.Kafka.Dial, cfg.Kafka.RegistryTransport = w.dial, w.registry
		return do(w.t.Context(), cfg, sinker.Deps{Log: w.logger, Stdout: io.Discard})
	}
}

func drain(ctx context.Context, cfg sinker.Config, deps sinker.Deps) error {
	return sinker.Drain(ctx, cfg, deps, time.Time{})
}

// pass brings what the account says now through the topics into the tables.
func (w *world) pass(env ...string) {
	w.t.Helper()
	if code, said := w.try(w.produce((*producer.Producer).Sync), env...); code != 0 {
		w.t.Fatalf("sync: %d %s", code, said)
	}
	if code, said := w.try(w.apply(drain), env...); code != 0 {
		w.t.Fatalf("drain: %d %s", code, said)
	}
}

// rows are what a query answers, one text a row.
func (w *world) rows(query string, args ...any) []string {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return texts
}

// names says where a target's rows are and which of them are meant.
type names struct {
	table   func(stream string) pgx.Identifier
	items   func(st *schema.Stream, field string) pgx.Identifier
	soft    bool // rows of what is gone stay
	account int  // 0: the only one
}

var usual = names{
	table: func(stream string) pgx.Identifier { return pgx.Identifier{"harvest", stream} },
	items: func(st *schema.Stream, field string) pgx.Identifier {
		return pgx.Identifier{"harvest", singular(st) + "_" + field}
	},
}

// living is the condition of a row that should have its like in the account.
func (n names) living() string {
	where := "true"
	if n.soft {
		where = "_deleted_at IS NULL"
	}
	if n.account != 0 {
		where += fmt.Sprint(" AND account_id = ", n.account)
	}
	return where
}

// singular is what a stream's object is called in names of child tables: invoice, invoice_message.
func singular(st *schema.Stream) string {
	return strings.ToLower(strings.TrimPrefix(regexp.MustCompile("[A-Z]").ReplaceAllString(st.Schema.Name, "_$0"), "_"))
}

// equal holds every table of these streams against the account, and child tables against the arrays they come from.
func (w *world) equal(scope harvesttest.Scope, n names, streams ...*schema.Stream) {
	w.t.Helper()
	for _, st := range streams {
		var rows [][]byte
		for _, r := range w.rows("SELECT to_jsonb(t)::text FROM " + n.table(st.Name).Sanitize() + " t WHERE " + n.living()) {
			rows = append(rows, []byte(r))
		}
		if len(rows) == 0 {
			w.t.Errorf("%s: nothing was compared", st.Name)
		}
		differences := w.sim.Differences(st, rows, scope)
		for _, d := range differences[:min(len(differences), 20)] {
			w.t.Error(d)
		}
		for i := range st.Schema.Fields {
			if f := &st.Schema.Fields[i]; f.Kind == schema.Items {
				w.itemsEqual(st, f.Name, n)
				if scope == harvesttest.Everything {
					for _, unknown := range w.rows("SELECT DISTINCT extra::text FROM " + n.items(st, f.Name).Sanitize() + " WHERE extra IS NOT NULL") {
						w.t.Errorf("%s of %s: the schema does not know %s", f.Name, st.Name, unknown)
					}
				}
			}
		}
	}
}

// itemsEqual holds a child table against the arrays of its parents' rows: the same members, numbered from 1.
func (w *world) itemsEqual(st *schema.Stream, field string, n names) {
	w.t.Helper()
	child, key := n.items(st, field).Sanitize(), singular(st)+"_id"
	for _, d := range w.rows(fmt.Sprintf(`
WITH a AS (SELECT p.id, p.account_id, i.ordinal, i.item FROM %s p, jsonb_array_elements(p.%q) WITH ORDINALITY i(item, ordinal)),
     b AS (SELECT c.%q AS id, c.account_id, c.ordinal, to_jsonb(c) - '%s' - 'account_id' - 'ordinal' AS item FROM %s c)
(SELECT 'only in the array: ' || a::text FROM (TABLE a EXCEPT TABLE b) a) UNION ALL (SELECT 'only in the table: ' || b::text FROM (TABLE b EXCEPT TABLE a) b)`,
		n.table(st.Name).Sanitize(), field, key, key, child)) {
		w.t.Errorf("%s of %s: %s", field, st.Name, d)
	}
	if w.rows("SELECT count(*)::text FROM " + child)[0] == "0" {
		w.t.Errorf("%s is empty: nothing was compared", child)
	}
}

// sound holds what must be true at any time: nothing set aside, nothing lost on the way, the token in no log.
func (w *world) sound() {
	w.t.Helper()
	if strings.Contains(w.log.String(), token) {
		w.t.Error("the token is in the log")
	}
	if letters := w.rows("SELECT reason FROM harvest._dead_letters"); len(letters) > 0 {
		w.t.Errorf("%d dead letters: %s", len(letters), letters[0])
	}
	if gaps := w.rows("SELECT stream FROM harvest._streams WHERE gaps > 0"); len(gaps) > 0 {
		w.t.Errorf("gaps in %v", gaps)
	}
}
