package producer_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P10, P15: a stream that is read again, from an earlier anchor or after a loss, is polled meanwhile; pages of the first read that were
// computed before a change and come after it do not take it back.
func TestP10PolledWhileReadAgain(t *testing.T) {
	lose := func(w *world) {
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest.time_entries"); err != nil {
			w.t.Fatal(err)
		}
	}
	cases := map[string]struct {
		first string // anchor of the first read; of the second: all
		then  func(*world)
	}{
		"an earlier anchor": {"1999-06-15", func(*world) {}},
		"a lost topic":      {"all", lose},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 201}, func(w *world) {
				w.sync("HARVEST_ANCHOR_DATE=" + c.first)
				c.then(w)
				slow := &slowPages{RoundTripper: w.sim.RoundTripper()}
				slow.delay.Store(int64(20 * time.Second))
				p := w.with(func(_ *producer.Config, d *producer.Deps) { d.PageSize, d.Transport = 10, slow }, "HARVEST_CONCURRENCY=2")
				stop, ended := w.background(p)
				ids := w.sim.IDs("time_entries")
				for i := range 8 {
					pass(15 * time.Second)
					w.set("time_entries", ids[i*18], harvesttest.Fields{"notes": "changed meanwhile"})
					pass(10 * time.Second)
					if last, _ := w.latest("time_entries", ids[i*18]); last.fields["notes"] != "changed meanwhile" {
						t.Errorf("the change of entry %d was not seen within 10 s", ids[i*18])
					}
				}
				if !reading(p, "time_entries") {
					t.Error("the reading was over before anything changed")
				}
				slow.delay.Store(0)
				pass(10 * time.Minute)
				if reading(p, "time_entries") {
					t.Error("the reading has not ended")
				}
				stop()
				exits(t, <-ended, ops.ExitOK)
				w.neverBack("time_entries")
				for _, id := range ids {
					if _, found := w.latest("time_entries", id); !found {
						t.Errorf("entry %d is missing", id)
					}
				}
			})
		})
	}
}

// slowPages delivers the further pages of entries late: as they were when asked for.
type slowPages struct {
	http.RoundTripper
	delay atomic.Int64
}

func (s *slowPages) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if r.URL.Query().Has("page") && strings.HasSuffix(r.URL.Path, "/time_entries") {
		time.Sleep(time.Duration(s.delay.Load()))
	}
	return resp, err
}

// reading says whether a stream's first read is said to be under way.
func reading(p *producer.Producer, stream string) bool {
	for _, s := range p.States() {
		if s.Stream == stream {
			return s.Reading
		}
	}
	return false
}

// neverBack holds that no key of a stream ever went to a version with a lower stamp, nor repeated one.
func (w *world) neverBack(stream string) {
	w.t.Helper()
	last := map[int64]published{}
	for _, p := range w.topic(stream) {
		if before, known := last[p.id]; known && p.stamp.Before(before.stamp) {
			w.t.Errorf("%s %d went back from %s to %s at seq %d", stream, p.id, before.stamp, p.stamp, p.seq)
		}
		last[p.id] = p
	}
}
