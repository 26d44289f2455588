package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
)

// Design §4: every setting, and a second call that changes nothing.
func TestTopicsAsDesigned(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.cfg.Partitions = 3
		cl := b.client()
		var ids []map[string][16]byte
		for range 2 {
			warnings, err := kafka.EnsureTopics(b.t.Context(), cl, b.cfg, []string{"users"})
			if err != nil || len(warnings) > 0 {
				b.t.Fatalf("%q, %v", warnings, err)
			}
			found, err := kafka.TopicIDs(b.t.Context(), cl, "harvest.users", "harvest._checkpoints", "harvest.absent")
			if err != nil || len(found) != 2 {
				b.t.Fatalf("topics %v, %v", found, err)
			}
			ids = append(ids, found)
		}
		if fmt.Sprint(ids[0]) != fmt.Sprint(ids[1]) {
			b.t.Error("the second call made other topics")
		}
		settings, err := kafka.TopicSettings(b.t.Context(), cl, "harvest.users", "harvest._checkpoints")
		if err != nil {
			b.t.Fatal(err)
		}
		for _, c := range []struct{ topic, name, want string }{
			{"harvest.users", "cleanup.policy", "compact"},
			{"harvest.users", "min.compaction.lag.ms", "2592000000"},
			{"harvest.users", "delete.retention.ms", "604800000"},
			{"harvest.users", "message.timestamp.type", "LogAppendTime"},
			{"harvest.users", "unclean.leader.election.enable", "false"},
			{"harvest._checkpoints", "cleanup.policy", "compact"},
			{"harvest._checkpoints", "min.compaction.lag.ms", "0"},
			{"harvest._checkpoints", "segment.bytes", "16777216"},
			{"harvest._checkpoints", "segment.ms", "3600000"},
		} {
			if got := settings[c.topic][c.name]; got != c.want {
				b.t.Errorf("%s: %s=%s, want %s", c.topic, c.name, got, c.want)
			}
		}
		ends, err := kafka.Ends(b.t.Context(), cl, "harvest.users", "harvest._checkpoints")
		if err != nil || len(ends["harvest.users"]) != 3 || len(ends["harvest._checkpoints"]) != 1 {
			b.t.Errorf("partitions %v, %v", ends, err)
		}
		if differ, err := kafka.CheckTopics(b.t.Context(), cl, b.cfg, []string{"users"}); err != nil || len(differ) > 0 {
			b.t.Errorf("CheckTopics: %q, %v", differ, err)
		}
	})
}

func TestHistoryIsTheCompactionLag(t *testing.T) {
	for history, want := range map[string]string{"0": "0", "all": "9223372036854775807", "1h30m": "5400000"} {
		bubble(t, history, func(b *bus) {
			if err := b.cfg.History.UnmarshalText([]byte(history)); err != nil {
				b.t.Fatal(err)
			}
			b.topics("users")
			settings, err := kafka.TopicSettings(b.t.Context(), b.client(), "harvest.users")
			if err != nil {
				b.t.Fatal(err)
			}
			if got := settings["harvest.users"]["min.compaction.lag.ms"]; got != want {
				b.t.Errorf("min.compaction.lag.ms=%s, want %s", got, want)
			}
		})
	}
}

// K27: a topic that forgets is refused, not altered; all of them are named.
func TestOtherPoliciesAreRefused(t *testing.T) {
	for _, policy := range []string{"delete", "compact,delete"} {
		bubble(t, policy, func(b *bus) {
			adm := kadm.NewClient(b.client())
			for _, topic := range []string{"harvest.users", "harvest.tasks"} {
				if _, err := adm.CreateTopic(b.t.Context(), 1, 1, map[string]*string{"cleanup.policy": &policy}, topic); err != nil {
					b.t.Fatal(err)
				}
			}
			_, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users", "tasks", "roles"})
			refused, ok := errors.AsType[*kafka.PolicyError](err)
			if !ok || refused.Topic != "harvest.users" || refused.Policy != policy {
				b.t.Errorf("error is %v", err)
			}
			if !strings.Contains(fmt.Sprint(err), "harvest.tasks") {
				b.t.Errorf("the second topic is not named: %v", err)
			}
			differ, err := kafka.CheckTopics(b.t.Context(), b.client(), b.cfg, []string{"users", "rest"})
			if refused, ok := errors.AsType[*kafka.PolicyError](err); !ok || refused.Topic != "harvest.users" || !slices.Contains(differ, "1 do not exist yet, a start makes them: harvest.rest") {
				b.t.Errorf("CheckTopics: %q, %v", differ, err)
			}
		})
	}
}

// refuse makes the broker refuse topics with one of the settings, naming it in the answer or not.
func refuse(b *bus, code *kerr.Error, named bool, settings ...string) {
	b.cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		ask := req.(*kmsg.CreateTopicsRequest)
		for _, c := range ask.Topics[0].Configs {
			if !slices.Contains(settings, c.Name) {
				continue
			}
			resp := ask.ResponseKind().(*kmsg.CreateTopicsResponse)
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode = ask.Topics[0].Topic, code.Code
			if named {
				topic.ErrorMessage = new("configuration " + c.Name + " is not supported")
			}
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		}
		return nil, nil, false
	})
}

// K23: a setting the broker does not take is left out and said.
func TestRefusedSettingsAreLeftOut(t *testing.T) {
	bubble(t, "named", func(b *bus) {
		refuse(b, kerr.InvalidConfig, true, "min.compaction.lag.ms", "unclean.leader.election.enable")
		warnings, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users"})
		if err != nil || len(warnings) != 4 {
			b.t.Fatalf("%q, %v", warnings, err)
		}
		settings, err := kafka.TopicSettings(b.t.Context(), b.client(), "harvest.users")
		if err != nil || settings["harvest.users"]["delete.retention.ms"] != "604800000" {
			b.t.Errorf("the settings nobody refused are gone too: %v", err)
		}
	})
	bubble(t, "not named", func(b *bus) {
		refuse(b, kerr.PolicyViolation, false, "message.timestamp.type")
		if _, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users"}); err != nil {
			b.t.Fatal(err)
		}
	})
	bubble(t, "the policy itself", func(b *bus) {
		refuse(b, kerr.InvalidConfig, true, "cleanup.policy")
		if _, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users"}); !errors.Is(err, kerr.InvalidConfig) {
			b.t.Fatalf("error is %v", err)
		}
	})
	bubble(t, "no right to create", func(b *bus) {
		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		_, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users"})
		if !errors.Is(err, kerr.TopicAuthorizationFailed) || !strings.Contains(err.Error(), "harvest.") {
			b.t.Fatalf("error is %v", err)
		}
	})
}

// Two instances that start at once: the one that comes second takes the other's topics, once it sees them.
func TestTopicsMadeMeanwhile(t *testing.T) {
	bubble(t, "", func(b *bus) {
		other, late := b.client(), false
		b.cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			ask := req.(*kmsg.CreateTopicsRequest)
			if ask.ValidateOnly || late {
				return nil, nil, false
			}
			late = true
			resp := ask.ResponseKind().(*kmsg.CreateTopicsResponse)
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode = ask.Topics[0].Topic, kerr.TopicAlreadyExists.Code
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Second)
			if _, err := kafka.EnsureTopics(b.t.Context(), other, b.cfg, []string{"users"}); err != nil {
				b.t.Error(err)
			}
		})
		if _, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, []string{"users"}); err != nil {
			b.t.Error(err)
		}
		wg.Wait()
	})
}

func TestTransactionVersion(t *testing.T) {
	bubble(t, "2", func(b *bus) {
		if warning, err := kafka.CheckTransactions(b.t.Context(), b.client()); warning != "" || err != nil {
			b.t.Errorf("%q, %v", warning, err)
		}
	})
	bubble(t, "0", func(b *bus) {
		b.cluster.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
			for _, key := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata} {
				k := kmsg.NewApiVersionsResponseApiKey()
				k.ApiKey, k.MaxVersion = int16(key), 3
				resp.ApiKeys = append(resp.ApiKeys, k)
			}
			return resp, nil, true
		})
		if warning, err := kafka.CheckTransactions(b.t.Context(), b.client()); !strings.Contains(warning, "transaction.version is 0") || err != nil {
			b.t.Errorf("%q, %v", warning, err)
		}
	})
}

func TestOffsetsOfAnAbsentTopic(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.topics("users")
		if ends, err := kafka.Ends(b.t.Context(), b.client(), "harvest.users", "harvest.absent"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			b.t.Errorf("%v, %v", ends, err)
		}
	})
}
