package kafka_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"harveststream/internal/kafka"
)

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 250e6, time.UTC)
	want := kafka.Checkpoint{
		Account: 12345, Stream: "invoice_messages", Cursor: at, Anchor: at.AddDate(-1, 0, 0), TopicID: "AAECAwQFBgcICQoLDA0ODw",
		Backfill: &kafka.Backfill{Floor: at, Page: 7, Link: "https://api.harvestapp.com/v2/clients?cursor=x"},
		Marks:    []int64{17, 0}, Round: kafka.Round{Began: at, Last: 99}, Swept: at, Recent: at,
		Partitions: []kafka.PartitionState{{Seq: 3, Next: 9}, {}}, At: at,
	}
	got, err := kafka.ParseCheckpoint(want.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

// The zero values of a first checkpoint must not come back as dates of the year 1 under other names.
func TestFirstCheckpoint(t *testing.T) {
	t.Parallel()
	ck := kafka.Checkpoint{Account: 1, Stream: "users", Partitions: []kafka.PartitionState{{}}, At: time.Unix(0, 0).UTC()}
	const want = `{"v":1,"account":1,"stream":"users","topic_id":"","partitions":[{"seq":0,"next":0}],"at":"1970-01-01T00:00:00Z"}`
	if got := string(ck.Marshal()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// K15: what is no checkpoint is never taken for a first run.
func TestBadCheckpoints(t *testing.T) {
	t.Parallel()
	good := `{"v":1,"account":1,"stream":"users","partitions":[{"seq":1,"next":2}]}`
	if _, err := kafka.ParseCheckpoint([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"empty":         "",
		"garbage":       "\x00\x01",
		"cut":           good[:20],
		"null":          "null",
		"no version":    strings.Replace(good, `"v":1,`, "", 1),
		"newer version": strings.Replace(good, `"v":1`, `"v":2`, 1),
		"no account":    strings.Replace(good, `"account":1,`, "", 1),
		"no stream":     strings.Replace(good, `"users"`, `""`, 1),
		"no partitions": strings.Replace(good, `{"seq":1,"next":2}`, "", 1),
		"seq a text":    strings.Replace(good, `"seq":1`, `"seq":"1"`, 1),
		"seq negative":  strings.Replace(good, `"seq":1`, `"seq":-1`, 1),
		"next negative": strings.Replace(good, `"next":2`, `"next":-2`, 1),
	} {
		if ck, err := kafka.ParseCheckpoint([]byte(value)); err == nil {
			t.Errorf("%s: read as %+v", name, ck)
		}
	}
}

func TestHeartbeatRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	want := kafka.Heartbeat{Account: 1, Host: "host-1", PID: 7, Nonce: "n", Version: "1.0.0", Command: "run", Started: at, At: at, SignedOff: true}
	got, err := kafka.ParseHeartbeat(want.Marshal())
	if err != nil || *got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestCheckpointKeys(t *testing.T) {
	t.Parallel()
	account, stream, writer, err := kafka.ParseCheckpointKey(kafka.CheckpointKey(12, "users"))
	if account != 12 || stream != "users" || writer || err != nil {
		t.Errorf("a checkpoint's key gives %d, %q, %t, %v", account, stream, writer, err)
	}
	if account, _, writer, err := kafka.ParseCheckpointKey(kafka.HeartbeatKey(12)); account != 12 || !writer || err != nil {
		t.Errorf("a heartbeat's key gives %d, %t, %v", account, writer, err)
	}
}

func FuzzParseCheckpointKey(f *testing.F) {
	for _, key := range []string{"12/users", "12/_writer", "", "/", "12", "12/", "/users", "0/users", "-1/users", "+1/users", "01/users", "1/a/b", "99999999999999999999/x"} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		account, stream, _, err := kafka.ParseCheckpointKey(key)
		if err != nil {
			return
		}
		if again := kafka.CheckpointKey(account, stream); account <= 0 || !bytes.Equal(again, key) {
			t.Errorf("%q is read as %d, %q, whose key is %q", key, account, stream, again)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(`{"v":1,"account":1,"stream":"users","partitions":[{"seq":1,"next":2}],"cursor":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"v":1,"account":1,"stream":"users","partitions":[{}],"backfill":{"page":3},"round":{"last":4}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		first, err := kafka.ParseCheckpoint(value)
		if err != nil {
			return
		}
		second, err := kafka.ParseCheckpoint(first.Marshal())
		if err != nil || !bytes.Equal(first.Marshal(), second.Marshal()) {
			t.Errorf("%s is not read back: %v", first.Marshal(), err)
		}
	})
}
