package kafka_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A broker that is away is said, now and then and not at every try.
func TestAwayIsNotSaidAtEveryTry(t *testing.T) {
	t.Parallel()
	bubble(t, "away", func(b *bus) {
		var log bytes.Buffer
		b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		cl := b.client()
		b.cluster.Close()
		for range 50 { // 100 s
			if cl.Ping(b.t.Context()) == nil {
				b.t.Fatal("the broker answers")
			}
			time.Sleep(2 * time.Second)
		}
		if n := strings.Count(log.String(), "unable to open connection"); n < 3 || n > 5 {
			b.t.Errorf("said %d times:\n%s", n, log.String())
		}
	})
}
