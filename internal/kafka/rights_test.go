package kafka_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"harveststream/internal/kafka"
)

// What a login lacks is named, resource and operation; what it has is not.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		may := func(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
			return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true}
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.EnableACLs(), kfake.EnableSASL(),
			kfake.SeedTopics(1, "harvest.users", "harvest.roles"), kfake.User("PLAIN", "some", "secret",
				may(kmsg.ACLResourceTypeTopic, "harvest.", kmsg.ACLOperationRead), may(kmsg.ACLResourceTypeTopic, "harvest.users", kmsg.ACLOperationWrite),
				may(kmsg.ACLResourceTypeTransactionalId, "harvest.1", kmsg.ACLOperationWrite), may(kmsg.ACLResourceTypeGroup, "own-", kmsg.ACLOperationRead)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		cl, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(network.DialContext), kgo.SASL(plain.Auth{User: "some", Pass: "secret"}.AsMechanism()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		needs := kafka.Needs{Topics: []string{"harvest.users", "harvest.roles", "harvest.absent"}, Operations: []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationWrite}}
		for _, c := range []struct {
			transaction, group string
			want               []string
		}{
			{"harvest.1", "own-x", []string{"WRITE on topic harvest.roles"}},
			{"other.1", "other", []string{"WRITE on topic harvest.roles", "WRITE on transactional id other.1", "READ on group other"}},
		} {
			needs.Transaction, needs.Group = c.transaction, c.group
			missing, err := kafka.Missing(t.Context(), cl, needs)
			if err != nil || !slices.Equal(missing, c.want) {
				t.Errorf("%q, %v; want %q", missing, err, c.want)
			}
		}
	})
}
