package sinker_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"harveststream/internal/sinker"
)

// TestConvergence: any cut of a history into batches, any ranges of it applied again in any order, lead to the same rows as the plain
// reading of it (S3).
func TestConvergence(t *testing.T) {
	t.Parallel()
	for _, soft := range []bool{false, true} {
		for seed := range uint64(3000) {
			r := rand.New(rand.NewPCG(seed, 7))
			history := make([]sinker.Op, 1+r.IntN(40))
			want := map[int64]sinker.State{}
			for i := range history {
				op := sinker.Op{ID: int64(r.IntN(4)), Seq: int64(i + 1), Tombstone: r.IntN(3) == 0}
				history[i] = op
				st := want[op.ID]
				switch {
				case op.Tombstone && soft:
					st.Marked = st.Row
				case op.Tombstone:
					st.Row, st.Content = false, 0
				default:
					st.Row, st.Content, st.Marked = true, op.Seq, false
				}
				want[op.ID] = st
			}
			got := map[int64]sinker.State{}
			apply := func(from, to int) {
				for from < to {
					n := from + 1 + r.IntN(to-from)
					sinker.Model(got, history[from:n], soft)
					from = n
				}
			}
			for range r.IntN(5) { // any part, in any order; then all of it from somewhere every part has reached
				from := r.IntN(len(history))
				apply(from, from+r.IntN(len(history)-from)+1)
			}
			apply(0, len(history))
			for range r.IntN(3) {
				from := r.IntN(len(history))
				apply(from, from+r.IntN(len(history)-from)+1)
			}
			for id, st := range got {
				st.Dead = 0
				if w := want[id]; !reflect.DeepEqual(st, w) {
					t.Fatalf("soft %v seed %d key %d: %+v, not %+v; history %v", soft, seed, id, st, w, fmt.Sprint(history))
				}
			}
		}
	}
}
