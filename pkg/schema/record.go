package schema

import "math"

// NoDay is Record.Day where there is no date.
const NoDay = math.MinInt32

// Record is one object: of an answer (Encoder.Decode) or read back from a topic (Schema.ReadRecord).
type Record struct {
	ID, Account   int64
	Parent        int64  // children: the parent's id
	Owner         int64  // value of Stream.Owner; 0 none
	Day           int32  // value of Stream.Dates, days since 1970-01-01; NoDay where it is null or the stream has none
	Updated       int64  // updated_at, unix milliseconds; 0 absent
	Running       bool   // is_running
	Hash          uint64 // content hash; comparable within this process only
	Rest          uint64 // Hash without the fields that grow while a timer runs (P8)
	Seq, Observed int64  // _seq, _observed_at (unix milliseconds); read back only
	// Body is the Avro value without header, _seq and _observed_at. Encoder: valid until its Reset. ReadRecord: part of the
	// value; nil where the writer did not put those two last.
	Body []byte

	Text Text // Encoder: what it was read from; none where something of it did not fit its field or was unknown

	Bad     int // values that went to extra because they did not fit their field (P14)
	Unknown int // members the schema has not, which went to extra
	Rounded int // decimals with more than nine places
}
