package sinker_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	twmb "github.com/twmb/avro"

	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from the golden file (-update writes it):\n%s", name, got)
	}
}

// TestSQL holds every SQL text of all streams, in both delete modes.
func TestSQL(t *testing.T) {
	t.Parallel()
	for _, st := range schema.All() {
		golden(t, st.Name+".hard.sql", sinker.Statements(st, false))
		golden(t, st.Name+".soft.sql", sinker.Statements(st, true))
	}
}

// TestDDL holds what `sinker ddl` prints.
func TestDDL(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sinker.DDL(sinker.Target{Schema: "harvest", DeleteMode: "hard", Streams: []string{"*"}}, &b); err != nil {
		t.Fatal(err)
	}
	golden(t, "ddl.sql", b.String())
}

// numericText reads numeric's wire form as PostgreSQL would print it.
func numericText(b []byte) string {
	n := int(binary.BigEndian.Uint16(b[4:]))
	weight, sign, scale := int(int16(binary.BigEndian.Uint16(b[6:]))), binary.BigEndian.Uint16(b[8:]), int(binary.BigEndian.Uint16(b[10:]))
	sum := new(big.Rat)
	for i := range n {
		digit := new(big.Rat).SetInt64(int64(binary.BigEndian.Uint16(b[12+2*i:])))
		power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10000), big.NewInt(int64(abs(weight-i))), nil))
		if weight-i < 0 {
			power.Inv(power)
		}
		sum.Add(sum, digit.Mul(digit, power))
	}
	if sign == 0x4000 {
		sum.Neg(sum)
	}
	return sum.FloatString(scale)
}

func abs(n int) int { return max(n, -n) }

// TestNumeric: decimals of every size are the same number in numeric's wire form and in JSON, without trailing zeros.
func TestNumeric(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200_000 {
		n := randomBelow(r, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(i%39)), nil))
		if i%3 == 0 {
			n.Mul(n.Quo(n, big.NewInt(1e9)), big.NewInt(1e9))
		}
		if i%2 == 0 {
			n.Neg(n)
		}
		want := strings.TrimSuffix(strings.TrimRight(new(big.Rat).SetFrac(n, big.NewInt(1e9)).FloatString(9), "0"), ".")
		b := twosComplement(n)
		for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
			b = b[1:]
		}
		wire, err := sinker.AppendNumeric(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := numericText(wire); got != want || int(binary.BigEndian.Uint32(wire)) != len(wire)-4 {
			t.Fatalf("%s became %s (%x)", want, got, wire)
		}
		if text, err := sinker.AppendDecimalText(nil, b); err != nil || string(text) != want {
			t.Fatalf("%s became %s in JSON (%v)", want, text, err)
		}
	}
	if _, err := sinker.AppendNumeric(nil, twosComplement(new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil))); err == nil {
		t.Error("39 digits were taken")
	}
}

// TestSecondLibrary: this test's encoder writes what another Avro library reads, so that the rows compared with PostgreSQL stand for it.
func TestSecondLibrary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for _, st := range schema.All() {
		other, err := twmb.Parse(st.Schema.Text())
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			full := randomRow(r, st.Schema)
			full["id"], full["account_id"] = int64(1), int64(2)
			body := encode(nil, st.Schema, full)
			var v any
			rest, err := other.Decode(body, &v)
			if err != nil || len(rest) > 0 {
				t.Fatalf("%s: %v, %d bytes left", st.Name, err, len(rest))
			}
			again, err := other.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, body) {
				t.Fatalf("%s: the other library writes %x, not %x", st.Name, again, body)
			}
		}
	}
}

// TestMalformed: no prefix of a record is taken for one, nor one with bytes after it; a failed row leaves nothing behind.
func TestMalformed(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 9))
	for _, st := range schema.All() {
		enc, err := sinker.NewRowEncoder(st, st.Schema)
		if err != nil {
			t.Fatal(err)
		}
		full := randomRow(r, st.Schema)
		full["id"], full["account_id"], full["_seq"] = int64(1), int64(2), int64(3)
		body := encode(nil, st.Schema, full)
		if _, err := enc.Append(nil, body, 1, 2, 3); err != nil {
			t.Fatalf("%s: %v", st.Name, err)
		}
		for n := range body {
			if dst, err := enc.Append([]byte("x"), body[:n], 1, 2, 3); err == nil || len(dst) != 1 || enc.Kids() != 0 {
				t.Fatalf("%s: %d of %d bytes: %v", st.Name, n, len(body), err)
			}
		}
		for _, bad := range [][3]int64{{9, 2, 3}, {1, 9, 3}, {1, 2, 9}} {
			if _, err := enc.Append(nil, body, bad[0], bad[1], bad[2]); err == nil {
				t.Errorf("%s: taken for key and seq %v", st.Name, bad)
			}
		}
		if _, err := enc.Append(nil, append(body, 0), 1, 2, 3); err == nil {
			t.Errorf("%s: a byte after the record was taken", st.Name)
		}
	}
}

// TestPlain: what appendPlain takes becomes the same field as by the long way, and it takes what most values are.
func TestPlain(t *testing.T) {
	t.Parallel()
	st := stream(t, "time_entries")
	enc, err := sinker.NewRowEncoder(st, st.Schema)
	if err != nil {
		t.Fatal(err)
	}
	long, r := enc.LongWay(), rand.New(rand.NewPCG(12, 13))
	for i := range 20_000 {
		full := randomRow(r, st.Schema)
		full["id"], full["account_id"], full["_seq"] = int64(1), int64(2), int64(3)
		full["user_id"] = int64(r.Uint64()) >> r.IntN(64)
		full["hours"] = new(big.Rat).SetFrac64(r.Int64N(2e10)-1e10, pow10(r.IntN(10)))
		full["billable_rate"] = new(big.Rat).SetFrac64(r.Int64N(2e6)-1e6, pow10(r.IntN(6)))
		body := encode(nil, st.Schema, full)
		got, err := enc.Append(nil, body, 1, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		want, err := long.Append(nil, body, 1, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("row %d, %v: %x, by the long way %x", i, full, got, want)
		}
	}
	for _, f := range []string{"user_id", "hours", "notes", "is_locked", "spent_date", "created_at"} {
		field := &st.Schema.Fields[st.Schema.Field(f)]
		usual := encodeValue([]byte{2}, field, timeEntry(st, 77)[f])
		if _, n := sinker.AppendPlain(nil, append(usual, make([]byte, 8)...), field.Kind); n != len(usual) {
			t.Errorf("%s: %d of %d bytes were taken", f, n, len(usual))
		}
	}
	const day, last = -719162, 2932896 // of the years 0001 and 9999
	for kind, beyond := range map[schema.Kind][2]int64{schema.Date: {day - 1, last + 1}, schema.Timestamp: {day*864e5 - 1, (last + 1) * 864e5}} {
		for _, v := range beyond {
			if _, n := sinker.AppendPlain(nil, append(binary.AppendVarint([]byte{2}, v), make([]byte, 8)...), kind); n > 0 {
				t.Errorf("%s %d was taken", kind, v)
			}
		}
	}
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// FuzzRows: hostile bytes never panic, never make rows larger than they warrant, and are the same row by either way.
func FuzzRows(f *testing.F) {
	r := rand.New(rand.NewPCG(10, 11))
	streams := schema.All()
	for i, st := range streams {
		full := randomRow(r, st.Schema)
		full["id"], full["account_id"], full["_seq"] = int64(1), int64(2), int64(3)
		f.Add(uint8(i), encode(nil, st.Schema, full))
	}
	encoders, long := make([]*sinker.RowEncoder, len(streams)), make([]*sinker.RowEncoder, len(streams))
	for i, st := range streams {
		var err error
		if encoders[i], err = sinker.NewRowEncoder(st, st.Schema); err != nil {
			f.Fatal(err)
		}
		long[i] = encoders[i].LongWay()
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		i := int(n) % len(streams)
		dst, err := encoders[i].Append(nil, body, 1, 2, 3)
		if limit := 1000*(len(body)+10) + 20*len(streams[i].Schema.Fields); len(dst)+encoders[i].Kids() > limit {
			t.Errorf("%d bytes became %d", len(body), len(dst))
		}
		if err != nil && len(dst) > 0 {
			t.Errorf("a failed row left %d bytes", len(dst))
		}
		again, errAgain := long[i].Append(nil, body, 1, 2, 3)
		if !bytes.Equal(dst, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Errorf("%x (%v), by the long way %x (%v)", dst, err, again, errAgain)
		}
	})
}

// BenchmarkRows encodes time entries: rows a second of processor time.
func BenchmarkRows(b *testing.B) {
	st := stream(b, "time_entries")
	enc, err := sinker.NewRowEncoder(st, st.Schema)
	if err != nil {
		b.Fatal(err)
	}
	body := encode(nil, st.Schema, timeEntry(st, 1))
	dst := make([]byte, 0, 1<<20)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	began := cpu()
	for b.Loop() {
		if dst, err = enc.Append(dst[:0], body, 1, account, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/(cpu()-began).Seconds(), "rows/s-core")
}
