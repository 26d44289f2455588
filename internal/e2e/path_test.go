package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/producer"
	"harveststream/internal/sinker"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// The first pass brings the account as it is, in every column of every stream; the second changes nothing.
func TestFirstLoad(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 1, Numbers: harvesttest.Mixed}, func(w *world) {
		w.exact()
		w.pass()
		w.equal(harvesttest.Everything, usual, schema.All()...)
		for _, st := range schema.All() {
			table := usual.table(st.Name).Sanitize()
			for _, unknown := range w.rows("SELECT DISTINCT extra::text FROM " + table + " WHERE extra IS NOT NULL") {
				t.Errorf("%s: the schema does not know %s", st.Name, unknown)
			}
			for _, d := range w.rows("SELECT id::text FROM " + table + " WHERE _seq < 1 OR _observed_at IS NULL OR _loaded_at < _observed_at - interval '1 s'") {
				t.Errorf("%s %s: when it was seen and loaded is not told", st.Name, d)
			}
			if n, d := w.sim.Count(st.Name), w.rows("SELECT max(_seq)::text FROM " + table)[0]; d != fmt.Sprint(n) {
				t.Errorf("%s: %d rows, highest seq %s: something was published twice", st.Name, n, d)
			}
		}
		w.readOnce()
		before := w.rows("SELECT sum(next)::text FROM harvest._offsets")
		loaded := w.rows("SELECT max(_loaded_at)::text FROM harvest.time_entries")
		pass(time.Second)
		w.pass("HARVEST_CHILDREN_INTERVAL=1ms", "HARVEST_TIMER_RESOLUTION=24h")
		if after := w.rows("SELECT max(_loaded_at)::text FROM harvest.time_entries"); !slices.Equal(loaded, after) {
			t.Errorf("a second pass over an account at rest wrote rows; offsets %v before, %v after", before, w.rows("SELECT sum(next)::text FROM harvest._offsets"))
		}
		w.sound()
	})
}

// readOnce holds that each row of a list came with exactly one page: no page was left out and its rows found some other way.
func (w *world) readOnce() {
	for _, st := range schema.All() {
		rows := 0
		for _, r := range w.sim.Requests() {
			// not probes, the windows they narrow down to, and timers
			if q, _ := url.ParseQuery(r.Query); r.Full == st.Path && q.Get("per_page") != "1" && !q.Has("from") && !q.Has("is_running") {
				rows += r.Rows
			}
		}
		if n := w.sim.Count(st.Name); st.List != "" && st.Read != schema.Children && rows != n {
			w.t.Errorf("%s: pages with %d rows were read for %d", st.Name, rows, n)
		}
	}
}

// exact gives one row of every stream decimals that no float holds.
func (w *world) exact() {
	const long = harvesttest.Raw("12345678901234567.123456789")
	for _, st := range schema.All() {
		values := harvesttest.Fields{}
		for i := range st.Schema.Fields {
			if f := &st.Schema.Fields[i]; f.Kind == schema.Decimal && len(f.From) == 1 {
				values[f.Name] = long
			}
		}
		if err := w.sim.Touch(st.Name, w.sim.IDs(st.Name)[0], values); err != nil {
			w.t.Errorf("%s: %v", st.Name, err)
		}
	}
}

// What the schemas do not know arrives in extra, in array members and embedded objects too.
func TestUnknownFields(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 2}, func(w *world) {
		w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoUnknown})
		w.pass()
		for _, st := range schema.All() {
			if n := w.rows("SELECT count(extra)::text FROM " + usual.table(st.Name).Sanitize())[0]; n == "0" && st.Read != schema.Single {
				t.Errorf("%s: extra is empty everywhere", st.Name)
			}
		}
		w.equal(harvesttest.Compared, usual, schema.All()...)
		w.sound()
	})
}

// Rounds of changes of every kind, silent ones included, each brought over by one pass.
func TestRounds(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			env := slices.Clone(eager)
			if seed%2 == 1 {
				env = append(env, "SINK_DELETE_MODE=soft", "KAFKA_PARTITIONS=3")
			}
			bubble(t, harvesttest.Options{Seed: 10 + seed, Numbers: harvesttest.Numbers(seed % 3)}, func(w *world) {
				rng := rand.New(rand.NewPCG(seed, 1))
				n := usual
				n.soft = seed%2 == 1
				w.pass(env...)
				for range 6 {
					for range 15 {
						t.Log(w.sim.Step(rng))
						pass(7 * time.Second)
					}
					pass(10 * time.Minute)
					w.pass(env...)
					w.equal(harvesttest.Compared, n, schema.All()...)
					w.sound()
					if t.Failed() {
						return
					}
				}
			})
		})
	}
}

// Both services side by side follow an account that changes all the time.
func TestServices(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 20, Limit: 100}, func(w *world) {
		rng := rand.New(rand.NewPCG(20, 1))
		w.serve(func() {
			for range 60 { // with more, P7 would take the deletes for a catastrophe
				pass(20 * time.Second)
				t.Log(w.sim.Step(rng))
			}
			for _, user := range w.sim.IDs("users") {
				_, _ = w.sim.StopTimer(user) // refused where none runs
			}
			pass(45 * time.Minute)
		}, "HARVEST_SWEEP_INTERVAL=15m", "HARVEST_CHILDREN_INTERVAL=15m")
		w.equal(harvesttest.Compared, usual, schema.All()...)
		for _, st := range schema.All() {
			if fresh := w.rows("SELECT stream FROM harvest._streams WHERE stream = $1 AND complete_to > $2", st.Name, time.Now().Add(-time.Hour)); len(fresh) != 1 {
				t.Errorf("%s: it is not said to be complete up to the last hour", st.Name)
			}
		}
		if n := w.sim.WorstWindow(15 * time.Second); n > 100 {
			t.Errorf("%d requests within 15 s", n)
		}
		w.sound()
	})
}

// One row of every stream is deleted, where Harvest lets one be: hard it leaves, soft it stays and says since when.
func TestDeletes(t *testing.T) {
	for _, mode := range []string{"hard", "soft"} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 30}, func(w *world) {
				env := append([]string{"SINK_DELETE_MODE=" + mode}, eager...)
				n := usual
				n.soft = mode == "soft"
				w.pass(env...)
				gone := w.deleteOneOfEach()
				pass(10 * time.Minute)
				w.pass(env...)
				w.equal(harvesttest.Compared, n, schema.All()...)
				for st, id := range gone {
					kept := w.rows("SELECT count(*)::text FROM "+n.table(st).Sanitize()+" WHERE id = $1", id)[0]
					if want := map[bool]string{true: "1", false: "0"}[n.soft]; kept != want {
						t.Errorf("%s %d: %s rows after its delete, want %s", st, id, kept, want)
					}
					if n.soft {
						continue
					}
					if known := w.rows("SELECT count(*)::text FROM harvest._deleted WHERE stream = $1 AND id = $2", st, id)[0]; known != "1" {
						t.Errorf("%s %d: a replay would bring it back", st, id)
					}
				}
				w.sound()
			})
		})
	}
}

// deleteOneOfEach deletes what it may of every stream and says what.
func (w *world) deleteOneOfEach() map[string]int64 {
	gone := map[string]int64{}
	for _, name := range slices.Backward(w.sim.Streams()) {
		for _, id := range w.sim.IDs(name) {
			if err := w.sim.Delete(name, id); err == nil {
				gone[name] = id
				break
			}
		}
	}
	if len(gone) < 12 {
		w.t.Fatalf("only %v could be deleted", gone)
	}
	return gone
}

// Two accounts, whose rows have the same ids, share topics and tables.
func TestTwoAccounts(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 40}, func(w *world) {
		other := newSim(harvesttest.Options{Seed: 40, Account: 77})
		first := w.sim
		w.pass()
		if err := first.Delete("time_entries", first.IDs("time_entries")[0]); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		w.sim = other
		w.pass("HARVEST_ACCOUNT_ID=77")
		w.sim = first
		w.pass(eager...)
		for sim, account := range map[*harvesttest.Sim]int{first: accountID, other: 77} {
			n := usual
			n.account = account
			w.sim = sim
			w.equal(harvesttest.Compared, n, schema.All()...)
		}
		w.sound()
	})
}

// A stream that is not selected has no table; selected later it is read whole.
func TestSelection(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 50}, func(w *world) {
		const some = "HARVEST_STREAMS=*,-estimate*,-roles"
		selected, err := schema.Select([]string{"*", "-estimate*", "-roles"})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(some)
		w.equal(harvesttest.Everything, usual, selected...)
		tables := w.rows("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'harvest'")
		for _, st := range schema.All() {
			if !slices.Contains(selected, st) && slices.Contains(tables, st.Name) {
				t.Errorf("%s is not selected and has a table", st.Name)
			}
		}
		w.pass()
		w.equal(harvesttest.Compared, usual, schema.All()...)
		w.sound()
	})
}

// A replication file selects streams and names their tables; child tables follow.
func TestReplicationFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, []byte(`
source: HARVEST
target: POSTGRES
defaults:
  mode: incremental
  object: tracking.{stream_name}
streams:
  time_entries: {object: tracking.work}
  invoice*:
  estimate_messages: {object: sales.letters}
  clients: {mode: full-refresh}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	named := map[string]pgx.Identifier{"time_entries": {"tracking", "work"}, "estimate_messages": {"sales", "letters"}}
	n := names{table: func(stream string) pgx.Identifier {
		if own, ok := named[stream]; ok {
			return own
		}
		return pgx.Identifier{"tracking", stream}
	}}
	n.items = func(st *schema.Stream, field string) pgx.Identifier {
		table := n.table(st.Name)
		return pgx.Identifier{table[0], table[1] + "_" + field}
	}
	bubble(t, harvesttest.Options{Seed: 60}, func(w *world) {
		selected, err := schema.Select([]string{"time_entries", "invoice*", "estimate_messages", "clients"})
		if err != nil {
			t.Fatal(err)
		}
		w.pass("REPLICATION_FILE=" + file)
		w.equal(harvesttest.Everything, n, selected...)
		client := w.sim.IDs("clients")[0]
		if err := w.sim.Touch("clients", client, harvesttest.Fields{"name": "Renamed"}); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		w.pass("REPLICATION_FILE=" + file) // updated_at did not move: only a full refresh sees it
		w.equal(harvesttest.Compared, n, selected[0])
		w.sound()
	})
}

// serve runs both services while something happens, and stops them cleanly.
func (w *world) serve(during func(), env ...string) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	type end struct {
		code int
		said string
	}
	ends := make(chan end, 2)
	go func() {
		code, said := w.try(w.produce(func(p *producer.Producer, _ context.Context) error { return p.Run(ctx) }), env...)
		ends <- end{code, said}
	}()
	go func() {
		code, said := w.try(w.apply(func(_ context.Context, cfg sinker.Config, deps sinker.Deps) error { return sinker.Run(ctx, cfg, deps) }), env...)
		ends <- end{code, said}
	}()
	during()
	stop()
	for range 2 {
		if e := <-ends; e.code != 0 {
			w.t.Errorf("a service ended with %d: %s", e.code, e.said)
		}
	}
}

func pass(d time.Duration) { time.Sleep(d) } // virtual
