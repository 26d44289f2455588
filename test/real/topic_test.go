package real_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/pkg/schema"
)

// version is one record of a topic as any consumer sees it, by another Avro library, with the writer's schema as the registry has it.
type version struct {
	id, account int64
	part        int32
	offset      int64
	seq         int64
	op          string
	row         map[string]any // nil: a tombstone
}

// reader reads topics with nothing of ours but the names.
type reader struct {
	*world
	schemas map[uint32]*avro.Schema
}

// read returns what a topic says, read_committed, up to where it ends now.
func (r *reader) read(topic string) ([]version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	admin, err := kgo.NewClient(r.client.Opts()...) // one that remembers no topic of before
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	ends, err := kadm.NewClient(admin).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	from, open := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition], open[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	if len(open) == 0 {
		return nil, nil
	}
	cl, err := kgo.NewClient(append(r.client.Opts(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // a log ends with a marker
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []version
	for len(open) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: not read to its ends %v in time", topic, open)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			rec := iter.Next()
			if rec.Offset+1 >= open[rec.Partition] {
				delete(open, rec.Partition)
			}
			if rec.Attrs.IsControl() {
				continue
			}
			v, err := r.decode(rec)
			if err != nil {
				return nil, fmt.Errorf("%s/%d offset %d: %w", topic, rec.Partition, rec.Offset, err)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

func (r *reader) decode(rec *kgo.Record) (version, error) {
	key, err := r.avro(rec.Key)
	if err != nil {
		return version{}, fmt.Errorf("key: %w", err)
	}
	v := version{id: key["id"].(int64), account: key["account_id"].(int64), part: rec.Partition, offset: rec.Offset}
	for _, h := range rec.Headers {
		switch h.Key {
		case "harvest-op":
			v.op = string(h.Value)
		case "harvest-seq":
			v.seq, err = strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
	if rec.Value != nil && err == nil {
		v.row, err = r.avro(rec.Value)
	}
	return v, err
}

// avro decodes a message of the registries' wire format.
func (r *reader) avro(message []byte) (map[string]any, error) {
	if len(message) < 5 || message[0] != 0 {
		return nil, fmt.Errorf("%x is not the wire format", message[:min(len(message), 8)])
	}
	s, err := r.schema(binary.BigEndian.Uint32(message[1:]))
	if err != nil {
		return nil, err
	}
	var v any
	rest, err := s.Decode(message[5:], &v)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("decoding: %w, %d bytes left", err, len(rest))
	}
	return v.(map[string]any), nil
}

func (r *reader) schema(id uint32) (*avro.Schema, error) {
	if s := r.schemas[id]; s != nil {
		return s, nil
	}
	var answer struct{ Schema string }
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/schemas/ids/%d", parts.registry, id), nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(registryUser, registryPassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	s, err := avro.Parse(answer.Schema)
	if err == nil {
		r.schemas[id] = s
	}
	return s, err
}

// history holds what every topic has to keep at any moment, and each key's last word against the accounts: no seq missing or twice, no
// version said twice, create after nothing or a tombstone only. It returns what is wrong and how many records there were.
func (w *world) history() (wrong []string, records int) {
	w.t.Helper()
	r := &reader{world: w, schemas: map[uint32]*avro.Schema{}}
	for _, st := range schema.All() {
		versions, err := r.read(w.prefix() + st.Name)
		if err != nil {
			return append(wrong, err.Error()), records
		}
		records += len(versions)
		for account, sim := range w.sims {
			latest, bad := follow(st, account, versions)
			wrong = append(wrong, bad...)
			var rows [][]byte
			for _, id := range slices.Sorted(maps.Keys(latest)) {
				if latest[id].row != nil {
					row, err := json.Marshal(plain(&st.Schema.Fields, latest[id].row))
					if err != nil {
						return append(wrong, err.Error()), records
					}
					rows = append(rows, row)
				}
			}
			wrong = append(wrong, sim.Differences(st, rows, 0)...)
		}
	}
	return wrong, records
}

// follow goes through the versions of one account.
func follow(st *schema.Stream, account int64, versions []version) (map[int64]version, []string) {
	latest, last := map[int64]version{}, map[int32]int64{}
	var wrong []string
	for _, v := range versions {
		if v.account != account {
			continue
		}
		at := fmt.Sprintf("%s %d, partition %d offset %d", st.Name, v.id, v.part, v.offset)
		if v.seq != last[v.part]+1 {
			wrong = append(wrong, fmt.Sprintf("%s: seq %d follows %d", at, v.seq, last[v.part]))
		}
		last[v.part] = v.seq
		old, known := latest[v.id]
		switch gone := !known || old.row == nil; {
		case v.row == nil && gone:
			wrong = append(wrong, at+": a tombstone of what is not there")
		case v.row == nil && v.op != "delete", v.row != nil && (v.op == "create") != gone:
			wrong = append(wrong, fmt.Sprintf("%s: says %s", at, v.op))
		case v.row != nil && !gone && same(st, old.row, v.row):
			wrong = append(wrong, fmt.Sprintf("%s: says what seq %d said", at, old.seq))
		}
		latest[v.id] = v
	}
	return latest, wrong
}

// same says whether two versions differ in nothing that counts.
func same(st *schema.Stream, a, b map[string]any) bool {
	for i := range st.Schema.Fields {
		if f := &st.Schema.Fields[i]; f.Compare && fmt.Sprint(value(f, a[f.Name])) != fmt.Sprint(value(f, b[f.Name])) {
			return false
		}
	}
	return true
}

// plain is a decoded record as PostgreSQL's to_jsonb would show it.
func plain(fields *[]schema.Field, row map[string]any) map[string]any {
	out := map[string]any{}
	for i := range *fields {
		f := &(*fields)[i]
		out[f.Name] = value(f, row[f.Name])
	}
	return out
}

func value(f *schema.Field, x any) any {
	switch v := x.(type) {
	case *big.Rat:
		return json.Number(v.FloatString(9))
	case big.Rat:
		return json.Number(v.FloatString(9))
	case time.Time:
		if f.Kind == schema.Date {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format(time.RFC3339Nano)
	case []any:
		items := make([]any, len(v))
		for i, e := range v {
			items[i] = e
			if item, ok := e.(map[string]any); ok && f.Items != nil {
				items[i] = plain(&f.Items.Fields, item)
			}
		}
		return items
	case string:
		if f.Name == schema.FieldExtra {
			return json.RawMessage(v)
		}
	}
	return x
}
