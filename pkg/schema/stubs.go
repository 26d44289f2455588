package schema

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errStub = errors.New("not written yet")

// ParseSchema parses the text of one of our schemas, or of a writer's from a registry.
func ParseSchema(text string) (*Schema, error) { return &Schema{text: text}, nil }

// Compatible returns nil where each of two schema texts can read what the other wrote.
func Compatible(reader, writer string) error { return errStub }

// Omit is what HARVEST_OMIT leaves out.
type Omit struct{}

// ParseOmit parses HARVEST_OMIT.
func ParseOmit(list string) (Omit, error) { return Omit{}, nil }

// AnswerError refuses an answer (P11).
type AnswerError struct {
	Stream string
	ID     int64 // of the object, 0 unknown
	Reason string
	Err    error // of the JSON decoder; nil otherwise
}

func (e *AnswerError) Error() string { return e.Reason }
func (e *AnswerError) Unwrap() error { return e.Err }

// Fault is something about answers that is counted and shown.
type Fault struct {
	Field  string // column, or path of an unknown member
	Reason string // one of the Fault… constants
	Count  int
}

// Encoder turns JSON objects into records.
type Encoder struct{}

// NewEncoder returns an encoder.
func NewEncoder(st *Stream, account int64, omit Omit) *Encoder { return &Encoder{} }

// Decode reads one object.
func (e *Encoder) Decode(dec *jsontext.Decoder, parent int64, rec *Record) error { return errStub }

// Reset frees the arena.
func (e *Encoder) Reset() {}

// Faults since Reset.
func (e *Encoder) Faults() []Fault { return nil }

// AppendMeta appends _seq and _observed_at.
func AppendMeta(dst []byte, seq, observedMillis int64) []byte { return dst }

// ReadRecord reads a published value.
func (s *Schema) ReadRecord(st *Stream, value []byte, rec *Record) error { return errStub }

// Cursor reads Avro bytes, bounded.
type Cursor struct {
	b []byte
	i int
}

// NewCursor returns a cursor over a value without header.
func NewCursor(value []byte) Cursor { return Cursor{b: value} }

// Long reads a long.
func (c *Cursor) Long() (int64, error) { return 0, errStub }

// Bool reads a boolean.
func (c *Cursor) Bool() (bool, error) { return false, errStub }

// Bytes reads a string or bytes; aliases the value.
func (c *Cursor) Bytes() ([]byte, error) { return nil, errStub }

// Decimal reads a decimal(38,9): big-endian two's complement without redundant sign bytes; aliases the value.
func (c *Cursor) Decimal() ([]byte, error) { return nil, errStub }

// Date reads days since 1970-01-01, years 0001 to 9999.
func (c *Cursor) Date() (int32, error) { return 0, errStub }

// Timestamp reads unix milliseconds, years 0001 to 9999.
func (c *Cursor) Timestamp() (int64, error) { return 0, errStub }

// Null reads a field's union branch.
func (c *Cursor) Null(f *Field) (bool, error) { return false, errStub }

// Skip passes over a field, its union included.
func (c *Cursor) Skip(f *Field) error { return errStub }

// Array begins to read an array: for a := c.Array(); a.Next(); { one element }; then a.Err().
func (c *Cursor) Array() Array { return Array{} }

// Done returns an error unless every byte was read.
func (c *Cursor) Done() error { return errStub }

// Offset returns the number of bytes read.
func (c *Cursor) Offset() int { return c.i }

// Array iterates over the elements of an array.
type Array struct{}

// Next reports whether there is another element, which must be read before the next call.
func (a *Array) Next() bool { return false }

// Err returns what was wrong with the array's counts.
func (a *Array) Err() error { return nil }

// KeySchema is the schema of every topic's keys, frozen.
const KeySchema = `{"type":"record","name":"Key","namespace":"harvest.v2","fields":[{"name":"id","type":"long"},{"name":"account_id","type":"long"}]}`

// AppendKey appends a key.
func AppendKey(dst []byte, schemaID int, id, account int64) []byte { return dst }

// ParseKey parses a key.
func ParseKey(key []byte) (schemaID int, id, account int64, err error) { return 0, 0, 0, errStub }

// AppendHeader appends Confluent's header.
func AppendHeader(dst []byte, schemaID int) []byte { return dst }

// SplitHeader splits a value.
func SplitHeader(value []byte) (schemaID int, body []byte, err error) { return 0, nil, errStub }

// JSON returns a record as JSON for people.
func JSON(s *Schema, value []byte) ([]byte, error) { return nil, errStub }

// Registry is a schema registry.
type Registry interface {
	Register(ctx context.Context, subject, schema string) (id int, err error)
	Schema(ctx context.Context, id int) (text string, err error)
}

// ErrUnknownID says that a registry does not know an id.
var ErrUnknownID = errors.New("schema id is unknown to the registry")

// IncompatibleError is a registry's refusal of a schema.
type IncompatibleError struct {
	Subject string
	Reason  string
}

func (e *IncompatibleError) Error() string { return e.Subject + ": " + e.Reason }

// Local is a registry in memory.
type Local struct{}

// NewLocal returns an empty registry.
func NewLocal() *Local { return &Local{} }

// Register registers a schema.
func (l *Local) Register(ctx context.Context, subject, schema string) (int, error) { return 0, errStub }

// Schema returns a schema's text.
func (l *Local) Schema(ctx context.Context, id int) (string, error) { return "", errStub }
