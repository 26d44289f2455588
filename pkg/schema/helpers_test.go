package schema_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"harveststream/pkg/schema"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	account  = 482913
	parent   = 47200318
	seq      = 17
	observed = 1_772_450_000_123
)

func stream(tb testing.TB, name string) *schema.Stream {
	tb.Helper()
	st, ok := schema.ByName(name)
	if !ok {
		tb.Fatalf("no stream %s", name)
	}
	return st
}

// sample returns the sample object of a stream: every documented member, none null.
func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// decode turns one object into a record.
func decode(tb testing.TB, st *schema.Stream, object string) (schema.Record, []schema.Fault) {
	tb.Helper()
	rec, faults, err := tryDecode(st, object)
	if err != nil {
		tb.Fatalf("decoding %s: %v", object, err)
	}
	return rec, faults
}

func tryDecode(st *schema.Stream, object string) (schema.Record, []schema.Fault, error) {
	e := schema.NewEncoder(st, account, schema.Omit{})
	var rec schema.Record
	_, err := e.Decode([]byte(object), parentOf(st), &rec)
	return rec, e.Faults(), err
}

func parentOf(st *schema.Stream) int64 {
	if st.Read == schema.Children {
		return parent
	}
	return 0
}

// published returns a record's value as it is published, without header.
func published(rec schema.Record) []byte { return schema.AppendMeta(rec.Body, seq, observed) }

// golden compares with a golden file, or writes it under -update.
func golden(tb testing.TB, name string, got []byte) {
	tb.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if string(got) != string(want) {
		tb.Errorf("%s differs (-update writes it):\ngot\n%s\nwant\n%s", path, got, want)
	}
}
