package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
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

// plan is topics that are alike, as design §4 wants them. The first setting, cleanup.policy, is never left out.
type plan struct {
	topics     []string
	partitions int32
	replicas   int16
	settings   []setting
}

// topicsReady bounds the wait until every broker knows the new topics.
const topicsReady = 30 * time.Second

func (c Config) plans(streams []string) []plan {
	var topics []string
	for _, s := range streams {
		topics = append(topics, c.Topic(s))
	}
	return []plan{
		{[]string{c.CheckpointTopic()}, 1, c.replicas(), []setting{
			{"cleanup.policy", "compact"},
			{"min.compaction.lag.ms", "0"},
			{"segment.bytes", strconv.Itoa(16 << 20)},
			{"segment.ms", strconv.FormatInt(time.Hour.Milliseconds(), 10)},
			{"message.timestamp.type", "LogAppendTime"},
			{"unclean.leader.election.enable", "false"},
		}},
		{topics, c.Partitions, c.replicas(), []setting{
			{"cleanup.policy", "compact"},
			{"min.compaction.lag.ms", strconv.FormatInt(c.History.Millis(), 10)},
			{"delete.retention.ms", strconv.FormatInt((7 * 24 * time.Hour).Milliseconds(), 10)},
			{"message.timestamp.type", "LogAppendTime"},
			{"unclean.leader.election.enable", "false"},
		}},
	}
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
	topics := slices.Concat(plans[0].topics, plans[1].topics)
	ids, err := TopicIDs(ctx, cl, topics...)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		p.topics = slices.DeleteFunc(p.topics, func(t string) bool { _, exists := ids[t]; return exists })
		if len(p.topics) == 0 {
			continue
		}
		left, err := p.create(ctx, adm)
		if err != nil {
			return warnings, err
		}
		for _, s := range left {
			warnings = append(warnings, fmt.Sprintf("topics %s: the broker does not take %s=%s, it was left out", strings.Join(p.topics, ", "), s.name, s.value))
		}
		if err := awaitTopics(ctx, cl, p.topics); err != nil {
			return warnings, err
		}
	}
	settings, err := TopicSettings(ctx, cl, topics...)
	if err != nil {
		return warnings, err
	}
	return warnings, forgetful(settings, topics)
}

// forgetful names the topics whose cleanup.policy is not exactly compact.
func forgetful(settings map[string]map[string]string, topics []string) error {
	var errs []error
	for _, t := range topics {
		if policy := settings[t]["cleanup.policy"]; policy != "compact" {
			errs = append(errs, &PolicyError{t, policy})
		}
	}
	return errors.Join(errs...)
}

// CheckTopics compares what there is with what EnsureTopics would make and says each difference in a sentence; what
// EnsureTopics refuses is its error, beside them. It changes nothing.
func CheckTopics(ctx context.Context, cl *kgo.Client, c Config, streams []string) ([]string, error) {
	plans := c.plans(streams)
	ids, err := TopicIDs(ctx, cl, slices.Concat(plans[0].topics, plans[1].topics)...)
	if err != nil {
		return nil, err
	}
	there := slices.Sorted(maps.Keys(ids))
	settings, err := TopicSettings(ctx, cl, there...)
	if err != nil {
		return nil, err
	}
	var differ, absent []string
	for _, p := range plans {
		for _, t := range p.topics {
			if _, exists := ids[t]; !exists {
				absent = append(absent, t)
				continue
			}
			for _, s := range p.settings[1:] { // the first is its cleanup.policy
				if have := settings[t][s.name]; have != s.value {
					differ = append(differ, fmt.Sprintf("topic %s: %s is %q, a new topic would have %q", t, s.name, have, s.value))
				}
			}
		}
	}
	switch {
	case len(there) == 0:
		differ = append(differ, fmt.Sprintf("none of the %d exists yet, a start makes them", len(absent)))
	case len(absent) > 0:
		differ = append(differ, fmt.Sprintf("%d do not exist yet, a start makes them: %s", len(absent), strings.Join(absent, ", ")))
	}
	return differ, forgetful(settings, there)
}

// create makes the topics. A dry run finds out what the broker refuses and how many replicas it gives.
func (p *plan) create(ctx context.Context, adm *kadm.Client) (left []setting, err error) {
	replicas, left, err := p.send(ctx, adm.ValidateCreateTopics)
	if err != nil {
		return nil, err
	}
	if replicas >= 3 {
		p.settings = append(p.settings, setting{"min.insync.replicas", "2"})
	}
	_, more, err := p.send(ctx, adm.CreateTopics)
	return append(left, more...), err
}

type createTopics func(context.Context, int32, int16, map[string]*string, ...string) (kadm.CreateTopicResponses, error)

// send asks for the topics, each time with one setting less, until the broker finds none to refuse. Some managed
// clusters answer a policy violation for settings they keep to themselves. A topic that another instance was quicker
// to make is as good.
func (p *plan) send(ctx context.Context, request createTopics) (replicas int16, left []setting, err error) {
	for {
		values := map[string]*string{}
		for _, s := range p.settings {
			values[s.name] = &s.value
		}
		all, err := request(ctx, p.partitions, p.replicas, values, p.topics...)
		if err != nil {
			return 0, left, fmt.Errorf("creating topics %s: %w", strings.Join(p.topics, ", "), err)
		}
		var refusal *kadm.CreateTopicResponse
		for _, resp := range all.Sorted() {
			refused := errors.Is(resp.Err, kerr.InvalidConfig) || errors.Is(resp.Err, kerr.PolicyViolation)
			switch {
			case refused && len(p.settings) > 1:
				refusal = &resp
			case resp.Err != nil && !errors.Is(resp.Err, kerr.TopicAlreadyExists):
				return 0, left, fmt.Errorf("creating topic %s: %w", resp.Topic, withMessage(resp.Err, resp.ErrMessage))
			default:
				replicas = resp.ReplicationFactor
			}
		}
		if refusal == nil {
			return replicas, left, nil
		}
		left = append(left, p.leaveOut(refusal.ErrMessage))
	}
}

// leaveOut takes out the setting a refusal names, else the last one.
func (p *plan) leaveOut(refusal string) setting {
	at := slices.IndexFunc(p.settings, func(s setting) bool { return strings.Contains(refusal, s.name) })
	if at < 1 {
		at = len(p.settings) - 1
	}
	out := p.settings[at]
	p.settings = slices.Delete(p.settings, at, at+1)
	return out
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
