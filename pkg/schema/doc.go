// Package schema says what a stream is: which objects of Harvest it holds and how they are read, which fields they have, how
// one of them becomes an Avro record on a topic, and when two of them are the same.
//
// In: the files of package schemas, the catalogue's lines, JSON objects of Harvest's answers (Encoder), Avro records of topics
// together with their writers' schemas (ReadRecord, Cursor). Out: Streams, Records (Avro bytes, content hash, what went to
// extra), keys and values in Confluent's wire format, JSON for people.
//
// Invariants: the package is pure (no network, no clock, no SQL); no number passes through a float; no value is lost (P14: what
// does not fit its field is kept in extra and counted); the content hash of a record is the same whether it was computed while
// encoding it or from its published bytes, whatever compatible schema wrote them; every count and size read from bytes is
// bounded by what is left of them. hamba/avro is imported by avro.go alone, which only parses and compares schemas with it.
//
// Neighbours: the producer encodes answers and rebuilds its index with it, the sinker derives tables and rows from it, the
// simulator its data; package kafka has the remote form of Registry.
package schema
