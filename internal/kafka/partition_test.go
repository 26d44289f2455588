package kafka_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
)

// P13: keys lie where every other client of Kafka looks for them.
func TestPartitionIsJavas(t *testing.T) {
	t.Parallel()
	for key, hash := range map[string]int32{ // from the tests of Kafka's Java client
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		const many = 1 << 30
		if got, want := kafka.Partition([]byte(key), many), (hash&0x7fffffff)%many; got != want {
			t.Errorf("%q: partition %d, want %d", key, got, want)
		}
	}
}

func FuzzPartition(f *testing.F) {
	f.Add([]byte{}, uint8(3))
	f.Add([]byte("abcde"), uint8(7))
	theirs := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	f.Fuzz(func(t *testing.T, key []byte, n uint8) {
		if key == nil || n == 0 {
			return // without a key the client chooses at random
		}
		if got, want := int(kafka.Partition(key, int(n))), theirs.Partition(&kgo.Record{Key: key}, int(n)); got != want {
			t.Errorf("partition %d of %d, kgo says %d", got, n, want)
		}
	})
}
