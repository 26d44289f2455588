package schema

import "sync/atomic"

// Kind is the type of a field, without its nullability.
type Kind uint8

// The kinds of fields. Money, rates, hours, quantities and percentages are decimals of 38 digits, nine of them after the point.
const (
	Long      Kind = iota + 1
	Bool           // one byte
	String         // UTF-8
	Decimal        // bytes, decimal(38,9)
	Date           // days since 1970-01-01
	Timestamp      // UTC, milliseconds since 1970-01-01
	Strings        // array of strings
	Longs          // array of longs
	Items          // array of records
)

var kindNames = [...]string{Long: "long", Bool: "boolean", String: "string", Decimal: "decimal(38,9)", Date: "date",
	Timestamp: "timestamp-millis", Strings: "array of string", Longs: "array of long", Items: "array of records"}

// String returns the kind's name for people.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown kind"
}

// Names of fields that every stream has.
const (
	FieldID       = "id"
	FieldAccount  = "account_id"
	FieldExtra    = "extra"
	FieldSeq      = "_seq"
	FieldObserved = "_observed_at"
)

// Field is a field of a record.
type Field struct {
	Name     string
	Kind     Kind
	From     []string // path of its value in Harvest's JSON object: client, id
	Doc      string   // meaning and unit
	Compare  bool     // whether another value is a change (design §2, content hash)
	Timer    bool     // grows while a timer runs (P8)
	Required bool     // no union with null: id, account_id
	Items    *Schema  // Kind Items: the members' record

	null int    // index of null in the union; -1 none
	name uint64 // hash of the name, for the content hash
}

// Schema is a record type: a stream's, or that of an array's members. It is immutable.
type Schema struct {
	Name   string // without namespace: "TimeEntry"
	Doc    string
	Fields []Field

	text string
	read atomic.Pointer[readPlan] // how ReadRecord walks it for a stream
}

// Text returns the schema as it is registered: compact JSON with docs and attributes.
func (s *Schema) Text() string { return s.text }

// Field returns the index of the field of that name, -1 where there is none.
func (s *Schema) Field(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}
