package sinker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"harveststream/internal/ops"
)

// catalog is what the database has of some schemas.
type catalog struct {
	schemas map[string]bool
	tables  map[[2]string]*existing // by schema and name
}

// existing is a table that is there.
type existing struct {
	types    map[string]string // by column, as format_type spells them
	comments map[string]string // by column; "": the table's own
	owned    bool              // we may say what it is
}

// readCatalog reads the columns of all tables in the given schemas.
func readCatalog(ctx context.Context, conn *pgx.Conn, schemas []string) (*catalog, error) {
	cat := &catalog{schemas: map[string]bool{}, tables: map[[2]string]*existing{}}
	rows, err := conn.Query(ctx, `SELECT n.nspname, coalesce(c.relname, ''), coalesce(a.attname, ''), coalesce(format_type(a.atttypid, a.atttypmod), ''),
  coalesce(obj_description(c.oid, 'pg_class'), ''), coalesce(col_description(c.oid, a.attnum), ''),
  coalesce(c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE'), false)
FROM pg_namespace n
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = ANY($1)`, schemas)
	if err != nil {
		return nil, fmt.Errorf("reading the database's catalogue: %w", err)
	}
	var namespace, name, col, typ, doc, colDoc string
	var owned bool
	_, err = pgx.ForEachRow(rows, []any{&namespace, &name, &col, &typ, &doc, &colDoc, &owned}, func() error {
		cat.schemas[namespace] = true
		at := [2]string{namespace, name}
		if cat.tables[at] == nil {
			cat.tables[at] = &existing{types: map[string]string{}, comments: map[string]string{"": doc}, owned: owned}
		}
		if col != "" {
			cat.tables[at].types[col], cat.tables[at].comments[col] = typ, colDoc
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the database's catalogue: %w", err)
	}
	return cat, nil
}

// formatted is a type as format_type spells it.
func formatted(typ string) string {
	typ, _, _ = strings.Cut(typ, " GENERATED")
	if typ == "timestamptz" {
		return "timestamp with time zone"
	}
	return typ
}

// missing are the statements that make the database what the sinker needs (S6): nothing is dropped, nothing retyped. What cannot be
// mended by adding is an error. The first relation is _offsets.
func (cat *catalog) missing(relations []*relation) ([]string, error) {
	var list, items []string // items once their tables are there
	var wrong []error
	done := map[string]bool{}
	for _, r := range relations {
		if !cat.schemas[r.schema] && !done[r.schema] {
			done[r.schema] = true
			list = append(list, "CREATE SCHEMA IF NOT EXISTS "+quote(r.schema))
		}
		have := cat.tables[[2]string{r.schema, r.name}]
		if have == nil {
			list = append(append(list, r.createTable()), r.comments()...)
			list = append(list, cat.outdate(relations[0], r)...)
			continue
		}
		for i := range r.columns {
			c := &r.columns[i]
			typ, ok := have.types[c.name]
			switch {
			case ok && typ != formatted(c.typ):
				wrong = append(wrong, fmt.Errorf("column %s of %s is %s, not %s", c.name, r.ident(), typ, formatted(c.typ)))
			case ok:
			case c.notNull:
				wrong = append(wrong, fmt.Errorf("column %s %s of %s is missing and cannot be added to rows that are there", c.name, c.typ, r.ident()))
			default:
				list = append(list, fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s", r.ident(), c.definition()), r.commentOn(c))
				list = append(list, liftAll(r, c)...)
				items = append(items, itemsOf(relations, r, c)...)
			}
		}
	}
	if err := cat.noLongerSoft(relations); err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return nil, ops.Fail(ops.ExitConfig, errors.Join(wrong...))
	}
	return append(list, items...), nil
}

// noLongerSoft refuses tables that soft-delete mode has kept, in hard mode: their rows marked as deleted would pass for living ones, and
// stay marked when the objects come back.
func (cat *catalog) noLongerSoft(relations []*relation) error {
	var kept []string
	for _, r := range relations {
		have := cat.tables[[2]string{r.schema, r.name}]
		if r.topic != "" && r.owner == nil && r.column(columnDeleted) == nil && have != nil && have.types[columnDeleted] != "" {
			kept = append(kept, r.ident())
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return fmt.Errorf("there is the column %s of SINK_DELETE_MODE=soft in %s: set that again, or drop the column from each and run `sinker rebuild`, which removes the rows it marks",
		columnDeleted, strings.Join(kept, ", "))
}

// outdate are the statements that go with making a table: what was applied to one of its name before is not in it, so the topic's offsets
// count for nothing, its fence is raised, and it is complete up to no moment (S9). A child table that comes with its column is filled like
// that one.
func (cat *catalog) outdate(offsets, made *relation) []string {
	if made.topic == "" || cat.tables[[2]string{offsets.schema, offsets.name}] == nil {
		return nil
	}
	main := made
	if made.owner != nil {
		main = made.owner
		if have := cat.tables[[2]string{main.schema, main.name}]; have == nil || have.types[made.array] == "" {
			return nil
		}
	}
	return []string{
		fmt.Sprintf(`UPDATE %s SET "topic_id" = '', "fence" = "fence" + 1 WHERE "topic" = %s AND coalesce("relation", %[3]s) = %[3]s`,
			offsets.ident(), literal(made.topic), literal(main.ident())),
		fmt.Sprintf(`UPDATE %s SET "complete_to" = NULL WHERE "stream" = %s`, quote(offsets.schema, tableStreams), literal(made.stream)),
	}
}

// reworded are the statements that refresh what the database says of tables and columns that are there.
func (cat *catalog) reworded(relations []*relation) []string {
	var list []string
	for _, r := range relations {
		have := cat.tables[[2]string{r.schema, r.name}]
		if have == nil {
			continue
		}
		if have.comments[""] != r.doc {
			list = append(list, r.comment())
		}
		for i := range r.columns {
			c := &r.columns[i]
			if doc, ok := have.comments[c.name]; ok && doc != c.doc {
				list = append(list, r.commentOn(c))
			}
		}
	}
	return list
}

// owned are the relations whose tables are ours to comment.
func (cat *catalog) owned(relations []*relation) []*relation {
	return slices.DeleteFunc(slices.Clone(relations), func(r *relation) bool {
		have := cat.tables[[2]string{r.schema, r.name}]
		return have == nil || !have.owned
	})
}

// ensureTables creates and widens the tables (S6), however long that takes. Several sinkers may do so at once: one does, the others
// wait and find it done. Without the right to it the error says what a DBA must run.
func ensureTables(ctx context.Context, conn *pgx.Conn, relations []*relation, hook func(point string) error) error {
	for {
		list, err := missingIn(ctx, conn, relations)
		if err != nil || len(list) == 0 {
			return err
		}
		if done, err := makeTables(ctx, conn, relations, hook); err != nil || done {
			return err
		}
		pauseFor(ctx, 200*time.Millisecond)
	}
}

// makeTables runs what is missing, unless another sinker is at it: then it reports false. All sinkers of a database go by one lock: they
// may share schemas.
func makeTables(ctx context.Context, conn *pgx.Conn, relations []*relation, hook func(point string) error) (bool, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("making tables: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil { // tables are not made twice, as lost rows are written
		return false, fmt.Errorf("making tables: %w", err)
	}
	free := false
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", lockKey).Scan(&free); err != nil || !free {
		return false, err
	}
	list, err := missingIn(ctx, conn, relations)
	if err != nil {
		return false, err
	}
	for _, sql := range list {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return false, explainDDL(err, sql, list)
		}
	}
	if err := hook("ks09"); err != nil {
		return false, err
	}
	return true, tx.Commit(ctx)
}

// lockKey is the advisory lock of who makes tables: "harvests" as a number.
const lockKey int64 = 0x6861727665737473

// refreshComments has the database say what this version's schemas say, where the tables are ours; the others are left to a DBA.
func refreshComments(ctx context.Context, conn *pgx.Conn, relations []*relation) error {
	cat, err := readCatalog(ctx, conn, schemasOf(relations))
	if err != nil {
		return err
	}
	list := cat.reworded(cat.owned(relations))
	if len(list) == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "BEGIN; SET LOCAL lock_timeout = '1s'; "+strings.Join(list, "; ")+"; COMMIT"); err != nil {
		_, undo := conn.Exec(ctx, "ROLLBACK")
		return errors.Join(err, undo)
	}
	return nil
}

func missingIn(ctx context.Context, conn *pgx.Conn, relations []*relation) ([]string, error) {
	cat, err := readCatalog(ctx, conn, schemasOf(relations))
	if err != nil {
		return nil, err
	}
	return cat.missing(relations)
}

// explainDDL names the statements that a DBA must run where the sinker may not.
func explainDDL(err error, sql string, list []string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return ops.Fail(ops.ExitPermission, fmt.Errorf("making tables: %w; have a DBA run what `sinker ddl --missing` prints: %s",
			err, strings.Join(list, ";\n")+";"))
	}
	first, _, _ := strings.Cut(sql, "\n")
	return fmt.Errorf("making tables: %s: %w", first, err)
}

func schemasOf(relations []*relation) []string {
	var names []string
	for _, r := range relations {
		if !slices.Contains(names, r.schema) {
			names = append(names, r.schema)
		}
	}
	return names
}
