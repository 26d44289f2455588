package sinker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/kafka"
)

// watch gives signs of life and looks for what fetching does not show: a raised fence, another topic, an end long not reached (S1, S2,
// S8).
func (c *consumer) watch(ctx context.Context) {
	c.signs.note(time.Now(), nil) // the start has reached both
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-c.doubt:
		case <-time.After(signEvery):
		}
		err := c.sign(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Debug("cannot give a sign of life", "err", err)
		}
		c.signs.note(time.Now(), err)
		pauseFor(ctx, signEvery/20)
	}
}

// signs are the signs of life that were given: when the last was, and what has kept later ones from it.
type signs struct {
	mu   sync.Mutex
	last time.Time
	err  error
}

func (s *signs) note(now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.last = now
	}
}

// missed is why no sign could be given for so long that another sinker would take the partitions for free. A connection that is lost is made
// again within less: whoever asks whether the service is ready does not hear of it.
func (s *signs) missed(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.last); s.err != nil && age > silence {
		return fmt.Errorf("the database or Kafka has not answered for %s: %w", age.Round(time.Second), s.err)
	}
	return nil
}

// reading are the partitions being read now.
func (c *consumer) reading() map[spot]*serving {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := maps.Clone(c.serving)
	maps.DeleteFunc(list, func(_ spot, s *serving) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.in == nil
	})
	return list
}

func (c *consumer) sign(ctx context.Context) error {
	list := c.reading()
	if len(list) == 0 {
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		return c.db.use(asked, func(conn *pgx.Conn) error { return conn.Ping(asked) })
	}
	var topics []string
	for at := range list {
		topics = append(topics, at.topic)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	now := time.Now()
	ids, err := kafka.TopicIDs(asked, c.admin, topics...)
	if err != nil {
		return err
	}
	ends := endsOf(asked, c.admin, topics)
	g := signing{at: now}
	for at, s := range list {
		end, known := ends[at]
		s.mu.Lock()
		s.inspect(ids, end, known)
		g.add(at, s.fence, s.next, known && s.next >= end)
		if known && s.in != nil {
			c.metrics.lag.WithLabelValues(s.p.table.stream.Name, strconv.Itoa(int(at.number))).Set(float64(max(0, end-s.next)))
		}
		s.mu.Unlock()
	}
	return c.db.use(asked, func(conn *pgx.Conn) error {
		ours, err := c.offsets.sign(asked, conn, &g)
		if err != nil {
			return err
		}
		for i := range g.topics {
			at := spot{g.topics[i], g.partitions[i]}
			s := list[at]
			stored, mine := ours[at]
			s.mu.Lock()
			switch {
			case s.in == nil || s.fence != g.fences[i]: // another session by now
			case !mine, stored < g.nexts[i]: // or a server that crashed has lost what it had said was committed: it is read again
				s.in.finish(0, errFenced)
			case g.ended[i]:
				s.atEnd = now
			}
			s.mu.Unlock()
		}
		return nil
	})
}

// inspect ends a session whose topic is not what it was, or whose end was out of reach for too long. The caller holds s.mu.
func (s *serving) inspect(ids map[string][16]byte, end int64, known bool) {
	if s.in == nil {
		return
	}
	id, there := ids[s.p.topic]
	stream := s.p.table.stream.Name
	switch {
	case !there:
		if s.absent++; s.absent > 1 { // a broker that has just started may not know it yet
			s.in.finish(0, lost(stream, "topic %s is gone", s.p.topic))
		}
		return
	case kafka.TopicIDText(id) != s.p.topicID:
		s.in.finish(0, lost(stream, "topic %s was made anew", s.p.topic))
		return
	}
	s.absent = 0
	if !known {
		return
	}
	if err := s.p.tooLate(s.atEnd, s.next, end, s.p.keeps); err != nil {
		s.in.finish(0, err)
	}
}
