package producer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// published is one record of a topic as any consumer would decode it, with a library that shares no code with the producer.
type published struct {
	id      int64
	deleted bool
	fields  map[string]string
	op      string
	cause   string
	part    int32
	seq     int64
	stamp   time.Time
	at      time.Time // observed
}

// topic reads all a stream's topic holds.
func (w *world) topic(stream string) []published {
	w.t.Helper()
	return w.topics(stream)[stream]
}

// topics reads all that the topics of some streams hold, or of all.
func (w *world) topics(streams ...string) map[string][]published {
	w.t.Helper()
	cfg := w.config()
	opts, err := cfg.Kafka.Options()
	if err != nil {
		w.t.Fatal(err)
	}
	var targets []kafka.Target
	for at, end := range w.ends(streams...) {
		targets = append(targets, kafka.Target{Topic: at.topic, Partition: at.partition, From: kafka.FromStart, To: end})
	}
	out := map[string][]published{}
	if err := kafka.ReadTo(context.Background(), opts, targets, func(r *kgo.Record) error {
		stream := strings.TrimPrefix(r.Topic, cfg.Kafka.TopicPrefix)
		if p, ours := decode(w, stream, r); ours {
			out[stream] = append(out[stream], p)
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

type partition struct {
	topic     string
	partition int32
}

// ends is where the topics of some streams end, or of all.
func (w *world) ends(streams ...string) map[partition]int64 {
	w.t.Helper()
	cfg := w.config()
	opts, err := cfg.Kafka.Options()
	if err != nil {
		w.t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	var topics []string
	for _, s := range schema.All() {
		if len(streams) == 0 || slices.Contains(streams, s.Name) {
			topics = append(topics, cfg.Kafka.Topic(s.Name))
		}
	}
	listed, err := kadm.NewClient(cl).ListEndOffsets(context.Background(), topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ends := map[partition]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[partition{o.Topic, o.Partition}] = o.Offset })
	return ends
}

// readers are the schemas as any consumer would parse them.
var (
	keyReader = avro.MustParse(schema.KeySchema)
	readers   = sync.OnceValue(func() map[string]avro.Schema {
		all := map[string]avro.Schema{}
		for _, s := range schema.All() {
			all[s.Name] = avro.MustParse(s.Schema.Text())
		}
		return all
	})
)

// decode says what a record says, and whether it is of our account.
func decode(w *world, stream string, r *kgo.Record) (_ published, ours bool) {
	w.t.Helper()
	var key struct {
		ID      int64 `avro:"id"`
		Account int64 `avro:"account_id"`
	}
	if err := avro.Unmarshal(keyReader, r.Key[5:], &key); err != nil {
		w.t.Fatal(err)
	}
	if key.Account != accountID {
		return published{}, false
	}
	p := published{id: key.ID, part: r.Partition, deleted: r.Value == nil}
	for _, h := range r.Headers {
		switch h.Key {
		case "harvest-op":
			p.op = string(h.Value)
		case "harvest-cause":
			p.cause = string(h.Value)
		case "harvest-seq":
			p.seq, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case "harvest-stamp":
			p.stamp, _ = time.Parse(time.RFC3339, string(h.Value))
		case "harvest-observed-at":
			p.at, _ = time.Parse(time.RFC3339, string(h.Value))
		}
	}
	if p.deleted {
		return p, true
	}
	var v map[string]any
	if err := avro.Unmarshal(readers()[stream], r.Value[5:], &v); err != nil {
		w.t.Fatalf("%s offset %d: %v", r.Topic, r.Offset, err)
	}
	p.fields = map[string]string{}
	for name, x := range v {
		if text := canonical(x); text != "" {
			p.fields[name] = text
		}
	}
	return p, true
}

// canonical is a decoded value as text, "" for null.
func canonical(x any) string {
	switch v := x.(type) {
	case nil:
		return ""
	case *big.Rat:
		return v.RatString()
	case big.Rat:
		return v.RatString()
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, canonical(e))
		}
		slices.Sort(parts) // arrays count as sets
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		if list, union := v["array"].([]any); union && len(v) == 1 {
			return canonical(list)
		}
		var parts []string
		for name, x := range v {
			if text := canonical(x); text != "" {
				parts = append(parts, name+"="+text)
			}
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, " ") + "}"
	default:
		return fmt.Sprintf("%v", v)
	}
}

// expected is what the record of an object has to say, worked out from the JSON by encoding/json and the schema's "from" alone.
func (w *world) expected(st *schema.Stream, object []byte, parent int64) map[string]string {
	w.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{"account_id": strconv.Itoa(accountID)}
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if text := fromJSON(f, v); text != "" {
			out[f.Name] = text
		}
	}
	if st.ParentID != "" {
		out[st.ParentID] = strconv.FormatInt(parent, 10)
	}
	if st.Read == schema.Single {
		out["id"] = strconv.Itoa(accountID)
	}
	if text := extraOf(st, v); text != "" {
		out["extra"] = text
	}
	return out
}

func fromJSON(f *schema.Field, v map[string]any) string {
	var x any = v
	for _, name := range f.From {
		m, ok := x.(map[string]any)
		if !ok {
			return ""
		}
		x = m[name]
	}
	return jsonValue(f, x)
}

func jsonValue(f *schema.Field, x any) string {
	if x == nil {
		return ""
	}
	switch f.Kind {
	case schema.Decimal:
		r, _ := new(big.Rat).SetString(fmt.Sprint(x))
		return r.RatString()
	case schema.Timestamp:
		t, _ := time.Parse(time.RFC3339, fmt.Sprint(x))
		return t.UTC().Format(time.RFC3339)
	case schema.Date:
		return fmt.Sprint(x) + "T00:00:00Z"
	case schema.Strings, schema.Longs:
		var parts []string
		for _, e := range x.([]any) {
			parts = append(parts, fmt.Sprint(e))
		}
		slices.Sort(parts) // arrays count as sets
		return "[" + strings.Join(parts, ",") + "]"
	case schema.Items:
		var parts []string
		for _, e := range x.([]any) {
			item := []string{}
			for i := range f.Items.Fields {
				sub := &f.Items.Fields[i]
				if text := fromJSON(sub, e.(map[string]any)); text != "" {
					item = append(item, sub.Name+"="+text)
				}
			}
			slices.Sort(item)
			parts = append(parts, "{"+strings.Join(item, " ")+"}")
		}
		slices.Sort(parts) // arrays count as sets
		return "[" + strings.Join(parts, ",") + "]"
	}
	return fmt.Sprint(x)
}

// volatile fields may lag: a running timer's hours (P8).
func volatile(fields map[string]string, name string) bool {
	return fields["is_running"] == "true" && (name == "hours" || name == "rounded_hours")
}

// equal holds every topic against the account: the latest value of each key is the truth, tombstones stand exactly for what is gone, seq
// has no gap, no version is repeated, no stamp steps back.
func (w *world) equal(streams ...string) {
	w.t.Helper()
	topics := w.topics(streams...)
	for _, st := range schema.All() {
		if len(streams) == 0 || slices.Contains(streams, st.Name) {
			w.equalTo(st, topics[st.Name], all)
		}
	}
}

// scope says whether a living row must be in the mirror, and whether it may be (P10).
type scope func(st *schema.Stream, o harvesttest.Object) (must, may bool)

func all(*schema.Stream, harvesttest.Object) (must, may bool) { return true, true }

// equalTo holds one topic against the account.
func (w *world) equalTo(st *schema.Stream, records []published, mirror scope) {
	w.t.Helper()
	latest := w.latestOf(st, records)
	living := map[int64]bool{}
	for _, o := range w.sim.Truth(st.Name) {
		id := o.ID
		if st.Read == schema.Single {
			id = accountID
		}
		living[id] = true
		got, ok := latest[id]
		must, may := mirror(st, o)
		switch {
		case ok && !got.deleted && !may:
			w.t.Errorf("%s %d: OUTSIDE: on the topic, though never in the mirror", st.Name, id)
		case ok && !got.deleted:
			w.compare(st, id, got.fields, w.expected(st, o.JSON, o.ParentID))
		case must:
			w.t.Errorf("%s %d: LOST: not on the topic", st.Name, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(latest)) {
		if !living[id] && !latest[id].deleted {
			w.t.Errorf("%s %d: PHANTOM: on the topic, not in the account", st.Name, id)
		}
	}
}

// compare holds one row against the account, but for what is no change by itself ("compare": false).
func (w *world) compare(st *schema.Stream, id int64, got, want map[string]string) {
	w.t.Helper()
	for i := range st.Schema.Fields {
		if f := &st.Schema.Fields[i]; f.Compare && got[f.Name] != want[f.Name] && !volatile(want, f.Name) {
			w.t.Errorf("%s %d: STALE: %s is %q on the topic, %q in the account", st.Name, id, f.Name, got[f.Name], want[f.Name])
		}
	}
	if !sameExtra(got["extra"], want["extra"]) {
		w.t.Errorf("%s %d: EXTRA: it is %q on the topic, should be %q", st.Name, id, got["extra"], want["extra"])
	}
}

// history is latestOf a stream's topic.
func (w *world) history(name string) map[int64]published {
	w.t.Helper()
	st, _ := schema.ByName(name)
	return w.latestOf(st, w.topic(name))
}

// latestOf checks what must hold for every topic at any moment and returns the latest record of each key.
func (w *world) latestOf(st *schema.Stream, records []published) map[int64]published {
	w.t.Helper()
	latest, name := map[int64]published{}, st.Name
	last := maps.Clone(w.lost[name])
	if last == nil {
		last = map[int32]int64{}
	}
	for _, p := range records {
		if p.seq != last[p.part]+1 {
			w.t.Errorf("%s partition %d: GAP: seq %d follows %d", name, p.part, p.seq, last[p.part])
		}
		last[p.part] = p.seq
		w.exact(st, p, latest[p.id])
		if old, ok := latest[p.id]; ok {
			if old.deleted && p.deleted || !old.deleted && !p.deleted && sameVersion(st, old.fields, p.fields) {
				w.t.Errorf("%s %d: REPEAT: seq %d says what seq %d said", name, p.id, p.seq, old.seq)
			}
			if (p.op == "create") != old.deleted {
				w.t.Errorf("%s %d: op %s at seq %d", name, p.id, p.op, p.seq)
			}
		} else if p.op != "create" {
			w.t.Errorf("%s %d: first record says %s", name, p.id, p.op)
		}
		latest[p.id] = p
	}
	return latest
}

// sameVersion compares the fields that count (P3: "compare": false does not).
func sameVersion(st *schema.Stream, a, b map[string]string) bool {
	for i := range st.Schema.Fields {
		if f := &st.Schema.Fields[i]; f.Compare && a[f.Name] != b[f.Name] {
			return false
		}
	}
	return true
}

// records is how many records all topics hold.
func (w *world) records() int {
	w.t.Helper()
	n := 0
	for _, records := range w.topics() {
		n += len(records)
	}
	return n
}
