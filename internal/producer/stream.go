package producer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"harveststream/internal/kafka"
	"harveststream/pkg/schema"
)

// stream is all the producer knows of one stream. Only the engine's goroutine touches it.
type stream struct {
	*schema.Stream
	topic    string
	topicID  string
	valueID  int // schema id of its values
	pageSize int
	interval time.Duration
	whole    bool // read whole at every pass: mode full-refresh, or nothing else is possible

	index     *index
	ck        kafka.Checkpoint
	dirty     bool      // ck has moved since it was written
	moved     bool      // and must ride in the transaction under way (P2)
	saved     time.Time // when it was written
	published int64     // records in this incarnation
	readers   []*reader // free ones

	blocked   *blocked
	busy      map[string]bool // kinds of tasks that run now
	fullPoll  time.Time       // when the last full poll began (P4)
	lastProbe time.Time
	excess    int  // by how much the last probe differed
	excused   int  // a difference that no search mended; 0 = none
	tooSoon   bool // rows too new to be taken for gone were missed: what the count differs by is looked for again
	missed    int  // what the latest sweep did not meet
	brakedAt  int  // unexplained candidates of a stopped sweep; 0 = none (P7)
	stops     int  // how often a sweep was stopped
	slips     int  // how often rows may have been passed over, which is the next sweep's (P6)

	growing  map[int64]growth // running timers by key (P8)
	restores []kafka.Restore  // lower stamps met by sweeps, in order of time (P5)
	revivals []revival        // keys met after their tombstone, to be read by GET (P7)
	burying  map[int64]*task  // keys that a task is looking for, before it says they are gone
	let      map[*task]int    // unexplained deletes the brake has let through and a task has not made yet (P7)

	parent   *stream   // child streams
	children []*stream // streams read per row of this one
	queue    []pending // child streams: parents whose lists are to be read, in order of their seq (P8)
	asked    int       // of those taken from it: whose lists are being read
	early    []early   // and those whose lists are to be read once more, in order of their stamps

	orphansDue bool // child streams: some of its rows may have lost their parent unseen
}

// growth is what P8 remembers of a running timer: its content without the hours, and when it was last published.
type growth struct {
	rest uint64
	at   time.Time
}

// revival is a key met after its tombstone, which need not know its owner: compaction may have left nothing else of it.
type revival struct{ id, owner int64 }

// pending is a parent whose child lists are to be read.
type pending struct {
	parent int64
	seq    int64
	part   int32
	first  bool // published by a first read: its children are part of that (P9)
}

// blocked is why a stream is not read now (P11).
type blocked struct {
	reason string
	since  time.Time
	code   int  // exit code of a one-shot command
	module bool // because its module is off
}

// blockError stops one stream; the others go on (P11, P2).
type blockError struct {
	stream *stream
	reason string
}

func (b *blockError) Error() string { return fmt.Sprintf("stream %s: %s", b.stream.Name, b.reason) }

// follow queues a parent for its children, in order of seq.
func (s *stream) follow(p pending) {
	s.queue = append(s.queue, p)
}

// pending is how many parents' lists are still to be read, those under way included (P8).
func (s *stream) pending() int { return len(s.queue) + s.asked }

// trackTimer remembers a running timer at its publishing, and forgets it when it stopped.
func (s *stream) trackTimer(id int64, rec *schema.Record, at time.Time) {
	if rec != nil && rec.Running {
		s.growing[id] = growth{rest: rec.Rest, at: at}
	} else {
		delete(s.growing, id)
	}
}

// onlyGrew says whether an observation of a running timer differs by nothing but its growing hours, and too soon (P8).
func (s *stream) onlyGrew(rec *schema.Record, now time.Time, resolution time.Duration) bool {
	g, known := s.growing[rec.ID]
	return known && rec.Running && g.rest == rec.Rest && now.Before(g.at.Add(resolution))
}

// runningUnmet returns the timers believed to run that no request since the numbered one has shown: they left the list (P8).
func (s *stream) runningUnmet(first uint32) []int64 {
	var ids []int64
	for id := range s.growing {
		if e := s.index.get(id); e != nil && e.running() && e.req < first {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// byChanges says whether the stream is polled by updated_since.
func (s *stream) byChanges() bool { return s.Read == schema.Changes && !s.whole }

// reading says whether the stream is still being read for the first time, or again (P10, P15): the topic lacks rows.
func (s *stream) reading() bool { return s.ck.Cursor.IsZero() || s.ck.Backfill != nil }

// anchored says whether the mirror of this stream begins at the anchor (P10).
func (s *stream) anchored() bool { return s.Dates != "" }

// mark is up to which seq of a parent's partition the children have been read (P8).
func (s *stream) mark(part int32) int64 {
	if int(part) < len(s.ck.Marks) {
		return s.ck.Marks[part]
	}
	return 0
}

func (s *stream) setMark(part int32, seq int64) {
	for int(part) >= len(s.ck.Marks) {
		s.ck.Marks = append(s.ck.Marks, 0)
	}
	s.ck.Marks[part] = max(s.ck.Marks[part], seq)
}

// requeue rebuilds a child stream's queue after a restart: every living parent above the mark, no list is kept (P8).
func (s *stream) requeue(account int64, keyID int) {
	s.queue = s.queue[:0]
	n := len(s.parent.ck.Partitions)
	var key []byte
	s.parent.index.all(func(e *entry) {
		key = schema.AppendKey(key[:0], keyID, e.id, account)
		if part := kafka.Partition(key, n); !e.gone() && e.seq > s.mark(part) {
			s.queue = append(s.queue, pending{parent: e.id, seq: e.seq, part: part, first: s.reading()})
		}
	})
	slices.SortFunc(s.queue, func(a, b pending) int { return cmp.Compare(a.seq, b.seq) })
}
