package sinker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/kafka"
)

// claim takes the partition over: what is stored must fit the topic (S2, S8), then the fence is raised (S1). Nothing is changed where it
// does not fit.
func (p *partition) claim(ctx context.Context) error {
	topic, err := p.look(ctx)
	if err != nil {
		return err
	}
	if err := p.deps.hook("ks01"); err != nil {
		return err
	}
	return p.remember(ctx, p.db.use(ctx, func(conn *pgx.Conn) error {
		stored, err := p.offsets.load(ctx, conn, p.topic, p.number)
		if err != nil {
			return err
		}
		if stored != nil {
			if err := p.fits(stored, topic); err != nil {
				return err
			}
		}
		own, err := p.offsets.claim(ctx, conn, p.topic, p.number, offset{topicID: topic.id, next: topic.start, relation: p.table.ident()})
		if err != nil {
			return err
		}
		if err := p.fits(own, topic); err != nil {
			return err
		}
		p.topicID, p.next, p.fence, p.atEnd, p.seqs = own.topicID, own.next, own.fence, own.atEnd, own.seqs
		p.keeps, p.history = topic.tombstones, topic.history
		p.deleted, err = p.offsets.deletedSeqs(ctx, conn, p.table.stream.Name)
		return err
	}))
}

// remember keeps the loss of a log's end in the database, where err is one, until a rebuild has answered it: once the log has grown past
// the stored offset nothing else would tell (S2).
func (p *partition) remember(ctx context.Context, err error) error {
	if !errors.Is(err, errCut) {
		return err
	}
	return errors.Join(err, p.db.use(ctx, func(conn *pgx.Conn) error { return p.offsets.outdate(ctx, conn, p.topic, p.number) }))
}

// topicState is what the brokers say of a partition.
type topicState struct {
	id                 string
	start, stable, end int64         // log start, last stable offset, high watermark
	history            kafka.History // how long the topic keeps every version
	tombstones         time.Duration // and deletes, less a tenth; 0: for ever
}

var errNoTopic = errors.New("the topic does not exist")

// look asks the brokers about the partition.
func (p *partition) look(ctx context.Context) (topicState, error) {
	var s topicState
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ids, err := kafka.TopicIDs(ctx, p.admin, p.topic)
	if err != nil {
		return s, err
	}
	id, ok := ids[p.topic]
	if !ok {
		return s, errNoTopic
	}
	s.id = kafka.TopicIDText(id)
	starts, err := kafka.Starts(ctx, p.admin, p.topic)
	if err != nil {
		return s, err
	}
	ends, err := kafka.Ends(ctx, p.admin, p.topic)
	if err != nil {
		return s, err
	}
	s.start, s.end = starts[p.topic][p.number], ends[p.topic][p.number]
	stable, ok := endsOf(ctx, p.admin, []string{p.topic})[spot{p.topic, p.number}]
	if !ok {
		return s, fmt.Errorf("listing the end of %s/%d: no answer", p.topic, p.number)
	}
	s.stable = stable
	s.history, s.tombstones = p.retention(ctx)
	return s, nil
}

const askTimeout = 15 * time.Second

// fits compares a stored offset with the topic and the table (S2, S8).
func (p *partition) fits(stored *offset, topic topicState) error {
	stream := p.table.stream.Name
	switch {
	case stored.relation != "" && stored.relation != p.table.ident():
		return lost(stream, "what is applied of %s is in table %s, not in %s", p.topic, stored.relation, p.table.ident())
	case stored.topicID == "":
		return lost(stream, "table %s, or that of its items, was made anew and lacks what was applied before", p.table.ident())
	case stored.topicID == cutTopic:
		return lost(stream, "records of %s/%d that were applied, or to be, are gone from its log", p.topic, p.number)
	case stored.topicID != topic.id:
		return lost(stream, "topic %s has another id (%s) than the one that was read (%s): it was made anew", p.topic, topic.id, stored.topicID)
	case stored.next < topic.start:
		return lost(stream, "offset %d of %s/%d is gone, the log starts at %d", stored.next, p.topic, p.number, topic.start)
	case stored.next > topic.end:
		return lostEnd(stream, "the log of %s/%d ends at %d, before the stored offset %d", p.topic, p.number, topic.end, stored.next)
	}
	return p.tooLate(stored.atEnd, stored.next, topic.stable, topic.tombstones)
}

// tooLate is S8: tombstones may have been cleaned away before they were met. Who stands at the end has met them all.
func (p *partition) tooLate(atEnd time.Time, next, stable int64, tombstones time.Duration) error {
	if age := time.Since(atEnd); tombstones > 0 && next < stable && age > tombstones {
		return lost(p.table.stream.Name, "%s/%d was last read to its end %s ago, the topic keeps deletes for %s: some may have been missed",
			p.topic, p.number, age.Round(time.Second), tombstones)
	}
	return nil
}

// retention is how long the topic keeps every version (S9), and a delete at least, less a tenth (S8; 0: for ever). Where the brokers do
// not say, KAFKA_HISTORY and the design's seven days stand in.
func (p *partition) retention(ctx context.Context) (kafka.History, time.Duration) {
	lag, keep := p.cfg.Kafka.History.Millis(), int64(7*24*time.Hour/time.Millisecond)
	if settings, err := kafka.TopicSettings(ctx, p.admin, p.topic); err == nil {
		lag = number(settings[p.topic]["min.compaction.lag.ms"], lag)
		keep = number(settings[p.topic]["delete.retention.ms"], keep)
	}
	const long = int64(200 * 365 * 24 * time.Hour / time.Millisecond)
	history, tombstones := kafka.All, time.Duration(0)
	if lag < long {
		history = kafka.History(lag) * kafka.History(time.Millisecond)
	}
	if total := lag + keep; total >= 0 && total <= long {
		tombstones = time.Duration(total) * time.Millisecond / 10 * 9
	}
	return history, tombstones
}

func number(text string, otherwise int64) int64 {
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		return otherwise
	}
	return n
}
