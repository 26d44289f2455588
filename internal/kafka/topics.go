package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// PolicyError is a topic whose cleanup.policy is not exactly compact. It would forget what only it remembers (P3), so
// `run` refuses it: exit code 78.
type PolicyError struct{ Topic, Policy string }

func (e *PolicyError) Error() string {
	return fmt.Sprintf("topic %s: cleanup.policy is %q and must be compact, or deletes and the index are lost; mend it with "+
		"kafka-configs --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact", e.Topic, e.Policy, e.Topic)
}

// setting is one of a new topic's.
type setting struct{ name, value string }

// plan is a topic as design §4 wants it. The first setting, cleanup.policy, is the one that is never left out.
type plan struct {
	name       string
	partitions int32
	replicas   int16
	settings   []setting
}

// topicsReady bounds the wait until every broker knows the new topics.
const topicsReady = 30 * time.Second

func (c Config) plan(stream string) plan {
	return plan{c.Topic(stream), c.Partitions, c.replicas(), []setting{
		{"cleanup.policy", "compact"},
		{"min.compaction.lag.ms", strconv.FormatInt(c.History.Millis(), 10)},
		{"delete.retention.ms", strconv.FormatInt((7 * 24 * time.Hour).Milliseconds(), 10)},
		{"message.timestamp.type", "LogAppendTime"},
		{"unclean.leader.election.enable", "false"},
	}}
}

func (c Config) checkpointPlan() plan {
	return plan{c.CheckpointTopic(), 1, c.replicas(), []setting{
		{"cleanup.policy", "compact"},
		{"min.compaction.lag.ms", "0"},
		{"segment.bytes", strconv.Itoa(16 << 20)},
		{"segment.ms", strconv.FormatInt(time.Hour.Milliseconds(), 10)},
		{"message.timestamp.type", "LogAppendTime"},
		{"unclean.leader.election.enable", "false"},
	}}
}

func (c Config) plans(streams []string) []plan {
	plans := []plan{c.checkpointPlan()}
	for _, s := range streams {
		plans = append(plans, c.plan(s))
	}
	return plans
}

// replicas is -1, the broker's default, where nothing is configured.
func (c Config) replicas() int16 {
	if c.ReplicationFactor == 0 {
		return -1
	}
	return c.ReplicationFactor
}

// EnsureTopics makes the streams' topics and the checkpoint topic where they are absent and returns when every broker
// asked knows them. A topic that exists is never altered. Settings the broker refuses are left out; the warnings name
// them. A topic, old or new, whose cleanup.policy is not exactly compact is a *PolicyError.
func EnsureTopics(ctx context.Context, cl *kgo.Client, c Config, streams []string) (warnings []string, err error) {
	adm, plans := kadm.NewClient(cl), c.plans(streams)
	ids, err := TopicIDs(ctx, cl, names(plans)...)
	if err != nil {
		return nil, err
	}
	made := false
	for _, p := range plans {
		if _, exists := ids[p.name]; exists {
			continue
		}
		left, err := p.create(ctx, adm)
		if err != nil {
			return warnings, fmt.Errorf("creating topic %s: %w", p.name, err)
		}
		for _, s := range left {
			warnings = append(warnings, fmt.Sprintf("topic %s: the broker does not take %s=%s, it was left out", p.name, s.name, s.value))
		}
		made = true
	}
	if made {
		if err := awaitTopics(ctx, cl, names(plans)); err != nil {
			return warnings, err
		}
	}
	settings, err := TopicSettings(ctx, cl, names(plans)...)
	if err != nil {
		return warnings, err
	}
	var errs []error
	for _, p := range plans {
		if policy := settings[p.name]["cleanup.policy"]; policy != "compact" {
			errs = append(errs, &PolicyError{p.name, policy})
		}
	}
	return warnings, errors.Join(errs...)
}

// CheckTopics compares what there is with what EnsureTopics would make and says each difference in a sentence. It
// changes nothing.
func CheckTopics(ctx context.Context, cl *kgo.Client, c Config, streams []string) ([]string, error) {
	plans := c.plans(streams)
	ids, err := TopicIDs(ctx, cl, names(plans)...)
	if err != nil {
		return nil, err
	}
	var differ []string
	plans = slices.DeleteFunc(plans, func(p plan) bool {
		_, exists := ids[p.name]
		if !exists {
			differ = append(differ, fmt.Sprintf("topic %s does not exist yet", p.name))
		}
		return !exists
	})
	settings, err := TopicSettings(ctx, cl, names(plans)...)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		for _, s := range p.settings {
			if have := settings[p.name][s.name]; have != s.value {
				differ = append(differ, fmt.Sprintf("topic %s: %s is %q, a new topic would have %q", p.name, s.name, have, s.value))
			}
		}
	}
	return differ, nil
}

// create makes one topic. A dry run finds out what the broker refuses and how many replicas it gives.
func (p *plan) create(ctx context.Context, adm *kadm.Client) (left []setting, err error) {
	resp, refused, err := p.send(ctx, adm.ValidateCreateTopics)
	if err != nil {
		return nil, err
	}
	left = refused
	if resp.ReplicationFactor >= 3 {
		p.settings = append(p.settings, setting{"min.insync.replicas", "2"})
	}
	_, refused, err = p.send(ctx, adm.CreateTopics)
	if errors.Is(err, kerr.TopicAlreadyExists) { // another instance was quicker
		err = nil
	}
	return append(left, refused...), err
}

type createTopics func(context.Context, int32, int16, map[string]*string, ...string) (kadm.CreateTopicResponses, error)

// send asks for the topic, each time with one setting less, until the broker finds nothing to refuse. Some managed
// clusters answer a policy violation for settings they keep to themselves.
func (p *plan) send(ctx context.Context, request createTopics) (resp kadm.CreateTopicResponse, left []setting, err error) {
	for {
		values := map[string]*string{}
		for _, s := range p.settings {
			values[s.name] = &s.value
		}
		all, err := request(ctx, p.partitions, p.replicas, values, p.name)
		if err != nil {
			return resp, left, err
		}
		resp = all[p.name]
		refused := errors.Is(resp.Err, kerr.InvalidConfig) || errors.Is(resp.Err, kerr.PolicyViolation)
		if !refused || len(p.settings) == 1 {
			return resp, left, withMessage(resp.Err, resp.ErrMessage)
		}
		at := len(p.settings) - 1
		if named := slices.IndexFunc(p.settings, func(s setting) bool { return strings.Contains(resp.ErrMessage, s.name) }); named > 0 {
			at = named
		}
		left = append(left, p.settings[at])
		p.settings = slices.Delete(p.settings, at, at+1)
	}
}

func withMessage(err error, message string) error {
	if err == nil || message == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, message)
}

// awaitTopics returns when a metadata answer has a leader for every partition of all topics.
func awaitTopics(ctx context.Context, cl *kgo.Client, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, topicsReady)
	defer cancel()
	for {
		all, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
		if err != nil {
			return fmt.Errorf("waiting for the new topics: %w", err)
		}
		missing := slices.IndexFunc(topics, func(t string) bool { return !led(all[t]) })
		if missing < 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the new topic %s: %w", topics[missing], ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func led(t kadm.TopicDetail) bool {
	for _, p := range t.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return t.Err == nil && len(t.Partitions) > 0
}

func names(plans []plan) []string {
	var all []string
	for _, p := range plans {
		all = append(all, p.name)
	}
	return all
}

// TopicIDs are Kafka's ids of those of the topics that exist. A topic that was deleted and made again has another id.
func TopicIDs(ctx context.Context, cl *kgo.Client, topics ...string) (map[string][16]byte, error) {
	details, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	ids := map[string][16]byte{}
	for _, t := range topics {
		switch d := details[t]; {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("asking for topic %s: %w", t, d.Err)
		case d.Topic != "":
			ids[t] = d.ID
		}
	}
	return ids, nil
}

// TopicIDText is a topic's id as Kafka's own tools print it: the text of Checkpoint.TopicID.
func TopicIDText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// TopicSettings are the settings in force, defaults included, by topic and name. Needs DescribeConfigs on the topics.
func TopicSettings(ctx context.Context, cl *kgo.Client, topics ...string) (map[string]map[string]string, error) {
	all, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics' settings: %w", err)
	}
	settings := map[string]map[string]string{}
	for _, t := range all {
		if t.Err != nil {
			return nil, fmt.Errorf("asking for topic %s's settings: %w", t.Name, withMessage(t.Err, t.ErrMessage))
		}
		settings[t.Name] = map[string]string{}
		for _, s := range t.Configs {
			settings[t.Name][s.Key] = s.MaybeValue()
		}
	}
	return settings, nil
}

// Offsets are offsets by topic and partition.
type Offsets map[string]map[int32]int64

// Ends are the high watermarks of all partitions: what a reader has to pass (P3). A topic that does not exist is an
// error.
func Ends(ctx context.Context, cl *kgo.Client, topics ...string) (Offsets, error) {
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	return offsets("ends", listed, err)
}

// Starts are the first offsets there still are. A topic that does not exist is an error.
func Starts(ctx context.Context, cl *kgo.Client, topics ...string) (Offsets, error) {
	listed, err := kadm.NewClient(cl).ListStartOffsets(ctx, topics...)
	return offsets("starts", listed, err)
}

func offsets(what string, listed kadm.ListedOffsets, err error) (Offsets, error) {
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the logs' %s: %w", what, err)
	}
	all := Offsets{}
	listed.Each(func(o kadm.ListedOffset) {
		if all[o.Topic] == nil {
			all[o.Topic] = map[int32]int64{}
		}
		all[o.Topic][o.Partition] = o.Offset
	})
	return all, nil
}

// CheckTransactions returns a warning where the cluster's transactions are older than transaction.version 2 (Kafka
// 4.0), on which exactly once is proved (design §9), and "" where all is well.
func CheckTransactions(ctx context.Context, cl *kgo.Client) (warning string, err error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = clientID, "1"
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return "", fmt.Errorf("asking for the brokers' features: %w", err)
	}
	version := int16(0)
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			version = f.MaxVersionLevel
		}
	}
	if version >= 2 {
		return "", nil
	}
	return fmt.Sprintf("the brokers' transaction.version is %d: below 2 (Kafka 4.0) a late end of a transaction is caught by "+
		"re-reading, index and sweep, not by the broker", version), nil
}
