package sinker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

// updates is a random history of many updates of many rows, a portion a round.
type updates struct {
	*world
	r    *rand.Rand
	st   *schema.Stream
	soft bool
	all  [][]version // by id: every version there was, by seq
	stop func()      // ends a sinker as a signal does
}

const updatedRows = 1500 // a portion must have a thousand to be staged ahead

func newUpdates(t *testing.T, seed uint64, soft bool) *updates {
	u := &updates{world: newWorld(t, "SINK_DELETE_MODE="+map[bool]string{false: "hard", true: "soft"}[soft]), r: rand.New(rand.NewPCG(seed, 5)),
		st: stream(t, "tasks"), soft: soft, all: make([][]version, updatedRows)}
	u.topics(1, "tasks")
	return u
}

// What a portion has beside updates.
const (
	nothing = iota
	deletes // and rows that come back
	echoes  // what earlier records said, once more, and updates of rows that nobody has seen, as compaction leaves them
)

// next publishes the nth portion: a thousand updates at least. Those after one with deletes have replays, which must not bring back what
// was deleted a moment before.
func (u *updates) next(n int) {
	u.t.Helper()
	kind := []int{nothing, nothing, nothing, deletes, echoes}[n%5]
	var list []version
	for id, had := range u.all {
		v := version{stream: u.st, id: int64(id + 1), row: row{"name": fmt.Sprint("Task ", u.r.IntN(1e6))}}
		dice, dead := u.r.IntN(100), len(had) > 0 && had[len(had)-1].row == nil
		switch {
		case len(had) == 0 && n > 0 && kind != echoes, len(had) == 0 && dice < 2:
			continue
		case kind == echoes && (dead || len(had) == 0 || dice < 5):
			if v = append(had, v)[u.r.IntN(max(1, len(had)))]; v.row == nil {
				continue
			}
			u.rows[fmt.Sprint(u.st.Name, account, v.id)] = true // as it was when it was written: an update
			list = append(list, v)
			if dead {
				defer func() { u.rows[fmt.Sprint(u.st.Name, account, v.id)] = false }()
			}
			continue
		case kind == deletes && dice < 5:
			v.row = nil
		case dead && (kind != deletes || dice < 50), dice > 85:
			continue
		}
		list = append(list, v)
	}
	u.publish(list...)
	for _, v := range list {
		if last := len(u.all[v.id-1]) - 1; last < 0 || u.all[v.id-1][last].seq < v.seq {
			u.all[v.id-1] = append(u.all[v.id-1], v)
		}
	}
}

// want is what the table must hold.
func (u *updates) want() map[string]string {
	want := map[string]string{}
	for id := range u.all {
		var content, gone *version
		for i := range u.all[id] {
			if v := &u.all[id][i]; v.row != nil {
				content, gone = v, nil
			} else {
				gone = v
			}
		}
		key := fmt.Sprintf("%d/%d", id+1, account)
		switch {
		case content != nil && gone == nil:
			want[key] = expected(u.t, content, nil, u.soft)
		case content != nil && u.soft:
			want[key] = expected(u.t, content, zoned(gone.at), true)
		}
	}
	return want
}

// stepwise runs a sinker that gets the next portion while one is written, before its commit: what can be staged of it, is. It ends behind
// these many portions, or when at returns an error, which it calls with the number of the portion being written, from 1.
func (u *updates) stepwise(portions int, at func(point string, portion int) error) (staged int, err error) {
	u.t.Helper()
	ctx, stop := context.WithCancel(u.t.Context())
	defer stop()
	u.stop = stop
	read := make(chan struct{}, 1)
	portion, asked := 1, false // of the worker alone
	deps := u.deps
	deps.Hook = func(point string) error {
		switch point {
		case "ks13":
			select {
			case read <- struct{}{}:
			default:
			}
			return at(point, 0)
		case "ks05":
			if !asked && portion < portions {
				asked = true
				u.next(portion)
				select {
				case <-read:
				case <-ctx.Done():
				}
				staged += one[int](u.world, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE 'COPY %stage_tasks%'")
			}
		case "ks07":
			if portion, asked = portion+1, false; portion > portions {
				stop()
			}
			return at(point, portion-1)
		}
		return at(point, portion)
	}
	err = sinker.Run(ctx, u.cfg, deps)
	return staged, err
}

// check drains what is left and compares every row.
func (u *updates) check() {
	u.t.Helper()
	u.drain()
	u.equal(u.table("harvest.tasks", "id, account_id"), u.want())
	if gaps := one[int](u.world, "SELECT coalesce(sum(gaps), 0) FROM harvest._streams"); gaps != 0 {
		u.t.Errorf("%d gaps", gaps)
	}
}

// S3, S4: portions that are staged before their turn lead to the same rows, whatever the portion before has done to them meanwhile.
func TestAhead(t *testing.T) {
	t.Parallel()
	for _, soft := range []bool{false, true} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(soft, seed), func(t *testing.T) {
				t.Parallel()
				u := newUpdates(t, seed, soft)
				u.next(0)
				staged, err := u.stepwise(13, func(string, int) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				if staged < 3 {
					t.Errorf("%d portions were staged before their turn", staged)
				}
				u.check()
			})
		}
	}
}

// S1: a death with a portion in its stage, and connections that are lost, the one that writes or the one that waits, lose and repeat
// nothing.
func TestAheadLost(t *testing.T) {
	t.Parallel()
	const idle = "datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
	for name, which := range map[string]string{"writing": "query NOT LIKE 'COPY %stage_tasks%'", "waiting": "query LIKE 'COPY %stage_tasks%'", "both": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpdates(t, 7, false)
			u.next(0)
			times := 0
			_, err := u.stepwise(9, func(point string, portion int) error {
				if point == "ks05" && portion >= 3 && times < 3 {
					times++
					u.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + idle + " AND " + which)
				}
				return nil
			})
			if err != nil || times < 3 {
				t.Errorf("cut off %d times: %v", times, err)
			}
			u.check()
		})
	}
	for _, point := range []string{"ks02", "ks03", "ks04", "ks05", "ks06", "ks13"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			u := newUpdates(t, 8, true)
			u.next(0)
			met := 0
			_, err := u.stepwise(9, func(at string, _ int) error {
				if at == point {
					if met++; met > 4 {
						return ops.Fail(ops.ExitInternal, errKilled)
					}
				}
				return nil
			})
			if !errors.Is(err, errKilled) {
				t.Errorf("met %d times: %v", met, err)
			}
			u.check()
		})
	}
}

// S1: a portion that is in its stage when somebody takes the partition over is not applied.
func TestAheadFenced(t *testing.T) {
	t.Parallel()
	u := newUpdates(t, 9, false)
	u.next(0)
	var before map[string]string
	staged, err := u.stepwise(9, func(point string, portion int) error {
		switch {
		case point == "ks07" && portion == 4:
			u.sql("UPDATE harvest._offsets SET fence = fence + 1")
			before = u.table("harvest.tasks", "id, account_id")
		case point == "ks02" && portion == 5: // tries, and finds out
			u.stop()
		case point == "ks03" && portion == 5:
			t.Error("the fence did not hold")
		}
		return nil
	})
	if err != nil || staged < 1 {
		t.Errorf("%d portions were staged: %v", staged, err)
	}
	if after := u.table("harvest.tasks", "id, account_id"); !maps.Equal(before, after) {
		t.Error("rows were changed behind the fence")
	}
	u.check()
}
