// Package producer reads a Harvest account and publishes every change of it to Kafka, once (design §5, P1–P15).
//
// In: Harvest's answers (pkg/harvest), records made of them (pkg/schema), what the topics hold (internal/kafka). Out: one record per
// observed change on the stream's topic, and a checkpoint in the same transaction. It keeps nothing else: the index, its memory of what
// was published, is read back from the topics at every start.
//
// Read in this order: run.go (what a program is, its incarnations), startup.go and rebuild.go (what must be known before anything is
// asked), engine.go and task.go (one goroutine, coroutines that ask), schedule.go and oneshot.go (what runs when), poll.go, observe.go,
// decide.go, publish.go (one answer's way to its topic), then sweep.go, brake.go, probe.go, children.go (what polls cannot show).
package producer
