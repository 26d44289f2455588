// Package sinker keeps a PostgreSQL schema equal to the topics: rules S1 to S9 of docs/DESIGN.md.
//
// In: records of the streams' topics (Avro in Confluent's wire format, tombstones) and the checkpoint topic. Out: one table
// per stream, child tables for line items and recipients, and the housekeeping tables _offsets, _streams, _deleted, _schemas,
// _dead_letters and _target.
//
// A record's way: consume.go fetches it and hands it to its partition's worker (partition.go); batch.go folds a batch to what
// counts of each key; write.go moves the offset first (offsets.go), asks which keys are there, and sends Avro bytes that
// rows.go turned into COPY bytes; everything in one transaction. Tables come from the schemas (tables.go, widen.go); what
// cannot be applied is set aside (deadletters.go).
//
// Invariants: a transaction applies exactly the records of [a, b) and moves the offset from a to b (S1). The state of a key is
// the upsert of the highest seq and the tombstone of the highest seq; so any part of a topic may be applied again at any time
// (S3). Memory is bounded whatever waits on the topics (S7).
package sinker
