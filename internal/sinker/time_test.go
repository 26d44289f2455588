package sinker_test

import (
	"cmp"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
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

// TestTerminationWhileJoining: a service that waits for its group, which waits for a member that died, ends when it is told to, and
// leaves the group; one that stays is let in before the dead one's session ends (S1). On virtual time.
func TestTerminationWhileJoining(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.topics(1, "tasks")
		w.drain()
		group := w.group()
		w.joinAndDie(group, 5*time.Minute)
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
		stop := w.serve()
		time.Sleep(3 * time.Second)
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if members := w.members(group); members != 1 {
			t.Errorf("%d members are left in the group, not only the one that died", members)
		}
		w.serve()
		time.Sleep(30 * time.Second)
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
			t.Errorf("%d rows: it still waits for one that died", n)
		}
	})
}

// members is how many a group has.
func (w *world) members(group string) int {
	w.t.Helper()
	described, err := kadm.NewClient(w.cl).DescribeGroups(w.t.Context(), group)
	if err = cmp.Or(err, described.Error()); err != nil {
		w.t.Fatal(err)
	}
	return len(described[group].Members)
}

// joinAndDie joins a group and is not heard of again.
func (w *world) joinAndDie(group string, session time.Duration) {
	w.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, "consumer", int32(session.Milliseconds()), 1000
	proto := kmsg.NewJoinGroupRequestProtocol()
	proto.Name = "cooperative-sticky"
	meta := kmsg.NewConsumerMemberMetadata()
	proto.Metadata = meta.AppendTo(nil)
	req.Protocols = append(req.Protocols, proto)
	for range 2 { // the first answer tells its id
		resp, err := req.RequestWith(context.Background(), w.cl)
		if err != nil {
			w.t.Fatal(err)
		}
		req.MemberID = resp.MemberID
	}
}

// TestSlowDrain: a drain beside a service keeps its partitions as long as it works, though it commits nothing for minutes (S1). On virtual
// time.
func TestSlowDrain(t *testing.T) {
	for _, point := range []string{"ks02", "ks03"} { // before its transaction, and in it
		url := pgserver.Database(t)
		synctest.Test(t, func(t *testing.T) {
			w := newWorldIn(t, url)
			w.topics(1, "tasks")
			w.serve()
			time.Sleep(10 * time.Second)
			w.drain() // the service lets go
			w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
			deps := w.deps
			deps.Hook = func(at string) error {
				if at == point {
					time.Sleep(5 * time.Minute)
				}
				return nil
			}
			if err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{}); err != nil {
				t.Errorf("%s: %v", point, err)
			}
			time.Sleep(2 * time.Minute)
			w.publish(version{stream: stream(t, "tasks"), id: 2, row: row{}})
			time.Sleep(time.Minute)
			if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 2 {
				t.Errorf("%s: %d rows: the service has not come back", point, n)
			}
		})
	}
}

// TestLateUnderWay: while the database holds a service up, at_end stays where the partition's end was last reached, and once tombstones may
// be gone the topic stops (S8). On virtual time.
func TestLateUnderWay(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url, "KAFKA_HISTORY=1m")
		w.topics(1, "tasks")
		keep := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "delete.retention.ms", Value: new("60000")}}
		if _, err := kadm.NewClient(w.cl).AlterTopicConfigs(t.Context(), keep, w.kafka.Topic("tasks")); err != nil {
			t.Fatal(err)
		}
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}})
		held := make(chan struct{})
		var hold atomic.Bool
		w.deps.Hook = func(at string) error {
			if at == "ks02" && hold.Load() {
				<-held
			}
			return nil
		}
		w.serve()
		time.Sleep(time.Minute)
		hold.Store(true)
		published := time.Now()
		w.publish(version{stream: tasks, id: 2, row: row{}})
		time.Sleep(time.Minute)
		if at := one[time.Time](w, "SELECT at_end FROM harvest._offsets"); at.After(published) {
			t.Errorf("at its end at %v, though what came at %v is not applied", at, published)
		}
		time.Sleep(3 * time.Minute)
		w.publish(version{stream: tasks, id: 3, row: row{}}) // too late: who stood at the end would have met everything
		close(held)
		time.Sleep(20 * time.Minute)
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n > 2 {
			t.Errorf("%d rows: it went on", n)
		}
	})
}
