package producer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P15: a topic that is deleted while the producer serves, and its stream stands still, is noticed and filled again all the same.
func TestP15TopicDeletedUnderWay(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 402}, func(w *world) {
		w.serve(func() {
			pass(3 * time.Minute)
			w.lost["roles"] = map[int32]int64{0: int64(len(w.topic("roles")))}
			cl, _ := w.client()
			if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest.roles"); err != nil {
				t.Error(err)
			}
			pass(2 * time.Minute)
		})
		w.equal("roles")
		if !strings.Contains(w.log.String(), "records were lost") {
			t.Error("the loss was not said")
		}
	})
}

// P1, P15: a checkpoint topic that is made anew while an instance stands by is no first run, and no panic.
func TestP1CheckpointsLostWhileStandingBy(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 404}, func(w *world) {
		n := &cut{dial: w.net.DialContext, writes: -1}
		stop, dead := w.background(w.with(func(c *producer.Config, _ *producer.Deps) { c.Kafka.Dial = n.Dial }))
		pass(time.Minute)
		n.tear()
		stop()
		<-dead
		w.elsewhere()
		_, ended := w.background(w.producer())
		pass(5 * time.Second)
		cl, _ := w.client()
		adm := kadm.NewClient(cl)
		if _, err := adm.DeleteTopics(w.t.Context(), "harvest._checkpoints"); err != nil {
			t.Error(err)
		}
		compact := "compact"
		if _, err := adm.CreateTopic(w.t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, "harvest._checkpoints"); err != nil {
			t.Error(err)
		}
		exits(t, <-ended, ops.ExitConfig, "--initialise")
	})
}
