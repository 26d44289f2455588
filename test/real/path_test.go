package real_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// The first pass brings the account as it is, in every column of every stream; what comes after it publishes nothing, however often and
// whoever asks.
func TestFirstLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 1, Numbers: harvesttest.Mixed})
	began := time.Now()
	w.sync()
	synced := time.Since(began)
	began = time.Now()
	w.drain()
	drained := time.Since(began)
	compared := w.equal(harvesttest.Everything)
	wrong, published := w.history()
	w.refuse("topics", wrong)
	if published != compared {
		t.Errorf("%d records published for %d rows", published, compared)
	}
	figure(t, "%d rows equal in every column, %d records on topics; sync %s, drain %s", compared, published, synced.Round(time.Millisecond), drained.Round(time.Millisecond))

	before := w.records()
	for range 2 {
		w.pass(without(eager, "HARVEST_TIMER_RESOLUTION")...)
		p, s := w.start("producer", nil, without(eager, "HARVEST_TIMER_RESOLUTION")...), w.start("sinker", nil)
		waitFor(t, p, "index rebuilt")
		time.Sleep(3 * time.Second)
		p.alive()
		s.alive()
		p.stop()
		s.stop()
	}
	if after := w.records(); after != before {
		t.Errorf("restarts published: the topics ended at %d in all, now at %d", before, after)
	}
	figure(t, "4 restarts published 0 records")
	for _, args := range [][]string{{"verify"}, {"rebuild", "--yes"}, {"verify"}} {
		w.must("sinker", append(args, names()...))
	}
	w.equal(harvesttest.Everything)
	figure(t, "verify and rebuild of %d tables", len(schema.All()))
}

func names() []string {
	var all []string
	for _, st := range schema.All() {
		all = append(all, st.Name)
	}
	return all
}

// waitFor waits until a program has said something.
func waitFor(t *testing.T, p *program, text string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !p.saidText(text); time.Sleep(100 * time.Millisecond) {
		p.alive()
		if time.Now().After(end) {
			t.Fatalf("%s did not say %q: %s", p.name, text, p.said())
		}
	}
}

// Changes of all kinds, silent ones and deletes included, in rounds, each brought over by one pass; the tables of a moment between by drain
// --until.
func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 2})
	rng := rand.New(rand.NewPCG(*seed, 2))
	w.pass(eager...)
	changes, compared := 0, 0
	for range 3 {
		for range 40 {
			t.Log(w.sim().Step(rng))
			changes++
		}
		time.Sleep(2500 * time.Millisecond) // what the lookback of a second is for is past
		w.passAllowing()
		compared += w.equal(harvesttest.Compared)
	}
	wrong, records := w.history()
	w.refuse("topics", wrong)
	figure(t, "%d changes in 3 rounds, %d rows compared, %d records on topics", changes, compared, records)
	if out := w.must("sinker", append([]string{"verify"}, names()...)).output(); strings.Contains(string(out), token) {
		t.Error("the token is in the output")
	}
}

// passAllowing is a pass that answers stopped sweeps (P7): random changes delete more than any user would.
func (w *world) passAllowing() {
	w.t.Helper()
	code, p := w.run("producer", []string{"sync"}, eager...)
	if code == 65 {
		var lists []string
		for _, st := range schema.All() {
			if st.Read == schema.Changes {
				lists = append(lists, st.Name)
			}
		}
		w.must("producer", append([]string{"sweep", "--allow-deletes", "100000"}, lists...), eager...)
		code, p = w.run("producer", []string{"sync"}, eager...)
	}
	if code != 0 {
		w.t.Fatalf("producer sync: %d: %s", code, p.said())
	}
	w.drain()
}

// drain --until applies what was on the topics by a moment, and no more.
func TestUntil(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 3})
	w.sync()
	var entry int64
	note := func(text string) {
		entry = w.first("time_entries", func(id int64) error {
			return w.sim().Update("time_entries", id, harvesttest.Fields{"notes": text})
		})
		time.Sleep(1100 * time.Millisecond)
		w.sync()
	}
	note("first")
	time.Sleep(1100 * time.Millisecond)
	moment := time.Now().UTC()
	time.Sleep(1100 * time.Millisecond)
	note("second")
	notes := func() string { return w.rows("SELECT notes FROM harvest.time_entries WHERE id = $1", entry)[0] }
	w.must("sinker", []string{"drain", "--until", moment.Format(time.RFC3339Nano)})
	if got := notes(); got != "first" {
		t.Errorf("by %s the notes said first, not %q", moment, got)
	}
	w.drain()
	if got := notes(); got != "second" {
		t.Errorf("now the notes say second, not %q", got)
	}
	w.equal(harvesttest.Compared)
	figure(t, "the table of a moment, then of now")
}

// Two accounts whose rows have the same ids share topics, tables and, in the end, two services side by side.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 4})
	other := w.account(harvesttest.Options{Seed: *seed + 4, Account: 77})
	rng := rand.New(rand.NewPCG(*seed, 4))
	first, second := w.start("producer", nil), w.start("producer", nil, other...)
	sink := w.start("sinker", nil)
	w.converge(3*time.Minute, first, second, sink)
	for range 30 {
		for _, account := range []int64{77, 482913} {
			w.sims[account].Live(rng)
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	first.stop()
	second.stop()
	first, second = w.start("producer", nil, eager...), w.start("producer", nil, append(slices.Clone(other), eager...)...)
	took := w.converge(3*time.Minute, first, second, sink)
	for _, p := range []*program{first, second, sink} {
		p.stop()
	}
	wrong, records := w.history()
	w.refuse("topics", wrong)
	figure(t, "2 accounts, %d records, tables equal %s after the last change", records, took)
}
