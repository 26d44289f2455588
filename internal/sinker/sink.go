package sinker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// connections is the size of the pool: streams side by side, one transaction per partition (S4).
const connections = 4

// sink is what all commands that write share.
type sink struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	db       *pool
	tables   []*table
	offsets  offsets
	writers  *writers
	brake    *brake
	metrics  *metrics
	opts     []kgo.Opt
	admin    *kgo.Client
	registry schema.Registry
	targetID string
	spaces   sync.Pool     // *space of portions that are done with
	patience time.Duration // how long a one-shot command waits for what is away; 0: for ever
}

// open connects to everything, makes the tables, and reads what the schema remembers.
func open(ctx context.Context, cfg Config, deps Deps, patience time.Duration) (*sink, error) {
	s, err := prepare(cfg, deps)
	if err != nil {
		return nil, err
	}
	s.patience = patience
	if err := s.connect(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare builds a sink without connecting to anything.
func prepare(cfg Config, deps Deps) (*sink, error) {
	s := &sink{cfg: cfg, deps: deps, log: deps.Log, offsets: offsets{cfg.Schema}, brake: &brake{}, metrics: newMetrics()}
	var err error
	if s.tables, err = cfg.tables(); err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	for _, t := range s.tables {
		for _, r := range t.relations() {
			r.topic, r.stream = cfg.Kafka.Topic(t.stream.Name), t.stream.Name
		}
	}
	if s.db, err = newPool(cfg.DatabaseURL, connections); err != nil {
		return nil, ops.Fail(ops.ExitConfig, fmt.Errorf("DATABASE_URL: %w", err))
	}
	cfg.Kafka.Log = deps.Log
	if s.opts, err = cfg.Kafka.Options(); err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	if s.admin, err = kgo.NewClient(s.opts...); err != nil {
		return nil, ops.Fail(ops.ExitConfig, fmt.Errorf("making a Kafka client: %w", err))
	}
	registry, err := kafka.NewRegistry(cfg.Kafka)
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	s.registry = registry
	s.writers = newWriters(cfg.Schema, s.db, registry)
	return s, nil
}

// startPatience is how long a start waits for a database or brokers that do not answer.
const startPatience = 15 * time.Second

func (s *sink) connect(ctx context.Context) error {
	if err := s.start(ctx, func(ctx context.Context) error {
		if err := s.db.ownSession(ctx); err != nil {
			return err
		}
		return s.db.use(ctx, func(conn *pgx.Conn) error { return s.prepareDatabase(ctx, conn) })
	}); err != nil {
		return err
	}
	return s.start(ctx, func(ctx context.Context) error {
		asked, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		if err := s.admin.Ping(asked); err != nil {
			return fmt.Errorf("reaching KAFKA_BROKERS %s: %w", strings.Join(s.cfg.Kafka.Brokers, ","), err)
		}
		return nil
	})
}

// start tries until it works, an error comes that waiting does not mend, or patience ends (69). Patience is for what does not answer: a
// try that is at work, widening a table of millions of rows, may take what it takes.
func (s *sink) start(ctx context.Context, try func(ctx context.Context) error) error {
	began := time.Now()
	for wait := newBackoff(); ; {
		err := try(ctx)
		if err == nil {
			return nil
		}
		var coded interface{ ExitCode() int }
		switch what := judge(err); {
		case ctx.Err() != nil: // its cause, which errors may hand on, has an exit code, too
			return ctx.Err()
		case errors.As(err, &coded):
			return err
		case what == fatal:
			return explainFatal(err)
		case what != retry:
			return ops.Fail(ops.ExitConfig, err)
		}
		if wait.first(err) {
			s.log.Warn("cannot start yet, trying again", "err", err)
		}
		if ctx.Err() == nil && time.Since(began) > startPatience {
			return ops.Fail(ops.ExitUnavailable, err)
		}
		if err := wait.wait(ctx); err != nil {
			return err
		}
	}
}

// prepareDatabase makes the tables (S6) and reads what they remember.
func (s *sink) prepareDatabase(ctx context.Context, conn *pgx.Conn) error {
	if err := ensureTables(ctx, conn, s.cfg.relations(s.tables), s.deps.hook); err != nil {
		return err
	}
	if err := s.deps.hook("ks10"); err != nil {
		return err
	}
	if err := refreshComments(ctx, conn, s.cfg.relations(s.tables)); err != nil {
		s.log.Warn("cannot refresh the comments on tables and columns", "err", err)
	}
	if err := s.writers.load(ctx, conn); err != nil {
		return err
	}
	if err := s.brake.recall(ctx, conn, s.cfg.Schema, time.Now()); err != nil {
		return err
	}
	target := quote(s.cfg.Schema, tableTarget)
	if _, err := conn.Exec(ctx, `INSERT INTO `+target+` ("one", "id") VALUES (true, $1) ON CONFLICT DO NOTHING`, strings.ToLower(rand.Text()[:10])); err != nil {
		return fmt.Errorf("keeping the target's id: %w", err)
	}
	return s.readTarget(ctx, conn)
}

// readTarget reads the target's id: the schema's own, and what tells its database from one that was made of a copy (S1).
func (s *sink) readTarget(ctx context.Context, conn *pgx.Conn) error {
	var id string
	var database uint32
	var server int64
	var may bool
	err := conn.QueryRow(ctx, `SELECT t."id", d.oid, has_function_privilege('pg_control_system()', 'EXECUTE') FROM `+quote(s.cfg.Schema, tableTarget)+
		` AS t, pg_database AS d WHERE d.datname = current_database()`).Scan(&id, &database, &may)
	if err == nil && may {
		err = conn.QueryRow(ctx, "SELECT system_identifier FROM pg_control_system()").Scan(&server)
	}
	if err != nil {
		return fmt.Errorf("reading the target's id: %w", err)
	}
	home := fnv.New32a()
	fmt.Fprint(home, database, server)
	s.targetID = fmt.Sprintf("%s-%08x", id, home.Sum32())
	return nil
}

// group is the consumer group of this target (S1).
func (s *sink) group() string { return s.cfg.Group + "-" + s.targetID }

func (s *sink) close() {
	s.admin.Close()
	s.db.close()
}

// partition makes the worker's state of a partition; it must be claimed before it applies anything.
func (s *sink) partition(t *table, number int32, count int) *partition {
	topic := s.cfg.Kafka.Topic(t.stream.Name)
	w := writer{table: t, sql: newStatements(t, s.cfg.Schema), plans: s.writers.compiled(t), stream: t.stream.Name, locked: count > 1, hook: s.deps.hook}
	stager := w
	return &partition{
		sink: s, table: t, topic: topic, number: number, log: s.log.With("stream", t.stream.Name, "partition", number), writer: &w, stager: &stager,
	}
}

// byTopic returns the table of a topic, nil where it is none of ours.
func (s *sink) byTopic(topic string) *table {
	for _, t := range s.tables {
		if s.cfg.Kafka.Topic(t.stream.Name) == topic {
			return t
		}
	}
	return nil
}

func (s *sink) topics() []string {
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = s.cfg.Kafka.Topic(t.stream.Name)
	}
	return names
}

// endsOf are the last stable offsets of topics' partitions: where a read_committed reader stands when it has read everything. Those that
// cannot be told are left out.
func endsOf(ctx context.Context, cl *kgo.Client, topics []string) map[spot]int64 {
	ends := map[spot]int64{}
	listed, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topics...)
	if err != nil && len(listed) == 0 {
		return ends
	}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			ends[spot{o.Topic, o.Partition}] = o.Offset
		}
	})
	return ends
}
