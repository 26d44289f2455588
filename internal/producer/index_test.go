package producer

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// The index against a plain map: every key, count and window, whatever comes and goes.
func TestIndexAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := newIndex(true, true, 50)
	want := map[int64]entry{}
	for range 20_000 {
		e := entry{id: rng.Int64N(4000) - 1000, hash: rng.Uint64(), owner: rng.Int64N(20), stamp: rng.Uint32N(100), day: rng.Int32N(40), req: rng.Uint32N(10)}
		if rng.IntN(10) == 0 {
			e.day = noDay
		}
		if rng.IntN(5) == 0 {
			e.flags = flagGone
		}
		x.put(e)
		want[e.id] = e
	}
	w := window{from: 10, to: 20}
	live, counted, inside, kids := 0, 0, 0, map[int64]int{}
	var unmet []int64
	for id, e := range want {
		if got := x.get(id); got == nil || *got != e {
			t.Fatalf("key %d: %+v, want %+v", id, got, e)
		}
		if e.gone() {
			continue
		}
		live++
		kids[e.owner]++
		if e.req < 5 && w.holds(&e) {
			unmet = append(unmet, id)
		}
		if e.stamp < 50 {
			continue
		}
		counted++
		if w.holds(&e) {
			inside++
		}
	}
	if x.live != live || x.counted != counted || x.within(w) != inside || x.within(everything) != counted {
		t.Errorf("live %d counted %d within %d, want %d %d %d", x.live, x.counted, x.within(w), live, counted, inside)
	}
	for owner, n := range kids {
		got := 0
		x.children(owner, func(*entry) { got++ })
		if got != n {
			t.Errorf("parent %d has %d children, want %d", owner, got, n)
		}
	}
	got := x.unmet(w, 5)
	slices.Sort(got)
	slices.Sort(unmet)
	if !slices.Equal(got, unmet) {
		t.Errorf("%d unmet, want %d", len(got), len(unmet))
	}
	if x.get(1<<40) != nil {
		t.Error("a key nobody put is there")
	}
}

// A million records fit in 64 MB.
func TestIndexMemory(t *testing.T) {
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := newIndex(true, false, 0)
	for i := range int64(n) {
		x.put(entry{id: 2_400_000_000 + i*3, hash: uint64(i), day: int32(i / 400)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := after.HeapAlloc - before.HeapAlloc; used > 64_000_000 {
		t.Errorf("%d records take %d bytes", x.n, used)
	} else {
		t.Logf("%.1f bytes a record", float64(used)/n)
	}
	runtime.KeepAlive(x)
}

func BenchmarkIndexGet(b *testing.B) {
	x := newIndex(false, false, 0)
	for i := range int64(1_000_000) {
		x.put(entry{id: 2_400_000_000 + i*3})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if x.get(2_400_000_000+rng.Int64N(1_000_000)*3) == nil {
			b.Fatal("lost")
		}
	}
}

// P5's laws over random histories: what is published never steps back in (stamp, request), and the same content never twice in a row.
func TestDecideLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		e := entry{stamp: rng.Uint32N(4), req: rng.Uint32N(4), hash: rng.Uint64N(3)}
		o := observation{stamp: rng.Uint32N(4), req: rng.Uint32N(4), hash: rng.Uint64N(3)}
		switch v := decide(&e, o); {
		case v == update && (o.stamp < e.stamp || o.stamp == e.stamp && o.req < e.req || o.hash == e.hash):
			t.Fatalf("%+v was published over %+v", o, e)
		case v == same && o.hash != e.hash:
			t.Fatalf("%+v was taken for %+v", o, e)
		case v == stale && o.stamp > e.stamp:
			t.Fatalf("%+v was dropped for %+v", o, e)
		case v == create || v == revive:
			t.Fatalf("%+v over a living %+v is %v", o, e, v)
		}
		e.flags = flagGone
		if v := decide(&e, o); v != revive && v != stale || v == revive && o.req <= e.req {
			t.Fatalf("%+v over the tombstone %+v is %v", o, e, v)
		}
	}
	if decide(nil, observation{}) != create {
		t.Error("a new key is not created")
	}
}

// The brake (P7): never without an administrator, never the whole stream, never more than max(20, 2 %) a day, never more than allowed.
func TestConcludeLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		c := candidates{unexplained: rng.IntN(60), explained: rng.IntN(30), today: rng.IntN(30), living: rng.IntN(2000), allowed: rng.IntN(80) - 40, admin: rng.IntN(4) > 0, changed: rng.IntN(4) == 0}
		c.allowed = max(c.allowed, -1)
		if conclude(c) != "" {
			continue
		}
		asked := c.allowed >= 0
		switch {
		case !c.admin:
			t.Fatalf("%+v: deletes without an administrator's token", c)
		case c.unexplained == 0:
		case c.changed:
			t.Fatalf("%+v: deletes although permissions changed", c)
		case asked && c.unexplained > c.allowed:
			t.Fatalf("%+v: deletes more than allowed", c)
		case !asked && c.unexplained+c.today > max(20, c.living/50):
			t.Fatalf("%+v: deletes more than the brake lets through", c)
		case !asked && c.unexplained+c.explained >= c.living:
			t.Fatalf("%+v: deletes all there is", c)
		}
	}
}

// P12 against a model: following next and split from the whole range down always ends at windows that hold every difference, each of one
// page or one day.
func TestProbesFindEveryDifference(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		const page = 50
		rows, server := map[int32]int{}, map[int32]int{}
		for range rng.IntN(60) {
			d := rng.Int32N(300)
			rows[d] = rng.IntN(40)
			server[d] = rows[d]
		}
		differ := map[int32]bool{}
		for range 1 + rng.IntN(3) {
			d := rng.Int32N(300)
			server[d] = max(0, server[d]+rng.IntN(5)-2)
			differ[d] = server[d] != rows[d]
		}
		var days []int32
		for d := range int32(300) {
			if rows[d] > 0 {
				days = append(days, d)
			}
		}
		sum := func(m map[int32]int, w window) int {
			n := 0
			for d, c := range m {
				if w.from <= d && d <= w.to {
					n += c
				}
			}
			return n
		}
		swept, probes := map[int32]bool{}, 0
		var follow func(w window, n int)
		follow = func(w window, n int) {
			switch next(w, n, sum(rows, w), page) {
			case look:
				for d := w.from; d <= w.to && d < 300; d++ {
					swept[max(d, 0)] = true
				}
			case halve:
				probes++
				first, second := split(w, days, rows)
				if first.from != w.from || second.to != w.to || first.to+1 != second.from || first.to < first.from || second.to < second.from {
					t.Fatalf("%+v was cut into %+v and %+v", w, first, second)
				}
				follow(first, sum(server, first))
				follow(second, n-sum(server, first))
			}
		}
		whole := window{from: 0, to: 299}
		follow(whole, sum(server, whole))
		balance := sum(server, whole) != sum(rows, whole)
		for d, is := range differ {
			if is && balance && len(differ) == 1 && !swept[d] {
				t.Fatalf("the difference of day %d was not found", d)
			}
		}
		if probes > 60 {
			t.Fatalf("%d probes", probes)
		}
	}
}
