// Package kafka is everything both programs say to Kafka and to the schema registry beyond plain producing and
// consuming: the client's options from the configuration, topics as design §4 wants them, the remote registry, reading
// a log to a position (P3), one incarnation of the only writer (P1, P2), and the checkpoints the producer writes and
// the sinker reads (S9).
//
// It knows topics, offsets and bytes, not what a stream is.
package kafka
