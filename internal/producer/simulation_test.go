package producer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

var (
	seeds = flag.Int("seeds", 12, "simulated histories to run")
	seed  = flag.Uint64("seed", 0, "run this one only")
)

// TestSimulation is the real producer against the simulated account and an in-process broker in virtual time: random accounts, changes of
// every kind with the documented silences, late rows, small pages that drift, lagging replicas, throttling, broken answers, deaths at
// network writes, fail-overs. When all is quiet again the topics must equal the account, and their history must hold every promise.
// A seed is one run and replays: -run TestSimulation -seed N.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for n := first; n <= last; n++ {
		t.Run(fmt.Sprint("seed=", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, n) })
		})
		if t.Failed() {
			t.Fatalf("replay with: go test ./internal/producer -run TestSimulation -seed %d", n)
		}
	}
}

// cut is a network that can be torn at a chosen write, before or after its delivery, and stays torn until mended.
type cut struct {
	dial func(context.Context, string, string) (net.Conn, error)

	mu     sync.Mutex
	conns  []net.Conn
	writes int // until it tears; -1 never
	total  int // so far
	onTear func()
	after  bool
	torn   bool
}

var errTorn = errors.New("the network is torn")

func (c *cut) Dial(ctx context.Context, network, host string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.torn {
		return nil, errTorn
	}
	conn, err := c.dial(ctx, network, host)
	if err != nil {
		return nil, err
	}
	c.conns = append(c.conns, conn)
	return &cutConn{conn, c}, nil
}

// tearAt makes the n-th write from now the last one; mend ends it.
func (c *cut) tearAt(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes, c.after = n, after
}

func (c *cut) tear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tearNow()
}

func (c *cut) tearNow() {
	c.torn = true
	if c.onTear != nil {
		c.onTear()
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cut) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.torn, c.writes = false, -1
}

type cutConn struct {
	net.Conn
	c *cut
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.c.mu.Lock()
	last := false
	c.c.total++
	if c.c.writes > 0 {
		c.c.writes--
		last = c.c.writes == 0
	}
	after := c.c.after
	c.c.mu.Unlock()
	if !last {
		return c.Conn.Write(b)
	}
	if after {
		c.Conn.Write(b) // delivered; the answer is lost
		time.Sleep(time.Millisecond)
	}
	c.c.tear()
	return 0, errTorn
}

// history is one simulated run.
type history struct {
	*world
	rng  *rand.Rand
	jitter *rand.Rand
	net  *cut
	page int
}

func simulate(t *testing.T, n uint64) {
	rng := rand.New(rand.NewPCG(n, 7))
	o := harvesttest.Options{
		Seed: n, Limit: 100, Sizes: harvesttest.Sizes{Users: 2 + rng.IntN(4), Clients: 2 + rng.IntN(4), Projects: 3 + rng.IntN(6), Tasks: 2 + rng.IntN(3),
			Invoices: 5 + rng.IntN(20), Estimates: 2 + rng.IntN(6), Expenses: 10 + rng.IntN(20), TimeEntries: 50 + rng.IntN(200)},
		Numbers: harvesttest.Numbers(rng.IntN(3)), After: rng.IntN(2) == 0, Silent: harvesttest.Silent(rng.Uint32()), Throttle: harvesttest.Throttle(rng.IntN(5)),
		FixedWindow: rng.IntN(2) == 0, Hidden: []int{404, 403}[rng.IntN(2)], LinkAlias: rng.IntN(2) == 0,
		Latency: latency(n),
	}
	w := newWorld(t, o)
	w.env = append(w.env, "HARVEST_SWEEP_INTERVAL=20m", "HARVEST_CHILDREN_INTERVAL=20m", "HARVEST_LOOKBACK=1m", "HARVEST_TIMER_RESOLUTION=5m")
	if rng.IntN(3) == 0 {
		w.env = append(w.env, "KAFKA_PARTITIONS=3")
	}
	h := &history{world: w, rng: rng, jitter: rand.New(rand.NewPCG(n, 9)), net: &cut{dial: w.net.DialContext, writes: -1}, page: 5 + rng.IntN(60)}
	for range 3 + rng.IntN(4) {
		h.episode()
	}
	h.calm()
	h.verify()
}

// latency draws each request's time from a source of its own.
func latency(n uint64) harvesttest.Latency {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(n, 8))
	return func(_ *http.Request) (there, back time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rng.IntN(300)) * time.Millisecond, time.Duration(rng.IntN(300)) * time.Millisecond
	}
}

// begin starts a producer on the tearable network; what it ends with is sent on the channel.
func (h *history) begin(command string) (stop context.CancelFunc, done chan error) {
	cfg := h.config()
	cfg.Kafka.Dial = h.net.Dial
	p, err := producer.New(cfg, producer.Deps{Version: "test", Transport: h.sim.RoundTripper(), Log: h.logger(), PageSize: h.page, Jitter: h.jitter.Float64})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(h.t.Context())
	done = make(chan error, 1)
	go func() {
		if command == "sync" {
			done <- p.Sync(ctx)
		} else {
			done <- p.Run(ctx)
		}
	}()
	return stop, done
}

// episode is a producer's life between start and stop or death, with changes and faults meanwhile.
func (h *history) episode() {
	command := "run"
	if h.rng.IntN(4) == 0 {
		command = "sync"
	}
	stop, done := h.begin(command)
	faults := h.faults()
	if h.rng.IntN(3) == 0 {
		h.net.tearAt(1+h.rng.IntN(400), h.rng.IntN(2) == 0)
	}
	for range 5 + h.rng.IntN(25) {
		pass(time.Duration(h.rng.IntN(30_000)) * time.Millisecond)
		h.t.Log(time.Now().Format("15:04:05"), h.sim.Step(h.rng))
		if h.rng.IntN(12) == 0 {
			h.net.tearAt(1+h.rng.IntN(60), h.rng.IntN(2) == 0)
		} else if h.rng.IntN(6) == 0 {
			h.net.mend()
		}
	}
	for _, remove := range faults {
		remove()
	}
	h.sim.SetLate(0, 0)
	if h.rng.IntN(2) == 0 {
		h.net.tear() // death: no sign-off, whatever was in flight is lost
	}
	stop()
	<-done
	h.net.mend()
	pass(time.Duration(h.rng.IntN(90)) * time.Second)
}

// faults scripts some.
func (h *history) faults() (remove []func() int) {
	all := []harvesttest.Fault{
		{Do: harvesttest.DoStatus, Status: 503, Probability: 0.05},
		{Do: harvesttest.DoCut, Bytes: -20, Probability: 0.03},
		{Do: harvesttest.DoDrop, Probability: 0.03},
		{Do: harvesttest.DoBody, Body: "<html>sorry</html>", Probability: 0.02},
		{Do: harvesttest.DoThrottle, Delay: 5 * time.Second, Probability: 0.01},
		{Do: harvesttest.DoSlow, Delay: 4 * time.Second, Probability: 0.05},
		{Do: harvesttest.DoLag, Delay: 3 * time.Second, Probability: 0.1},
		{Do: harvesttest.DoLag, Delay: time.Second, Probability: 0.3},
		{Do: harvesttest.DoDate, Delay: 2 * time.Second, Probability: 0.2},
		{Do: harvesttest.DoNoDate, Probability: 0.1},
		{Do: harvesttest.DoUnknown, Probability: 0.1},
		{Do: harvesttest.DoShuffle, Probability: 0.2},
	}
	for _, f := range all {
		if h.rng.IntN(5) == 0 {
			remove = append(remove, h.sim.Fault(f))
		}
	}
	if h.rng.IntN(3) == 0 {
		h.sim.SetLate(0.2, 20*time.Second)
	}
	return remove
}

// calm lets the service find everything the rules promise to find, with nothing going wrong any more.
func (h *history) calm() {
	stop, done := h.begin("run")
	pass(3 * time.Minute)
	for _, user := range h.sim.IDs("users") {
		_, _ = h.sim.StopTimer(user) // refused where none runs
	}
	for _, id := range h.sim.Running() { // what can't be stopped any more
		if err := h.sim.Delete("time_entries", id); err != nil {
			h.t.Logf("timer %d runs on: %v", id, err)
		}
	}
	pass(70 * time.Minute)
	stop()
	if err := <-done; err != nil {
		h.t.Errorf("the service ended with: %v", err)
	}
	h.answerBrake()
	before, quiet := h.records(), time.Now()
	stop, done = h.begin("sync")
	if err := <-done; err != nil {
		h.t.Errorf("a quiet pass ended with: %v", err)
	}
	stop()
	if n := h.records() - before; n != 0 {
		h.t.Errorf("REPEAT: a restart on a quiet account published %d records", n)
		for _, s := range schema.All() {
			for _, p := range h.topic(s.Name) {
				if p.at.After(quiet.Add(-5 * time.Second)) {
					h.t.Logf("%s %d: %s by %s: %v", s.Name, p.id, p.op, p.cause, p.fields)
				}
			}
		}
	}
}

// answerBrake does what a human does about sweeps that stopped because a stream was emptied, or lost much within a day (P7).
func (h *history) answerBrake() {
	p := h.producer()
	if err := p.Sync(h.t.Context()); err == nil {
		return
	}
	for _, s := range p.States() {
		if s.Stopped > 0 {
			if err := h.producer().Sweep(h.t.Context(), []string{s.Stream}, s.Stopped, false); err != nil {
				h.t.Errorf("answering the brake of %s: %v", s.Stream, err)
			}
		}
	}
}

// verify is the oracle (reliability: LOST, STALE, PHANTOM, REGRESS, REPEAT, GAP, RATE).
func (h *history) verify() {
	h.equal()
	for _, s := range schema.All() {
		h.everVisible(s)
	}
	if n := h.sim.WorstWindow(15 * time.Second); n > 100 {
		h.t.Errorf("RATE: %d requests within 15 s", n)
	}
	if strings.Contains(h.log.String(), "test-token") {
		h.t.Error("LEAK: the token is in the log")
	}
}

// everVisible holds every published version against the truth's history: none was invented, nothing alive was buried, and timers do not
// chatter (P8).
func (h *history) everVisible(st *schema.Stream) {
	if st.Read == schema.Single {
		return
	}
	before, reached := map[int64]published{}, map[int64]int{}
	for _, p := range h.topic(st.Name) {
		old := before[p.id]
		before[p.id] = p
		versions := h.sim.Versions(st.Name, p.id)
		shown := func(v harvesttest.Version) bool { return h.explains(st, p, v) }
		if on := slices.IndexFunc(versions[min(reached[p.id], len(versions)):], shown); on >= 0 {
			reached[p.id] += on
		} else if slices.ContainsFunc(versions, shown) && p.stamp.Before(old.stamp) {
			// Of equal stamps a lagging replica may show the older one later: design §11 promises no order there.
			h.t.Errorf("%s %d: REGRESS: seq %d is older than seq %d", st.Name, p.id, p.seq, old.seq)
		}
		if !slices.ContainsFunc(versions, shown) {
			h.t.Errorf("%s %d: PHANTOM: seq %d (deleted %v) was never so: %v", st.Name, p.id, p.seq, p.deleted, p.fields)
			for _, v := range versions {
				h.t.Logf("  from %s: deleted %v %s", v.From.Format(time.RFC3339), v.Deleted, v.JSON)
			}
			return
		}
		if old.fields["is_running"] == "true" && p.fields["is_running"] == "true" && onlyTimers(st, old, p) && p.at.Sub(old.at) < 5*time.Minute-10*time.Second {
			h.t.Errorf("%s %d: CHATTER: seq %d tells of growing hours %s after seq %d", st.Name, p.id, p.seq, p.at.Sub(old.at), old.seq)
		}
	}
}

func (h *history) explains(st *schema.Stream, p published, v harvesttest.Version) bool {
	if p.deleted {
		return v.Deleted && !v.From.After(p.at.Add(10*time.Second)) // clocks may differ a little
	}
	return !v.Deleted && h.matches(st, p, v)
}

func onlyTimers(st *schema.Stream, a, b published) bool {
	for i := range st.Schema.Fields {
		if f := &st.Schema.Fields[i]; f.Compare && !f.Timer && a.fields[f.Name] != b.fields[f.Name] {
			return false
		}
	}
	return true
}

func (h *history) matches(st *schema.Stream, p published, v harvesttest.Version) bool {
	want := h.expected(st, v.JSON, 0)
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if !f.Compare || f.Name == st.ParentID || f.Kind == schema.Items || f.Kind == schema.Strings || f.Kind == schema.Longs {
			continue // arrays count as sets
		}
		if p.fields[f.Name] != want[f.Name] && !(v.Running && f.Timer) {
			return false
		}
	}
	return true
}
