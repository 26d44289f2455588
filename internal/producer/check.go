package producer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type ctxt = context.Context

// Readable asks for one row of every selected stream and says whether this token may read it: "yes", or why not.
func (p *Producer) Readable(ctx context.Context) (map[string]string, error) {
	acc, err := readAccount(ctx, p.client, p.cfg.AccountID)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range p.cfg.selected {
		switch {
		case acc.off(s):
			out[s.Name] = "no: switched off in the account (" + s.Module + ")"
		case s.Read == schema.Children:
			out[s.Name] = out[s.Parent]
		default:
			if out[s.Name], err = p.readable(ctx, s, acc.admin); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (p *Producer) readable(ctx context.Context, s *schema.Stream, admin bool) (string, error) {
	req := harvest.Request{Path: s.Path}
	if s.Read != schema.Single {
		req.Query = url.Values{"per_page": {"1"}}
	}
	err := p.client.Do(ctx, req, func(*harvest.Response) error { return nil })
	switch {
	case harvest.IsForbidden(err), harvest.IsNotFound(err):
		return "no: this token's role may not", nil
	case err != nil:
		return "", err
	case !admin:
		return "in part: not an administrator's token", nil
	}
	return "yes", nil
}

// checklist prints one line an item and remembers whether anything is wrong.
type checklist struct {
	env  ops.Env
	code int
}

func (l *checklist) ok(item, format string, args ...any) {
	fmt.Fprintf(l.env.Stdout, "ok    %-12s %s\n", item, fmt.Sprintf(format, args...))
}

func (l *checklist) note(item, text string) {
	fmt.Fprintf(l.env.Stdout, "note  %-12s %s\n", item, text)
}

func (l *checklist) wrong(item string, err error, mend string) {
	fmt.Fprintf(l.env.Stdout, "WRONG %-12s %v\n", item, err)
	if mend != "" {
		fmt.Fprintf(l.env.Stdout, "      %-12s %s\n", "", mend)
	}
	if code := ops.ExitCode(err); l.code == 0 {
		if l.code = code; code == ops.ExitInternal {
			l.code = ops.ExitUnavailable
		}
	}
}

// check is the preflight: name by name, what is wrong and how to mend it (design §7).
func (c *commands) check(cmd *cobra.Command, _ []string) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	return p.check(cmd.Context(), c.env)
}

func (p *Producer) check(ctx context.Context, env ops.Env) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	l := &checklist{env: env}
	for _, w := range p.cfg.Warnings() {
		l.note("settings", w)
	}
	p.checkHarvest(ctx, l)
	p.checkKafka(ctx, l)
	p.checkRegistry(ctx, l)
	if l.code != 0 {
		return ops.Fail(l.code, errors.New("not everything is as the service needs it, see above"))
	}
	return nil
}

func (p *Producer) checkHarvest(ctx context.Context, l *checklist) {
	began := time.Now()
	acc, err := readAccount(ctx, p.client, p.cfg.AccountID)
	switch {
	case harvest.IsUnauthorized(err):
		l.wrong("token", ops.Fail(ops.ExitPermission, err), "make a new personal access token at https://id.getharvest.com/developers and put it into HARVEST_API_KEY")
		return
	case err != nil:
		l.wrong("account", err, "see HARVEST_BASE_URL, HARVEST_ACCOUNT_ID, HARVEST_API_KEY, and whether a proxy stands in between")
		return
	}
	l.ok("account", "%s (%d), answered in %s", acc.Name, p.cfg.AccountID, time.Since(began).Round(time.Millisecond))
	if d := acc.drift.Abs(); d > time.Minute {
		l.note("clock", fmt.Sprintf("this machine and Harvest are %s apart; cursors go by Harvest's clock, so nothing is lost", d.Round(time.Second)))
	} else {
		l.ok("clock", "within a minute of Harvest's")
	}
	if acc.admin {
		l.ok("role", "administrator: everything is seen, deletes are found")
	} else {
		l.note("role", fmt.Sprintf("%s: a part of the account is seen, and nothing is ever taken for deleted", strings.Join(acc.roles, ", ")))
	}
	readable, err := p.Readable(ctx)
	if err != nil {
		l.wrong("streams", err, "")
		return
	}
	for _, s := range p.cfg.selected {
		if r := readable[s.Name]; strings.HasPrefix(r, "no") {
			l.wrong("streams", ops.Fail(ops.ExitPermission, fmt.Errorf("%s: %s", s.Name, r)), "take it out with HARVEST_STREAMS=*,-"+s.Name+", or use a token that may")
		}
	}
	l.ok("streams", "%d selected", len(p.cfg.selected))
}

func (p *Producer) checkKafka(ctx context.Context, l *checklist) {
	opts, err := p.cfg.Kafka.Options()
	if err != nil {
		l.wrong("kafka", ops.Fail(ops.ExitConfig, err), "")
		return
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		l.wrong("kafka", ops.Fail(ops.ExitConfig, err), "")
		return
	}
	defer cl.Close()
	within, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := cl.Ping(within); err != nil {
		l.wrong("kafka", denied(fmt.Errorf("no broker of KAFKA_BROKERS answers: %w", err)), "see host and port, KAFKA_TLS and the KAFKA_SASL_ variables")
		return
	}
	l.ok("kafka", "%s", strings.Join(p.cfg.Kafka.Brokers, ", "))
	if w, err := kafka.CheckTransactions(ctx, cl); err != nil {
		l.wrong("transactions", err, "")
	} else if w != "" {
		l.note("transactions", w)
	} else {
		l.ok("transactions", "transaction.version 2")
	}
	var names []string
	for _, s := range p.cfg.selected {
		names = append(names, s.Name)
	}
	differences, err := kafka.CheckTopics(ctx, cl, p.cfg.Kafka, names)
	refused := errors.As(err, new(*kafka.PolicyError))
	if err != nil && !refused {
		l.wrong("topics", denied(err), "the producer needs Read, Write, Describe, DescribeConfigs on "+p.cfg.Kafka.TopicPrefix+"* and, to make topics, Create")
		return
	}
	for _, d := range differences {
		l.note("topics", d)
	}
	if refused {
		l.wrong("topics", ops.Fail(ops.ExitConfig, err), "")
	} else {
		l.ok("topics", "%s*", p.cfg.Kafka.TopicPrefix)
	}
	p.checkPartitions(ctx, l, cl, opts)
	p.checkRights(ctx, l, cl, names)
}

// checkPartitions says where a topic has other partitions than its stream was begun with (P13).
func (p *Producer) checkPartitions(ctx context.Context, l *checklist, cl *kgo.Client, opts []kgo.Opt) {
	seen, _, _, err := p.committed(ctx, cl, opts)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return // nothing was ever begun
	}
	if err != nil {
		l.wrong("partitions", denied(err), "")
		return
	}
	details, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		l.wrong("partitions", denied(err), "")
		return
	}
	for _, s := range p.cfg.selected {
		topic := p.cfg.Kafka.Topic(s.Name)
		ck, have := seen[s.Name], len(details[topic].Partitions)
		switch {
		case ck == nil || have == 0 || have == len(ck.Partitions):
		case have > len(ck.Partitions):
			l.note("partitions", fmt.Sprintf("%s has %d partitions; the %d it was begun with stay in use, the others stay empty", topic, have, len(ck.Partitions)))
		default:
			l.wrong("partitions", ops.Fail(ops.ExitConfig, fmt.Errorf("%s has %d partitions, %d at the last start: it was made again with fewer", topic, have, len(ck.Partitions))),
				"delete it, so that it is filled anew")
		}
	}
}

// checkRights names what the login may not.
func (p *Producer) checkRights(ctx context.Context, l *checklist, cl *kgo.Client, streams []string) {
	needs := kafka.Needs{Topics: []string{p.cfg.Kafka.CheckpointTopic()}, Operations: []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationWrite},
		Transaction: p.cfg.Kafka.TransactionalID(p.cfg.AccountID)}
	for _, name := range streams {
		needs.Topics = append(needs.Topics, p.cfg.Kafka.Topic(name))
	}
	missing, err := kafka.Missing(ctx, cl, needs)
	switch {
	case err != nil:
		l.wrong("rights", denied(err), "")
	case len(missing) > 0:
		l.wrong("rights", ops.Fail(ops.ExitPermission, fmt.Errorf("the user of KAFKA_SASL_USERNAME lacks %s", strings.Join(missing, ", "))), "docs/OPERATIONS.md lists what to grant")
	default:
		l.ok("rights", "to read and write the topics, and to write under transactional id %s", needs.Transaction)
	}
}

// denied gives a refused login or right its exit code.
func denied(err error) error {
	var refused interface{ Denied() bool }
	if kafka.Denied(err) || errors.As(err, &refused) && refused.Denied() {
		return ops.Fail(ops.ExitPermission, err)
	}
	return err
}

// checkRegistry compares the schemas with what the registry holds, and registers none.
func (p *Producer) checkRegistry(ctx context.Context, l *checklist) {
	missing := 0
	for _, s := range p.cfg.selected {
		topic := p.cfg.Kafka.Topic(s.Name)
		for _, want := range [][2]string{{topic + "-key", schema.KeySchema}, {topic + "-value", s.Schema.Text()}} {
			registered, err := p.registry.Check(ctx, want[0], want[1])
			var refused interface{ Incompatible() bool }
			switch {
			case errors.As(err, &refused) && refused.Incompatible():
				l.wrong("registry", ops.Fail(ops.ExitConfig, err), "the registry holds a schema this version cannot follow: is it a newer one's?")
			case err != nil:
				l.wrong("registry", denied(err), "see SCHEMA_REGISTRY_URL (a base URL with Confluent's API) and its user and password")
				return
			case !registered:
				missing++
			}
		}
	}
	l.ok("registry", "answers; %d schemas are still to be registered", missing)
}
