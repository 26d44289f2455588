package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// checkpointVersion is the "v" of the values on the checkpoint topic. It rises with every change an older reader must
// not overlook; a mere new field does not raise it.
const checkpointVersion = 1

// WriterKey is the last part of a heartbeat's key: `<account>/_writer` (design §2).
const WriterKey = "_writer"

// Checkpoint is what the producer knows about one stream of one account beyond the stream's own topic (design §2). It
// is written in the transaction of the records it speaks of (P2), and the sinker reads from it up to which moment a
// table is complete (S9). Instants are UTC, to the millisecond.
type Checkpoint struct {
	Account int64  `json:"account"`
	Stream  string `json:"stream"`
	// Cursor: everything Harvest knew at this moment is on the topic (P4).
	Cursor time.Time `json:"cursor,omitzero"`
	// Anchor bounds the mirror from below and never becomes later (P10).
	Anchor Anchor `json:"anchor"`
	// Complete: the first read has finished.
	Complete bool      `json:"complete,omitempty"`
	Backfill *Backfill `json:"backfill,omitempty"`
	// Mark is the parents' seq up to which a child stream's lists were read (P8).
	Mark int64 `json:"mark,omitempty"`
	// Round is where the rotating pass over all parents stands (P8).
	Round *Round `json:"round,omitempty"`
	Sweep Sweep  `json:"sweep,omitzero"`
	// Partitions by number; their count is the one keys are spread over for ever (P13).
	Partitions []PartitionState `json:"partitions"`
	// TopicID is the topic's id in Kafka, base64 as Kafka prints it: another one means the topic was made anew (P15).
	TopicID string    `json:"topic_id"`
	At      time.Time `json:"at"` // when this was written
}

// PartitionState is a checkpoint's account of one partition.
type PartitionState struct {
	Seq  int64 `json:"seq"`  // of the last record, 0 before the first
	Next int64 `json:"next"` // offset after the last own record, 0 before the first
}

// Backfill is a long read under way, so that a restart goes on where it stood.
type Backfill struct {
	Since time.Time `json:"since,omitzero"` // updated_since of the read; zero: none
	Floor time.Time `json:"floor,omitzero"` // server time at the start of its first request: the cursor once it is done (P4)
	Link  string    `json:"link,omitempty"` // next page as the server named it
	Page  int       `json:"page,omitempty"` // or its number
}

// Round is the state of a child stream's rotating pass (P8).
type Round struct {
	Started time.Time `json:"started,omitzero"` // of this pass
	Parent  int64     `json:"parent"`           // id of the last parent read
}

// Sweep is when the last sweeps of a stream ended.
type Sweep struct {
	Full   time.Time `json:"full,omitzero"`
	Recent time.Time `json:"recent,omitzero"` // the last 14 days'
}

// Anchor is the moment the mirror begins at; the zero Anchor is "all": no bound (P10).
type Anchor time.Time

// All reports whether there is no bound.
func (a Anchor) All() bool { return time.Time(a).IsZero() }

// Time is the bound, zero for all.
func (a Anchor) Time() time.Time { return time.Time(a) }

// MarshalText gives "all" or an instant.
func (a Anchor) MarshalText() ([]byte, error) {
	if a.All() {
		return []byte("all"), nil
	}
	return millis(time.Time(a)).MarshalText()
}

// UnmarshalText reads what MarshalText wrote.
func (a *Anchor) UnmarshalText(text []byte) error {
	if string(text) == "all" {
		*a = Anchor{}
		return nil
	}
	return (*time.Time)(a).UnmarshalText(text)
}

// Heartbeat is the writer's sign of life (design §2): the first is the sentinel of P1, the last a sign-off.
type Heartbeat struct {
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Process   string    `json:"process"` // a random text, one for each incarnation
	Version   string    `json:"version"`
	Command   string    `json:"command"` // run, sync, …
	Started   time.Time `json:"started"`
	At        time.Time `json:"at"`
	SignedOff bool      `json:"signed_off,omitempty"`
}

// VersionError is a value of the checkpoint topic that a newer program wrote. Only that program may go on.
type VersionError struct{ V int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("checkpoint topic: version %d of the values is newer than this program's %d", e.V, checkpointVersion)
}

// Encode is the value of a checkpoint's record.
func (c Checkpoint) Encode() ([]byte, error) {
	c.Cursor, c.At = millis(c.Cursor), millis(c.At)
	c.Sweep = Sweep{Full: millis(c.Sweep.Full), Recent: millis(c.Sweep.Recent)}
	if b := c.Backfill; b != nil {
		c.Backfill = &Backfill{Since: millis(b.Since), Floor: millis(b.Floor), Link: b.Link, Page: b.Page}
	}
	if r := c.Round; r != nil {
		c.Round = &Round{Started: millis(r.Started), Parent: r.Parent}
	}
	return json.Marshal(struct {
		V int `json:"v"`
		Checkpoint
	}{checkpointVersion, c})
}

// Encode is the value of a heartbeat's record.
func (h Heartbeat) Encode() ([]byte, error) {
	h.Started, h.At = millis(h.Started), millis(h.At)
	return json.Marshal(struct {
		V int `json:"v"`
		Heartbeat
	}{checkpointVersion, h})
}

// ParseCheckpoint reads a checkpoint's value. A newer version is a *VersionError.
func ParseCheckpoint(value []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := parse(value, &c); err != nil {
		return c, err
	}
	if c.Account <= 0 || c.Stream == "" || len(c.Partitions) == 0 {
		return c, errors.New("checkpoint: account, stream or partitions are missing")
	}
	for i, p := range c.Partitions {
		if p.Seq < 0 || p.Next < 0 {
			return c, fmt.Errorf("checkpoint: partition %d has a negative number", i)
		}
	}
	return c, nil
}

// ParseHeartbeat reads a heartbeat's value. A newer version is a *VersionError.
func ParseHeartbeat(value []byte) (Heartbeat, error) {
	var h Heartbeat
	if err := parse(value, &h); err != nil {
		return h, err
	}
	if h.Process == "" {
		return h, errors.New("heartbeat: process is missing")
	}
	return h, nil
}

func parse(value []byte, into any) error {
	var head struct {
		V int `json:"v"`
	}
	switch err := json.Unmarshal(value, &head); {
	case err != nil:
		return fmt.Errorf("checkpoint topic: reading a value: %w", err)
	case head.V > checkpointVersion:
		return &VersionError{head.V}
	case head.V < 1:
		return fmt.Errorf("checkpoint topic: a value of version %d", head.V)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("checkpoint topic: reading a value: %w", err)
	}
	return nil
}

// CheckpointKey is the key of a stream's checkpoint, or with WriterKey of the account's heartbeat: `account/stream`.
func CheckpointKey(account int64, stream string) []byte {
	return append(strconv.AppendInt(nil, account, 10), "/"+stream...)
}

// ParseCheckpointKey reads a key of the checkpoint topic.
func ParseCheckpointKey(key []byte) (account int64, stream string, err error) {
	digits, stream, found := strings.Cut(string(key), "/")
	account, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || !found || account <= 0 || stream == "" || string(CheckpointKey(account, stream)) != string(key) {
		return 0, "", fmt.Errorf("checkpoint topic: key %.80q is not account/stream", key)
	}
	return account, stream, nil
}

func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
