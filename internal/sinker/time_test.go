package sinker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"harveststream/internal/pgserver"
)

// TestComesBack: a service whose partition was taken over serves it again once the other has been silent for a while, and at an idle end
// at_end moves on (S1, S8). On virtual time; the database's answers take none of it.
func TestComesBack(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}})
		w.serve()
		time.Sleep(10 * time.Second)
		w.drain()
		fence := one[int64](w, "SELECT fence FROM harvest._offsets")
		w.publish(version{stream: tasks, id: 2, row: row{}})
		time.Sleep(20 * time.Second)
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
			t.Errorf("%d rows: it did not let go", n)
		}
		time.Sleep(2 * time.Minute)
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 2 {
			t.Errorf("%d rows: it has not come back", n)
		}
		if now := one[int64](w, "SELECT fence FROM harvest._offsets"); now != fence+1 {
			t.Errorf("the fence went from %d to %d", fence, now)
		}
		time.Sleep(10 * time.Minute)
		if age := time.Since(one[time.Time](w, "SELECT at_end FROM harvest._offsets")); age > time.Minute {
			t.Errorf("at_end is %v old", age)
		}
	})
}
