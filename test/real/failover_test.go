package real_test

import (
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// How long a change waits after a program was killed and started again: the producer sees that its predecessor's process is gone; the
// sinker's group waits for the end of the dead member's session.
func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 13})
	w.pass()
	p, s := w.start("producer", nil), w.start("sinker", nil)
	w.arrives(3*time.Minute, p, s)
	p.kill()
	p = w.start("producer", nil)
	producer := w.arrives(3*time.Minute, p, s)
	s.kill()
	s = w.start("sinker", nil)
	sinker := w.arrives(3*time.Minute, p, s)
	s.stop()
	s = w.start("sinker", nil)
	clean := w.arrives(3*time.Minute, p, s)
	p.stop()
	s.stop()
	figure(t, "a change arrives %s after the producer's kill, %s after the sinker's, %s after its clean restart", producer, sinker, clean)
}
