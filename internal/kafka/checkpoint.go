package kafka

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// checkpointVersion is what this program writes. A higher one on the topic is another program's: it is not guessed at.
const checkpointVersion = 1

// Checkpoint is what the producer knows of one account's stream when it starts again (design §2), a record on the
// checkpoint topic in the same transaction as the records it speaks of (P2). The sinker reads from it up to which moment
// a table is complete (S9).
type Checkpoint struct {
	V       int    `json:"v"`
	Account int64  `json:"account"`
	Stream  string `json:"stream"`
	// Cursor is the moment up to which every change is on the topic, once there is no Backfill; the next poll asks from here
	// (P4). Zero until a first read has begun. Streams without updated_since have one too: S9 is told by it.
	Cursor time.Time `json:"cursor,omitzero"`
	// Anchor is where the mirror begins (P10): zero for everything.
	Anchor time.Time `json:"anchor,omitzero"`
	// Backfill is a running first read, or the reading again of a stream (P10, P15); nil when there is none.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Marks are, for a child stream, the seqs of the parent's partitions up to which its lists were read (P8).
	Marks []int64 `json:"marks,omitempty"`
	// Round is the rotating pass of a child stream (P8).
	Round Round `json:"round,omitzero"`
	// Swept is when the last complete sweep of the stream began, Recent the last one of its recent days (P12).
	Swept  time.Time `json:"swept,omitzero"`
	Recent time.Time `json:"recent,omitzero"`
	// Deletes are the unexplained deletes of the last day, the oldest first: the brake's memory (P7).
	Deletes []Deletes `json:"deletes,omitempty"`
	// Restores are rows that sweeps met older than they were published, the first of them (P5).
	Restores []Restore `json:"restores,omitempty"`
	// What a person wants to know: why the stream is not read now (P11), how many missing rows a stopped sweep waits to be
	// answered for (P7), how many parents' lists are to be read (P8).
	Blocked string `json:"blocked,omitempty"`
	Stopped int    `json:"stopped,omitempty"`
	Pending int    `json:"pending,omitempty"`
	// TopicID is the id of the topic the offsets below belong to (P15).
	TopicID string `json:"topic_id"`
	// Partitions: their number is frozen (P13).
	Partitions []PartitionState `json:"partitions"`
	At         time.Time        `json:"at"`
}

// PartitionState is where the writer stands in one partition.
type PartitionState struct {
	Seq  int64 `json:"seq"`  // of the last own record; from 1, without a gap
	Next int64 `json:"next"` // the offset after the last own record
}

// Deletes are how many rows were deleted within an hour, and when the last of them was.
type Deletes struct {
	At   time.Time `json:"at"`
	Rows int       `json:"rows"`
}

// Restore is a row that seems to have gone back to an older version, and when that was first seen: still so a lookback later, it has.
type Restore struct {
	ID int64     `json:"id"`
	At time.Time `json:"at"`
}

// Backfill is how far a first read has come.
type Backfill struct {
	Floor time.Time `json:"floor"`          // the server's clock when it began, at most (P4); zero: it has not yet
	Page  int       `json:"page,omitempty"` // pages done, of a list by page numbers
	Link  string    `json:"link,omitempty"` // the next page, of a list by cursor
}

// Begun says whether a first read has had an answer.
func (b *Backfill) Begun() bool { return b != nil && !b.Floor.IsZero() }

// Round is a rotating pass over all parents, in order of their ids.
type Round struct {
	Began time.Time `json:"began,omitzero"`
	Last  int64     `json:"last,omitempty"` // parents up to this id are done; 0 with Done
	Done  bool      `json:"done,omitempty"`
	// Missing are the children the pass has not met so far: its end decides about all of them together (P7).
	Missing []int64 `json:"missing,omitempty"`
}

// Marshal returns the record's value.
func (c *Checkpoint) Marshal() []byte {
	c.V = checkpointVersion
	b, err := json.Marshal(c)
	if err != nil {
		panic("kafka: a checkpoint holds nothing that JSON cannot: " + err.Error())
	}
	return b
}

// ParseCheckpoint reads a checkpoint record's value. A version this program does not know is an error, not a guess.
func ParseCheckpoint(value []byte) (*Checkpoint, error) {
	var c Checkpoint
	if err := parseVersioned(value, &c, &c.V); err != nil {
		return nil, fmt.Errorf("reading a checkpoint: %w", err)
	}
	if c.Account <= 0 || c.Stream == "" || len(c.Partitions) == 0 {
		return nil, fmt.Errorf("reading a checkpoint: account, stream or partitions are missing in %.200q", value)
	}
	for i, p := range c.Partitions {
		if p.Seq < 0 || p.Next < 0 {
			return nil, fmt.Errorf("reading a checkpoint: partition %d has a negative number in %.200q", i, value)
		}
	}
	return &c, nil
}

// Heartbeat is the writer's sign of life (P1): its first one after StartWriter is the sentinel, a sign-off its last.
type Heartbeat struct {
	V         int       `json:"v"`
	Account   int64     `json:"account"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	PIDSpace  string    `json:"pid_space,omitempty"` // what PID counts in: two containers both have a process 1
	Nonce     string    `json:"nonce"`               // one per incarnation
	Version   string    `json:"version"`
	Command   string    `json:"command"` // run, sync, sweep, reset
	Started   time.Time `json:"started"`
	At        time.Time `json:"at"`
	SignedOff bool      `json:"signed_off,omitempty"`
}

// Marshal returns the record's value.
func (h *Heartbeat) Marshal() []byte {
	h.V = checkpointVersion
	b, err := json.Marshal(h)
	if err != nil {
		panic("kafka: a heartbeat holds nothing that JSON cannot: " + err.Error())
	}
	return b
}

// ParseHeartbeat reads a heartbeat record's value.
func ParseHeartbeat(value []byte) (*Heartbeat, error) {
	var h Heartbeat
	if err := parseVersioned(value, &h, &h.V); err != nil {
		return nil, fmt.Errorf("reading a heartbeat: %w", err)
	}
	return &h, nil
}

func parseVersioned(value []byte, into any, version *int) error {
	if err := json.Unmarshal(value, into); err != nil {
		return err
	}
	if *version < 1 || *version > checkpointVersion {
		return fmt.Errorf("version %d is not known to this program (it knows up to %d): run a newer one", *version, checkpointVersion)
	}
	return nil
}

// writerKey stands where a stream's name stands in the key of a heartbeat.
const writerKey = "_writer"

// CheckpointKey is the key of a stream's checkpoint.
func CheckpointKey(account int64, stream string) []byte {
	return []byte(strconv.FormatInt(account, 10) + "/" + stream)
}

// HeartbeatKey is the key of an account's heartbeats.
func HeartbeatKey(account int64) []byte { return CheckpointKey(account, writerKey) }

// ParseCheckpointKey returns what a key of the checkpoint topic is about; writer marks a heartbeat.
func ParseCheckpointKey(key []byte) (account int64, stream string, writer bool, err error) {
	a, stream, ok := strings.Cut(string(key), "/")
	account, err = strconv.ParseInt(a, 10, 64)
	if !ok || err != nil || stream == "" || account <= 0 || string(CheckpointKey(account, stream)) != string(key) {
		return 0, "", false, fmt.Errorf("key %.80q of the checkpoint topic is not <account>/<stream>", key)
	}
	return account, stream, stream == writerKey, nil
}
