package schema_test

import (
	"encoding/hex"
	"math"
	"testing"

	"harveststream/pkg/schema"
)

// TestKeyIsFrozen: for compaction a key is its bytes. If this test fails, the change is wrong, not the test.
func TestKeyIsFrozen(t *testing.T) {
	t.Parallel()
	const text = `{"type":"record","name":"Key","namespace":"harvest.v2","fields":[{"name":"id","type":"long"},{"name":"account_id","type":"long"}]}`
	if schema.KeySchema != text {
		t.Errorf("the key's schema is %s", schema.KeySchema)
	}
	if got := hex.EncodeToString(schema.AppendKey(nil, 258, 2871330945, 482913)); got != "000000010282a2a8b215c2f93a" {
		t.Errorf("a key is %s", got)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 63, 64, 1 << 40, math.MaxInt64} {
		key := schema.AppendKey([]byte("x"), math.MaxInt32, id, 7)[1:]
		if s, i, a, err := schema.ParseKey(key); s != math.MaxInt32 || i != id || a != 7 || err != nil {
			t.Errorf("%d: %d, %d, %d, %v", id, s, i, a, err)
		}
		for n := range key {
			if _, _, _, err := schema.ParseKey(key[:n]); err == nil {
				t.Errorf("%d of %d bytes are accepted", n, len(key))
			}
		}
	}
	for _, key := range []string{"", "00000000010202ff", "0000000000020200", "01000000010202", "00000000010002", "00000000010102", "00000000010201", "0000000001820002", "00800000010202", "00000000000202",
		"7b226964223a317d"} {
		b, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := schema.ParseKey(b); err == nil {
			t.Errorf("%s is accepted", key)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	value := append(schema.AppendHeader(nil, 77), 1, 2, 3)
	if id, body, err := schema.SplitHeader(value); id != 77 || string(body) != "\x01\x02\x03" || err != nil {
		t.Errorf("%d, %x, %v", id, body, err)
	}
	for _, value := range [][]byte{nil, {0}, {0, 0, 0, 1}, {1, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {0, 0xff, 0xff, 0xff, 0xff}, []byte(`{"id":5}`)} {
		if _, _, err := schema.SplitHeader(value); err == nil {
			t.Errorf("%x is accepted", value)
		}
	}
}

func TestMeta(t *testing.T) {
	t.Parallel()
	if got := hex.EncodeToString(schema.AppendMeta(nil, 1, -1)); got != "02020201" {
		t.Errorf("%s", got)
	}
}
