package producer_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// episode is a producer's life between start and stop or death, sometimes with a rival's, with changes and faults meanwhile.
func (h *history) episode(strange bool) {
	command := "run"
	if h.rng.IntN(4) == 0 {
		command = "sync"
	}
	l := h.begin(command, false)
	mend := h.faults()
	if h.rng.IntN(3) == 0 {
		l.net.tearAt(1+h.rng.IntN(400), h.rng.IntN(2) == 0)
	}
	leave := func() {}
	if h.rng.IntN(6) == 0 {
		all := schema.All()
		leave = h.neighbour(all[h.rng.IntN(len(all))].Name, h.rng.IntN(2) == 0)
		h.sum.Faults["neighbour"]++
	}
	h.changes(l, 5+h.rng.IntN(25))
	var rival *life
	if strange && h.rng.IntN(2) == 0 {
		rival = h.rival(l)
	}
	mend()
	if rival != nil {
		h.oneWriter(l, rival)
		h.die(rival)
		h.ended(h.end(rival), true, true) // cut off for a while, it may have lost to the other, which was still starting
	}
	h.die(l)
	h.ended(h.end(l), command == "run", rival != nil)
	time.AfterFunc(time.Duration(h.rng.IntN(40))*time.Second, leave) // the next start waits for it
	pass(time.Duration(h.rng.IntN(90)) * time.Second)
}

// changes are some, with their pauses; now and then many at once, and now and then the network breaks or is mended.
func (h *history) changes(l *life, n int) {
	for range n {
		wait := time.Duration(h.rng.IntN(30_000)) * time.Millisecond
		if h.rng.IntN(5) == 0 {
			wait /= 100 // while pages are walked
		}
		pass(wait)
		h.say("%s", h.sim.Step(h.rng))
		h.sum.Changes++
		if h.oddRng.IntN(12) == 0 {
			h.odd()
		}
		if h.rng.IntN(12) == 0 {
			l.net.tearAt(1+h.rng.IntN(60), h.rng.IntN(2) == 0)
		} else if h.rng.IntN(6) == 0 {
			l.net.mend()
		}
	}
}

// die is an end without a word half of the time: no sign-off, whatever was in flight is lost.
func (h *history) die(l *life) {
	if h.rng.IntN(2) == 0 {
		l.net.tear()
		h.sum.Deaths++
		h.say("death")
	}
}

// rival starts a second producer beside a living one: it stands by and takes over when that one dies; or fences it; or goes on for one
// that was thought dead and comes back (P1).
func (h *history) rival(l *life) *life {
	h.rivals = true
	h.sum.Rivals++
	var r *life
	switch h.rng.IntN(3) {
	case 0:
		h.say("a rival stands by")
		r = h.begin("run", false)
		h.changes(l, 2+h.rng.IntN(4))
		l.net.tear()
		h.changes(r, 3+h.rng.IntN(5))
	case 1:
		h.say("a rival takes over")
		r = h.begin("run", true)
		h.changes(r, 3+h.rng.IntN(5))
	default:
		h.say("a zombie")
		l.net.tear()
		pass(time.Duration(h.rng.IntN(60)) * time.Second)
		r = h.begin("run", false)
		h.changes(r, 3+h.rng.IntN(5))
		l.net.mend()
		h.changes(r, 1+h.rng.IntN(3))
	}
	return r
}

// oneWriter holds that of two producers at most one writes, once both can reach the brokers again (P1).
func (h *history) oneWriter(lives ...*life) {
	for _, l := range lives {
		l.net.mend()
	}
	pass(2 * time.Minute)
	writers := 0
	for _, l := range lives {
		if l.States() != nil && len(l.done) == 0 {
			writers++
		}
	}
	if writers > 1 {
		h.t.Error("TWO: two producers write for one account")
	}
}

// script are the faults of Harvest, by the names they are counted under.
var script = []struct {
	name  string
	fault harvesttest.Fault
}{
	{"5xx", harvesttest.Fault{Do: harvesttest.DoStatus, Status: 503, Probability: 0.05}},
	{"cut", harvesttest.Fault{Do: harvesttest.DoCut, Bytes: -20, Probability: 0.03}},
	{"dropped", harvesttest.Fault{Do: harvesttest.DoDrop, Probability: 0.03}},
	{"html", harvesttest.Fault{Do: harvesttest.DoBody, Body: "<html>sorry</html>", Probability: 0.02}},
	{"429", harvesttest.Fault{Do: harvesttest.DoThrottle, Delay: 5 * time.Second, Probability: 0.01}},
	{"slow", harvesttest.Fault{Do: harvesttest.DoSlow, Delay: 4 * time.Second, Probability: 0.05}},
	{"replica 3 s behind", harvesttest.Fault{Do: harvesttest.DoLag, Delay: 3 * time.Second, Probability: 0.1}},
	{"replica 1 s behind", harvesttest.Fault{Do: harvesttest.DoLag, Delay: time.Second, Probability: 0.3}},
	{"replica 30 s behind", harvesttest.Fault{Do: harvesttest.DoLag, Delay: 30 * time.Second, Probability: 0.02}},
	{"clock 2 s ahead", harvesttest.Fault{Do: harvesttest.DoDate, Delay: 2 * time.Second, Probability: 0.2}},
	{"no date", harvesttest.Fault{Do: harvesttest.DoNoDate, Probability: 0.1}},
	{"unknown field", harvesttest.Fault{Do: harvesttest.DoUnknown, Probability: 0.1}},
	{"shuffled arrays", harvesttest.Fault{Do: harvesttest.DoShuffle, Probability: 0.2}},
	{"empty window", harvesttest.Fault{Query: "from=", Do: harvesttest.DoEmpty, Probability: 0.2}}, // an empty poll would be believed
}

// sick are the faults of the broker: answers that are refused, among them some that did what was asked.
var sick = []struct {
	name string
	key  kmsg.Key
	err  *kerr.Error
}{
	{"produce refused", kmsg.Produce, kerr.UnknownServerError},
	{"produce too large", kmsg.Produce, kerr.MessageTooLarge},
	{"produce without replicas", kmsg.Produce, kerr.NotEnoughReplicasAfterAppend},
	{"end refused", kmsg.EndTxn, kerr.UnknownServerError},
	{"end of unknown outcome", kmsg.EndTxn, kerr.RequestTimedOut},
	{"no producer id", kmsg.InitProducerID, kerr.UnknownServerError},
	{"moved leader", kmsg.Fetch, kerr.NotLeaderForPartition},
}

// faults scripts some; the returned function mends all and counts how often each struck.
func (h *history) faults() (mend func()) {
	undo := []func(){func() { h.sim.SetLate(0, 0) }}
	lagged, began := false, time.Now()
	for _, f := range script {
		if h.rng.IntN(5) == 0 {
			remove := h.sim.Fault(f.fault)
			undo = append(undo, func() { h.sum.Faults[f.name] += remove() })
			lagged = lagged || f.fault.Do == harvesttest.DoLag
		}
	}
	if h.rng.IntN(3) == 0 {
		h.sim.SetLate(0.2, 40*time.Second)
		lagged = true
		h.sum.Faults["late rows"]++
	}
	if h.rng.IntN(6) == 0 {
		feature := []string{"expense_feature", "invoice_feature", "estimate_feature"}[h.rng.IntN(3)]
		h.say("%s is off", feature)
		h.sim.SwitchModule(feature, false)
		undo = append(undo, func() { h.sim.SwitchModule(feature, true) })
		h.sum.Faults["module off"]++
	}
	for _, f := range sick {
		if h.rng.IntN(12) > 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(h.rng.Uint64(), 1)) // of the broker's goroutine
		handle := h.bus.Fault(kfake.Fault{Keys: []kmsg.Key{f.key}, Err: f.err, Count: -1, When: func(kmsg.Request) bool { return rng.IntN(12) == 0 }})
		undo = append(undo, func() {
			h.sum.Faults[f.name] += handle.Hits()
			handle.Remove()
		})
	}
	return func() {
		for _, f := range undo {
			f()
		}
		if lagged {
			h.lags = append(h.lags, span{began.Add(-time.Minute), time.Now().Add(time.Minute)})
		}
	}
}

// calm lets the service find everything the rules promise to find, with nothing going wrong any more.
func (h *history) calm() {
	h.say("calm")
	h.prompt()
	l := h.begin("run", false)
	pass(3 * time.Minute)
	for _, user := range h.sim.IDs("users") {
		_, _ = h.sim.StopTimer(user) // refused where none runs
	}
	for _, id := range h.sim.Running() { // what can't be stopped any more
		if err := h.sim.Delete("time_entries", id); err != nil {
			h.say("timer %d runs on: %v", id, err)
		}
	}
	pass(70 * time.Minute)
	if err := h.end(l); err != nil {
		h.t.Errorf("ENDED: the service ended with: %v", err)
	}
	h.answerBrake()
	h.env = append(h.env, "HARVEST_TIMER_RESOLUTION=24h") // a timer that runs on may just be due
	before := h.ends()
	if err := h.await(h.begin("sync", false)); err != nil {
		h.t.Errorf("ENDED: a quiet pass ended with: %v", err)
	}
	for topic, end := range h.ends() {
		if end != before[topic] {
			h.t.Errorf("REPEAT: a restart on a quiet account published on %v: it ended at %d, now at %d", topic, before[topic], end)
		}
	}
}

// prompt lets polls and what follows them, but no sweep and no rotating pass, find what Harvest tells of by updated_at (P4, P8).
func (h *history) prompt() {
	env := h.env
	h.env = append(slices.Clone(env), "HARVEST_SWEEP_INTERVAL=24h", "HARVEST_RECENT_SWEEP_INTERVAL=24h", "HARVEST_CHILDREN_INTERVAL=24h")
	l := h.begin("run", false)
	pass(5 * time.Minute)
	if err := h.end(l); err != nil {
		h.t.Errorf("ENDED: the service ended with: %v", err)
	}
	h.env = env
	topics := h.topics()
	for _, st := range schema.All() {
		h.polled(st, topics[st.Name])
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
			h.say("allowing %d deletes of %s", s.Stopped, s.Stream)
			if err := h.producer().Sweep(h.t.Context(), []string{s.Stream}, s.Stopped, false); err != nil {
				h.t.Errorf("ENDED: answering the brake of %s: %v", s.Stream, err)
			}
		}
	}
}

// verify is the oracle (reliability: LOST, STALE, PHANTOM, REGRESS, REPEAT, GAP, RATE).
func (h *history) verify() {
	h.t.Helper()
	topics := h.topics()
	for _, st := range schema.All() {
		records := topics[st.Name]
		h.sum.Records += len(records)
		h.equalTo(st, records, h.mirror)
		h.everVisible(st, records)
	}
	h.verifyRequests()
}
