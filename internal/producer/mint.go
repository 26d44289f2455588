package producer

import (
	"strconv"
	"time"

	"harveststream/internal/kafka"
	"harveststream/pkg/schema"

	"github.com/twmb/franz-go/pkg/kgo"
)

// mint makes the records of one transaction. Their bytes and headers lie in a few pieces of memory, freed with the last of them.
type mint struct {
	keyID   int
	account int64

	buf      []byte
	headers  []kgo.RecordHeader
	now      time.Time // what observed says: most often one answer's
	observed []byte
	minted   time.Time // of all records, for topics that keep their writers' time; the client would ask the clock for each
}

// headersEach is how many headers a record has; besideBody bounds what it takes besides its body, or the buffer grows.
const (
	headersEach = 5
	besideBody  = 160
)

// records encodes changes and gives each the next seq of its partition.
func (e *engine) records(changes []change) []*kgo.Record {
	size := 0
	for i := range changes {
		if size += besideBody; changes[i].rec != nil {
			size += len(changes[i].rec.Body)
		}
	}
	m := mint{keyID: e.keyID, account: e.cfg.AccountID, buf: make([]byte, 0, size), headers: make([]kgo.RecordHeader, 0, headersEach*len(changes)), minted: time.Now()}
	all, records := make([]kgo.Record, len(changes)), make([]*kgo.Record, len(changes))
	for i := range changes {
		m.strike(&all[i], &changes[i])
		records[i] = &all[i]
	}
	return records
}

func (m *mint) strike(r *kgo.Record, c *change) {
	key := m.cut(schema.AppendKey(m.buf, m.keyID, c.id, m.account))
	p := kafka.Partition(key, len(c.s.ck.Partitions))
	part := &c.s.ck.Partitions[p]
	part.Seq++
	*r = kgo.Record{Topic: c.s.topic, Partition: p, Key: key, Timestamp: m.minted}
	if !c.now.Equal(m.now) || m.observed == nil {
		m.now, m.observed = c.now, m.cut(appendInstant(m.buf, c.now))
	}
	first := len(m.headers)
	m.headers = append(m.headers,
		kgo.RecordHeader{Key: "harvest-op", Value: m.cut(append(m.buf, c.op...))},
		kgo.RecordHeader{Key: "harvest-seq", Value: m.cut(strconv.AppendInt(m.buf, part.Seq, 10))},
		kgo.RecordHeader{Key: "harvest-stamp", Value: m.cut(appendInstant(m.buf, time.Unix(int64(c.stamp), 0)))},
		kgo.RecordHeader{Key: "harvest-observed-at", Value: m.observed},
		kgo.RecordHeader{Key: "harvest-cause", Value: m.cut(append(m.buf, c.cause...))},
	)
	r.Headers = m.headers[first:len(m.headers):len(m.headers)]
	if c.rec != nil {
		v := append(schema.AppendHeader(m.buf, c.s.valueID), c.rec.Body...)
		r.Value = m.cut(schema.AppendMeta(v, part.Seq, c.now.UnixMilli()))
	}
}

// cut takes over a longer buffer and returns what was added.
func (m *mint) cut(longer []byte) []byte {
	added := longer[len(m.buf):len(longer):len(longer)]
	m.buf = longer
	return added
}

// appendInstant appends an instant as headers have it: 2017-06-26T22:32:52.000Z.
func appendInstant(dst []byte, t time.Time) []byte {
	dst = t.UTC().AppendFormat(dst, time.RFC3339) // for this layout the library has a quick way
	ms := t.Nanosecond() / 1_000_000
	return append(dst[:len(dst)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}
