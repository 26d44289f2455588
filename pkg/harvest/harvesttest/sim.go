package harvesttest

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Sim is a simulated account and the server in front of it. All methods may be used concurrently.
type Sim struct {
	mu   sync.Mutex
	opts Options
	now  func() time.Time

	kinds []*kind // served streams
	kind  map[string]*kind

	projects, clients *kind // looked up for every entry shown

	texts     []string
	textIndex map[string]uint32
	arrays    [][]val
	lists     [][]*row

	log        []change
	timeline   map[rowKey][]int32
	commitTime int64 // unix nanoseconds of the change being written
	commits    uint64
	born       time.Time
	version    uint64 // of everything an answer depends on

	pending []pending // changes made but not visible yet, by time
	late    struct {
		share float64
		most  time.Duration
		rng   *rand.Rand
	}

	timers map[int64]int64 // running entry → user
	me     int64           // the token's user
	quiet  Silent          // Options.Silent, or what a Step drew
	te     entrySlots
	words  words

	faults   []*fault
	faultRng *rand.Rand
	limits   limits
	requests []RequestLog
	cache    cache
	served   uint64
}

// entrySlots are the slots of time entries that are used for every row of a page.
type entrySlots struct{ hours, timer int }

// words are interned texts that are compared.
type words struct{ unsubmitted, submitted, approved val }

// New seeds an account.
func New(o Options) *Sim {
	o = o.withDefaults()
	s := &Sim{opts: o, now: o.Now, textIndex: map[string]uint32{}, timeline: map[rowKey][]int32{}, timers: map[int64]int64{}}
	s.compile()
	for _, k := range s.kinds {
		k.oldest = math.MaxInt64
	}
	entries := s.kind["time_entries"]
	s.te = entrySlots{hours: entries.slot("_hours"), timer: entries.slot("_timer")}
	s.words = words{unsubmitted: s.text("unsubmitted"), submitted: s.text("submitted"), approved: s.text("approved")}
	s.late.rng = rand.New(rand.NewPCG(o.Seed, 1))
	s.faultRng = rand.New(rand.NewPCG(o.Seed, 2))
	s.limits.general, s.quiet = o.Limit, o.Silent
	s.seed()
	return s
}

func (o Options) withDefaults() Options {
	orDefault := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
		*p = max(*p, 0)
	}
	if o.Account == 0 {
		o.Account = 482913
	}
	if o.Token == "" {
		o.Token = "test-token"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.History == 0 {
		o.History = 300 * 24 * time.Hour
	}
	if o.Hidden == 0 {
		o.Hidden = 404
	}
	if o.RoundingMin == 0 {
		o.RoundingMin = 15
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	z := &o.Sizes
	orDefault(&z.Users, 24)
	orDefault(&z.Clients, 40)
	orDefault(&z.Projects, 120)
	orDefault(&z.Tasks, 16)
	orDefault(&z.Invoices, 400)
	orDefault(&z.Estimates, 80)
	orDefault(&z.Expenses, 900)
	orDefault(&z.TimeEntries, 20000)
	z.Users, z.Clients, z.Projects, z.Tasks = max(z.Users, 1), max(z.Clients, 1), max(z.Projects, 1), max(z.Tasks, 1)
	return o
}
