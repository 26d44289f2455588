package sinker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// Status prints, for each partition, what is applied, what is left, and how fresh it is.
func Status(ctx context.Context, cfg Config, deps Deps) error {
	return withDatabase(ctx, cfg, deps, func(s *sink, conn *pgx.Conn) error {
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		ends := endsOf(asked, s.admin, s.topics())
		cancel()
		w := tabwriter.NewWriter(deps.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "STREAM\tPARTITION\tNEXT\tLAG\tAT END\tCOMPLETE TO\tMISSING\tDEAD LETTERS")
		for _, t := range s.tables {
			if err := s.statusOf(ctx, conn, w, t, ends); err != nil {
				return err
			}
		}
		return w.Flush()
	})
}

func (s *sink) statusOf(ctx context.Context, conn *pgx.Conn, w *tabwriter.Writer, t *table, ends map[spot]int64) error {
	topic := s.cfg.Kafka.Topic(t.stream.Name)
	rows, err := conn.Query(ctx, `SELECT o."partition", o."next", o."at_end",
  (SELECT CASE WHEN bool_and("complete_to" IS NOT NULL) THEN min("complete_to") END FROM `+quote(s.cfg.Schema, tableStreams)+` WHERE "stream" = $2),
  (SELECT coalesce(sum("gaps"), 0)::bigint FROM `+quote(s.cfg.Schema, tableStreams)+` WHERE "stream" = $2),
  (SELECT count(*) FROM `+quote(s.cfg.Schema, tableDeadLetters)+` WHERE "topic" = $1 AND "partition" = o."partition")
FROM `+s.offsets.ident()+` AS o WHERE o."topic" = $1 ORDER BY 1`, topic, t.stream.Name)
	if err != nil {
		return err
	}
	var number int32
	var next, gaps, letters int64
	var atEnd time.Time
	var complete *time.Time
	tag, err := pgx.ForEachRow(rows, []any{&number, &next, &atEnd, &complete, &gaps, &letters}, func() error {
		lag := "?"
		if end, ok := ends[spot{topic, number}]; ok {
			lag = strconv.FormatInt(max(0, end-next), 10)
		}
		to := "-"
		if complete != nil {
			to = complete.UTC().Format(time.RFC3339)
		}
		_, err := fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%d\t%d\n", t.stream.Name, number, next, lag, atEnd.UTC().Format(time.RFC3339), to, gaps, letters)
		return err
	})
	if err == nil && tag.RowsAffected() == 0 {
		_, err = fmt.Fprintf(w, "%s\t-\t-\t-\tnever\t-\t-\t-\n", t.stream.Name)
	}
	return err
}

// MissingDDL prints the statements that the database lacks (S6), and those that refresh its comments.
func MissingDDL(ctx context.Context, cfg Config, deps Deps) error {
	return withDatabase(ctx, cfg, deps, func(s *sink, conn *pgx.Conn) error {
		relations := cfg.relations(s.tables)
		cat, err := readCatalog(ctx, conn, schemasOf(relations))
		if err != nil {
			return err
		}
		list, err := cat.missing(relations)
		if err != nil {
			return err
		}
		return printStatements(deps.Stdout, append(list, cat.reworded(relations)...))
	})
}

// finding is one line of `sinker check`.
type finding struct {
	item   string
	detail string
	err    error
}

// Check looks at everything the service needs, prints an item a line, and ends with the exit code of the worst.
func Check(ctx context.Context, cfg Config, deps Deps) error {
	s, err := prepare(cfg, deps)
	if err != nil {
		return err
	}
	defer s.close()
	var failed []error
	for _, check := range []func(context.Context, *sink) []finding{checkDatabase, checkKafka, checkTopics, checkRegistry} {
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		for _, f := range check(limited, s) {
			mark := "ok"
			if f.err != nil {
				mark, f.detail = "WRONG", oneLine(f.err.Error())
				failed = append(failed, f.err)
			}
			if _, err := fmt.Fprintf(deps.Stdout, "%-5s %-24s %s\n", mark, f.item, f.detail); err != nil {
				cancel()
				return err
			}
		}
		cancel()
	}
	for _, w := range cfg.Warnings() {
		if _, err := fmt.Fprintf(deps.Stdout, "note  %-24s %s\n", "settings", w); err != nil {
			return err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return ops.Fail(ops.ExitCode(failed[0]), errors.New("not everything is as the service needs it, see above"))
}

// checkDatabase looks at connection, version, rights and tables.
func checkDatabase(ctx context.Context, s *sink) []finding {
	var list []finding
	if err := s.db.ownSession(ctx); err != nil {
		return append(list, finding{item: "database", err: explain(err)})
	}
	err := s.db.use(ctx, func(conn *pgx.Conn) error {
		var version, database string
		var number int
		var temp, readOnly bool
		err := conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_database(),
has_database_privilege(current_database(), 'TEMPORARY'), pg_is_in_recovery() OR current_setting('transaction_read_only')::bool`).Scan(&version, &number, &database, &temp, &readOnly)
		if err != nil {
			return err
		}
		list = append(list, finding{item: "database", detail: "PostgreSQL " + version + ", " + database})
		if number < 130000 {
			list = append(list, finding{item: "database version", err: ops.Fail(ops.ExitConfig, errors.New("is older than 13"))})
		}
		if !temp {
			list = append(list, finding{item: "temporary tables", err: ops.Fail(ops.ExitPermission,
				fmt.Errorf("are not allowed; run GRANT TEMPORARY ON DATABASE %s TO %s", quote(database), quote(conn.Config().User)))})
		}
		if readOnly {
			list = append(list, finding{item: "database", err: ops.Fail(ops.ExitUnavailable, errors.New("only reads; add target_session_attrs=read-write to DATABASE_URL"))})
		}
		list = append(list, s.checkTables(ctx, conn)...)
		_ = s.readTarget(ctx, conn) // before the first start there is none, and the group's name is a beginning
		return nil
	})
	if err != nil {
		list = append(list, finding{item: "database", err: explain(err)})
	}
	return list
}

// checkTables looks whether the tables are there and may be written.
func (s *sink) checkTables(ctx context.Context, conn *pgx.Conn) []finding {
	relations := s.cfg.relations(s.tables)
	missing, err := missingIn(ctx, conn, relations)
	if err != nil {
		return []finding{{item: "tables", err: explain(err)}}
	}
	var list []finding
	if len(missing) > 0 {
		create := true
		for _, namespace := range schemasOf(relations) {
			var ok bool
			err := conn.QueryRow(ctx, `SELECT coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1), has_database_privilege(current_database(), 'CREATE'))`, namespace).Scan(&ok)
			create = create && err == nil && ok
		}
		f := finding{item: "tables", detail: fmt.Sprintf("%d statements to run at start", len(missing))}
		if !create {
			f.err = ops.Fail(ops.ExitPermission, fmt.Errorf("%d statements are missing that this role may not run; have a DBA run what `sinker ddl --missing` prints", len(missing)))
		}
		list = append(list, f)
	}
	bad := 0
	for _, r := range relations {
		var ok bool
		err := conn.QueryRow(ctx, `SELECT coalesce(bool_and(has_table_privilege(c.oid, p)), true) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p WHERE n.nspname = $1 AND c.relname = $2`, r.schema, r.name).Scan(&ok)
		if err != nil || !ok {
			bad++
			list = append(list, finding{item: "table " + r.name, err: ops.Fail(ops.ExitPermission,
				fmt.Errorf("may not be written; run GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %s", r.ident(), quote(conn.Config().User)))})
		}
	}
	if bad == 0 && len(missing) == 0 {
		list = append(list, finding{item: "tables", detail: fmt.Sprintf("%d, as they should be", len(relations))})
	}
	return list
}

func checkKafka(ctx context.Context, s *sink) []finding {
	if err := s.admin.Ping(ctx); err != nil {
		return []finding{{item: "KAFKA_BROKERS", err: unreachable(err)}}
	}
	list := []finding{{item: "KAFKA_BROKERS", detail: "reached"}}
	needs := kafka.Needs{Topics: append(s.topics(), s.cfg.Kafka.CheckpointTopic()), Operations: []kmsg.ACLOperation{kmsg.ACLOperationRead}, Group: s.group()}
	missing, err := kafka.Missing(ctx, s.admin, needs)
	switch {
	case err != nil:
		return append(list, finding{item: "rights", err: unreachable(err)})
	case len(missing) > 0:
		return append(list, finding{item: "rights", err: ops.Fail(ops.ExitPermission, fmt.Errorf("the user of KAFKA_SASL_USERNAME lacks %s", strings.Join(missing, ", ")))})
	}
	return append(list, finding{item: "rights", detail: "to read the topics, and to join group " + needs.Group})
}

// unreachable is what keeps Kafka from answering: a refused login or right is 77, anything else may pass.
func unreachable(err error) error {
	if kafka.Denied(err) {
		return ops.Fail(ops.ExitPermission, err)
	}
	return ops.Fail(ops.ExitUnavailable, err)
}

// checkTopics compares the topics with what is stored of them.
func checkTopics(ctx context.Context, s *sink) []finding {
	var list []finding
	waiting, fine := 0, 0
	for _, t := range s.tables {
		p := s.partition(t, 0, 1)
		state, err := p.look(ctx)
		absent := errors.Is(err, errNoTopic)
		if err != nil && !absent {
			return append(list, finding{item: "topic " + p.topic, err: unreachable(err)})
		}
		var stored *offset
		err = s.db.use(ctx, func(conn *pgx.Conn) (err error) {
			stored, err = s.offsets.load(ctx, conn, p.topic, 0)
			return err
		})
		var unfit error
		switch known := err == nil && stored != nil; { // the database's own items say what is wrong with it
		case known && absent:
			unfit = lost(t.stream.Name, "topic %s is gone", p.topic)
		case known:
			unfit = p.fits(stored, state)
		case absent:
			waiting++
			continue
		}
		if unfit != nil {
			list = append(list, finding{item: "topic " + p.topic, err: unfit})
			continue
		}
		fine++
	}
	return append(list, finding{item: "topics", detail: fmt.Sprintf("%d fit what is applied, %d do not exist yet", fine, waiting)})
}

func checkRegistry(ctx context.Context, s *sink) []finding {
	const unlikely = 1 << 30
	_, err := s.registry.Schema(ctx, unlikely)
	switch {
	case err == nil || schema.IsUnknownID(err):
		return []finding{{item: "SCHEMA_REGISTRY_URL", detail: "answers"}}
	case denied(err):
		return []finding{{item: "SCHEMA_REGISTRY_URL", err: ops.Fail(ops.ExitPermission, err)}}
	}
	return []finding{{item: "SCHEMA_REGISTRY_URL", err: ops.Fail(ops.ExitUnavailable, err)}}
}
