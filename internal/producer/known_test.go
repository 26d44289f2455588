package producer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"harveststream/pkg/schema"
)

// observed is a time entry as some answer might show it: few values, so that versions come back, in different forms.
func observed(rng *rand.Rand) (id int64, row string) {
	id = 1 + rng.Int64N(4)
	members := []string{
		fmt.Sprintf(`"hours":%d`, rng.IntN(3)),
		fmt.Sprintf(`"updated_at":"2026-03-02T13:21:4%dZ"`, rng.IntN(3)),
		`"client":{"id":7,"name":"Acme"}`,
	}
	switch rng.IntN(40) {
	case 0:
		members[1] = `"updated_at":"2999-01-01T00:00:00Z"` // never ahead of the server's clock: no stamp of its own
	case 1:
		members = members[:1] // and without one
	case 2:
		members[2] = `"client":{"id":7,"name":"Acme","new":1}` // to extra, and counted each time
	case 3:
		members = append(members, `"is_billed":"maybe"`)
	case 4:
		members[0], members[2] = members[2], members[0]
	}
	head, space := fmt.Sprintf(`{"id":%d`, id), ""
	if rng.IntN(10) == 0 {
		space = " "
	}
	for _, m := range members {
		head += "," + space + m
	}
	return id, head + "}"
}

// What a worker makes no record of gets the verdict that its record would have brought, and all that the verdict goes by; where the index
// has changed since, it does not say the same any more.
func TestKnownRowsAreDecidedAlike(t *testing.T) {
	st, _ := schema.ByName("time_entries")
	rng := rand.New(rand.NewPCG(11, 12))
	x := newIndex(true, false, 0)
	quick := reader{enc: schema.NewEncoder(st, 7, schema.Omit{}), index: x}
	whole := reader{enc: schema.NewEncoder(st, 7, schema.Omit{})}
	spared, forgotten := 0, 0
	for req := range uint32(50_000) {
		id, row := observed(rng)
		now := 1_800_000_000_000 + int64(req)*1000
		b := []byte(row + `,{"id":9}],"per_page":2000}`)
		quick.recs, whole.recs = quick.recs[:0], whole.recs[:0]
		n, err := quick.read(b, 0)
		m, err2 := whole.read(b, 0)
		if err != nil || err2 != nil || n != m || n != len(row) {
			t.Fatalf("%s: %d bytes, %d bytes of %d; %v, %v", row, n, m, len(row), err, err2)
		}
		got, want := &quick.recs[0], &whole.recs[0]
		old := x.get(id)
		verdict := decide(old, observation{stamp: stampOf(want.Updated, now), req: req, hash: want.Hash})
		if got.Body == nil {
			spared++
			if !old.says(got) || verdict != same && verdict != stale || got.ID != want.ID || got.Hash != want.Hash || got.Text != want.Text || stampOf(got.Updated, now) != stampOf(want.Updated, now) {
				t.Fatalf("%s: %+v is not %+v, whose verdict is %d", row, got, want, verdict)
			}
			if want.Bad+want.Unknown > 0 {
				t.Fatalf("%s: its faults would not be counted", row)
			}
		}
		switch verdict {
		case same:
			x.seen(old, want)
		case create, update, revive:
			next := entry{id: id, hash: want.Hash, stamp: stampOf(want.Updated, now), req: req, day: noDay}
			next.knows(want)
			x.put(next)
		}
		if rng.IntN(20) == 0 { // meanwhile another answer deletes, or shows something else
			x.put(entry{id: id, hash: rng.Uint64(), stamp: rng.Uint32N(1_770_000_000), flags: uint8(rng.IntN(2)) * flagGone, day: noDay})
			if got.Body == nil {
				forgotten++
				if x.get(id).says(got) {
					t.Fatalf("%s is not what the index has", row)
				}
			}
		}
	}
	if spared < 1000 || forgotten < 50 {
		t.Errorf("of %d rows no record was made, %d of them changed meanwhile", spared, forgotten)
	}
}

// Workers ask what is known while the engine writes.
func TestKnownFromOtherGoroutines(t *testing.T) {
	x := newIndex(true, false, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range int64(20_000) {
			if k := x.known(i % 5000); k.text.Size > 0 && k.text.Hash != uint64(i%5000) {
				t.Errorf("key %d is known as %+v", i%5000, k)
			}
		}
	}()
	for i := range int64(5000) {
		x.put(entry{id: i, stamp: 1, day: noDay})
		x.get(i).req = 5
		x.seen(x.get(i), &schema.Record{Updated: 1000, Text: schema.Text{Hash: uint64(i), Size: 1}})
	}
	<-done
}
