package producer_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// check is what `producer check` says, and its error.
func check(w *world, p *producer.Producer) (string, error) {
	w.t.Helper()
	var out bytes.Buffer
	err := p.Check(w.t.Context(), &out)
	return out.String(), err
}

// reader lets no request change anything at the registry.
type readingOnly struct {
	http.RoundTripper
	t *testing.T
}

func (r readingOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	lookup := req.Method == http.MethodPost && !strings.HasSuffix(req.URL.Path, "/versions")
	if req.Method != http.MethodGet && !lookup {
		r.t.Errorf("the registry was asked to %s %s", req.Method, req.URL.Path)
	}
	return r.RoundTripper.RoundTrip(req)
}

// A check writes nothing, neither to the brokers nor to the registry, before a first start or after it, and says what it found.
func TestCheckWritesNothing(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 210}, func(w *world) {
		registry := w.registry
		w.registry = readingOnly{registry, t}
		said, err := check(w, w.producer())
		exits(t, err, ops.ExitOK)
		if !strings.Contains(said, "42 schemas are still to be registered") || !strings.Contains(said, "none of the 22 exists yet") {
			t.Errorf("before a first start:\n%s", said)
		}
		cl, _ := w.client()
		if topics, err := kadm.NewClient(cl).ListTopics(w.t.Context()); err != nil || len(topics) > 0 {
			t.Errorf("topics %v, %v", topics, err)
		}
		w.registry = registry
		w.sync()
		before := w.written()
		w.registry = readingOnly{registry, t}
		said, err = check(w, w.producer())
		exits(t, err, ops.ExitOK)
		if !strings.Contains(said, "0 schemas are still to be registered") || strings.Contains(said, "partitions") {
			t.Errorf("after it:\n%s", said)
		}
		for name, n := range w.written() {
			if before[name] != n {
				t.Errorf("%s has %d records, before the check %d", name, n, before[name])
			}
		}
	})
}

// P13, K12: partitions that are added stay empty, start and check say so, and nothing goes anywhere else than before.
func TestP13AddedPartitions(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 211}, func(w *world) {
		w.sync("KAFKA_PARTITIONS=2")
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).UpdatePartitions(w.t.Context(), 5, "harvest.time_entries"); err != nil {
			t.Fatal(err)
		}
		said, err := check(w, w.producer())
		exits(t, err, ops.ExitOK)
		if !strings.Contains(said, "harvest.time_entries has 5 partitions; the 2 it was begun with stay in use") {
			t.Errorf("check does not say it:\n%s", said)
		}
		home := map[int64]int32{}
		for _, p := range w.topic("time_entries") {
			home[p.id] = p.part
		}
		for _, id := range w.sim.IDs("time_entries") {
			w.set("time_entries", id, harvesttest.Fields{"notes": "once more"})
		}
		w.sync("KAFKA_PARTITIONS=2")
		if !strings.Contains(w.log.String(), "stay empty") {
			t.Error("the start does not say it")
		}
		for _, p := range w.topic("time_entries") {
			if p.part != home[p.id] {
				t.Errorf("entry %d went from partition %d to %d", p.id, home[p.id], p.part)
			}
		}
		w.equal("time_entries")
	})
}

// A check refuses what a start refuses: a topic that forgets (P3).
func TestCheckForgetfulTopic(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 214}, func(w *world) {
		w.sync()
		cl, _ := w.client()
		policy := "compact,delete"
		alter := []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}
		if _, err := kadm.NewClient(cl).AlterTopicConfigs(w.t.Context(), alter, "harvest.tasks"); err != nil {
			t.Fatal(err)
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitConfig, "harvest.tasks")
		said, err := check(w, w.producer())
		exits(t, err, ops.ExitConfig)
		if !strings.Contains(said, "WRONG topics       topic harvest.tasks: cleanup.policy is") {
			t.Errorf("check does not say it:\n%s", said)
		}
	})
}

// P11: a blocked stream's checkpoint has the reason, one that was never read too, and none any more when it is read again.
func TestBlockedIsTold(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 216}, func(w *world) {
		w.sim.SwitchModule("expense_feature", false)
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitPermission)
		if ck := w.checkpoint("expenses"); !strings.Contains(ck.Blocked, "expense_feature") {
			t.Errorf("blocked from the first day, and the checkpoint says %q", ck.Blocked)
		}
		w.sim.SwitchModule("expense_feature", true)
		w.serve(func() {
			pass(3 * time.Minute)
			w.sim.SwitchModule("expense_feature", false)
			pass(3 * time.Minute)
			if ck := w.checkpoint("expenses"); !strings.Contains(ck.Blocked, "expense_feature") {
				t.Errorf("blocked under way, and the checkpoint says %q", ck.Blocked)
			}
			w.sim.SwitchModule("expense_feature", true)
			pass(3 * time.Minute)
		})
		if ck := w.checkpoint("expenses"); ck.Blocked != "" {
			t.Errorf("read again, and the checkpoint says %q", ck.Blocked)
		}
		w.equal("expenses", "expense_categories")
	})
}

// What keeps a command that only reads from its answer has the exit code of design §7: away is 69, refused 77.
func TestReadingExits(t *testing.T) {
	cases := map[string]struct {
		trouble  func(*world)
		code     int
		commands []string
		env      []string
	}{
		"Harvest in trouble": {func(w *world) { w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoStatus, Status: 503}) }, ops.ExitUnavailable, []string{"discover", "plan"}, nil},
		"a revoked token":    {func(w *world) { w.sim.SetToken("another") }, ops.ExitPermission, []string{"discover", "plan"}, nil},
		"no Harvest":         {func(w *world) { w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoBody, Body: "{}"}) }, ops.ExitData, []string{"discover", "plan"}, nil},
		"another account":    {func(*world) {}, ops.ExitConfig, []string{"discover", "plan"}, []string{"HARVEST_ACCOUNT_ID=99"}},
		"brokers away":       {func(w *world) { w.bus.Close() }, ops.ExitUnavailable, []string{"status"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 215}, func(w *world) {
				c.trouble(w)
				for _, command := range c.commands {
					exits(t, w.producer(c.env...).Reading()[command](w.t.Context()), c.code)
				}
			})
		})
	}
}

// A registry whose schema this version cannot follow is named by a check.
func TestCheckIncompatibleSchema(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 212}, func(w *world) {
		w.sync()
		registry := w.registry
		w.registry = roundTrip(func(req *http.Request) (*http.Response, error) {
			answer := func(status int, body string) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
			}
			switch {
			case req.Method == http.MethodPost && req.URL.Path == "/subjects/harvest.tasks-value":
				return answer(404, `{"error_code":40403,"message":"Schema not found"}`)
			case strings.HasPrefix(req.URL.Path, "/compatibility/subjects/harvest.tasks-value"):
				return answer(200, `{"is_compatible":false}`)
			}
			return registry.RoundTrip(req)
		})
		said, err := check(w, w.producer())
		exits(t, err, ops.ExitConfig)
		if !strings.Contains(said, "harvest.tasks-value") {
			t.Errorf("it says\n%s", said)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
