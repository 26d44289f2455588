package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var errStub = errors.New("not built yet")

// PolicyError is a topic whose cleanup.policy is not exactly compact: the topic is the memory (P3). Exit 78.
type PolicyError struct{ Topic, Policy string }

func (e *PolicyError) Error() string { return e.Topic + e.Policy }

// EnsureTopics …
func EnsureTopics(ctx context.Context, cl *kgo.Client, c Config, streams []string) (warnings []string, err error) {
	return nil, errStub
}

// CheckTransactions returns a warning where the cluster's transaction.version is below 2, "" where all is well.
func CheckTransactions(ctx context.Context, cl *kgo.Client) (warning string, err error) {
	return "", errStub
}

// MaxMessageBytes is each topic's max.message.bytes: TooLarge's limit, and StartWriter's limits.
func MaxMessageBytes(ctx context.Context, cl *kgo.Client, topics ...string) (map[string]int, error) {
	return nil, errStub
}

// TopicIDs are Kafka's ids of those of the topics that exist; TopicIDText is the text for Checkpoint.TopicID.
func TopicIDs(ctx context.Context, cl *kgo.Client, topics ...string) (map[string][16]byte, error) {
	return nil, errStub
}

// TopicIDText is an id as Kafka prints it.
func TopicIDText(id [16]byte) string { return "" }

// Offsets are offsets by topic and partition.
type Offsets map[string]map[int32]int64

// Ends are the high watermarks; Starts the log starts. A topic that does not exist is an error.
func Ends(ctx context.Context, cl *kgo.Client, topics ...string) (Offsets, error) {
	return nil, errStub
}
func Starts(ctx context.Context, cl *kgo.Client, topics ...string) (Offsets, error) {
	return nil, errStub
}

// Target is a partition to read: from From (FromStart: the log's start) until the position is ≥ To.
type Target struct {
	Topic     string
	Partition int32
	From, To  int64
}

// FromStart as Target.From is the log's start.
const FromStart = -2

// ReadTo …
func ReadTo(ctx context.Context, opts []kgo.Opt, targets []Target, each func(*kgo.Record) error) error {
	return errStub
}

// Registry is the remote schema registry; its methods are those of pkg/schema's interface.
type Registry struct{}

// NewRegistry …
func NewRegistry(c Config) (*Registry, error) { return nil, errStub }

// Register …
func (r *Registry) Register(ctx context.Context, subject, schema string) (int, error) {
	return 0, errStub
}

// Schema …
func (r *Registry) Schema(ctx context.Context, id int) (string, error) { return "", errStub }

// RegistryError is a refusal by the registry. Errors of pkg/schema's kinds are recognised by its methods.
type RegistryError struct {
	Status, Code   int
	Doing, Message string
}

func (e *RegistryError) Error() string      { return "" }
func (e *RegistryError) Incompatible() bool { return e.Status == 409 }
func (e *RegistryError) UnknownID() bool    { return e.Code == 40403 }
func (e *RegistryError) Denied() bool       { return e.Status == 401 || e.Status == 403 }

// Writer is one incarnation (P1).
type Writer struct{}

// CommitTimeout is a transaction's deadline, after which the client is closed (P1).
const CommitTimeout = 10 * time.Second

// UnknownOutcomeError: EndTransaction failed; committed or not, only a new start can tell (P2).
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string { return e.Err.Error() }
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// StartWriter …
func StartWriter(ctx context.Context, opts []kgo.Opt, txnID string, sentinel *kgo.Record) (*Writer, error) {
	return nil, errStub
}

// Commit …
func (w *Writer) Commit(ctx context.Context, recs []*kgo.Record, last func() []*kgo.Record) error {
	return errStub
}

// Close …
func (w *Writer) Close() {}

// Fenced …
func Fenced(err error) bool { return false }

// TooLarge reports whether a record alone is over max (max.message.bytes), before compression.
func TooLarge(rec *kgo.Record, max int) bool { return false }
