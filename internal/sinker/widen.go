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
	"harveststream/pkg/schema"
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
	var list []string
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
			}
		}
	}
	if err := cat.noLongerSoft(relations); err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return nil, ops.Fail(ops.ExitConfig, errors.Join(wrong...))
	}
	return list, nil
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

// liftAll fills a new column from what extra kept of it so far, in all rows.
func liftAll(r *relation, c *column) []string {
	if sql := lift(r, c); sql != "" {
		return []string{sql}
	}
	return nil
}

// lift is the statement that moves a column's values out of extra into the column (S6), those that fit it; "" where nothing can be
// there. extra has them under the column's name (put there by a sinker that did not know it) or where Harvest has them.
func lift(r *relation, c *column) string {
	if c.from == nil || r.column(schema.FieldExtra) == nil {
		return ""
	}
	value := "t.extra -> " + literal(c.name)
	rest := "t.extra - " + literal(c.name)
	if len(c.from) > 1 {
		path := "'{" + strings.Join(c.from, ",") + "}'"
		value = fmt.Sprintf("coalesce(%s, t.extra #> %s)", value, path)
		rest = fmt.Sprintf("(%s) #- %s", rest, path)
		outer := literal(c.from[0])
		rest = fmt.Sprintf("CASE WHEN (%s) -> %s = '{}' THEN (%s) - %s ELSE %s END", rest, outer, rest, outer, rest)
	}
	fits := liftExpression(c.kind, "("+value+")")
	if fits == "" {
		return ""
	}
	return fmt.Sprintf("UPDATE %s AS t SET %s = %s, extra = nullif(%s, '{}')\nWHERE t.extra IS NOT NULL AND %s IS NOT NULL",
		r.ident(), quote(c.name), fits, rest, fits)
}

// liftExpression is the SQL of a JSON value as a column's, null where it does not fit. Nothing in it can fail, and PostgreSQL 13 knows
// all of it.
func liftExpression(kind schema.Kind, v string) string {
	text := "(" + v + " #>> '{}')"
	isString := "jsonb_typeof(" + v + ") = 'string'"
	number := "CASE WHEN jsonb_typeof(" + v + ") = 'number' THEN " + v + "::numeric END"
	switch kind {
	case schema.Long:
		return fmt.Sprintf("(CASE WHEN (%s) BETWEEN -9223372036854775808 AND 9223372036854775807 AND (%s) = trunc(%s) THEN (%s)::bigint END)",
			number, number, number, number)
	case schema.Decimal:
		return fmt.Sprintf("(CASE WHEN abs(%s) < 1e29 THEN trim_scale(round(%s, 9)) END)", number, number)
	case schema.Bool:
		return fmt.Sprintf("(CASE WHEN jsonb_typeof(%s) = 'boolean' THEN %s::boolean END)", v, v)
	case schema.String:
		return fmt.Sprintf("(CASE WHEN %s THEN %s END)", isString, text)
	case schema.Date:
		return fmt.Sprintf("(CASE WHEN %s AND %s THEN %s::date END)", isString, validDay(text, "$"), text)
	case schema.Timestamp:
		clock := `T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$`
		return fmt.Sprintf("(CASE WHEN %s AND %s THEN date_trunc('milliseconds', %s::timestamptz) END)", isString, validDay(text, clock), text)
	case schema.Strings:
		return listExpression(v, "string", "ARRAY(SELECT jsonb_array_elements_text("+v+"))")
	case schema.Longs:
		whole := `(e #>> '{}') !~ '^-?\d{1,18}$'`
		return fmt.Sprintf("(CASE WHEN jsonb_typeof(%s) = 'array' THEN CASE WHEN NOT EXISTS (SELECT FROM jsonb_array_elements(%s) e WHERE jsonb_typeof(e) <> 'number' OR %s) THEN ARRAY(SELECT jsonb_array_elements_text(%s)::bigint) END END)",
			v, v, whole, v)
	}
	return "" // arrays of records come with the next version of their record
}

func listExpression(v, typ, array string) string {
	return fmt.Sprintf("(CASE WHEN jsonb_typeof(%s) = 'array' THEN CASE WHEN NOT EXISTS (SELECT FROM jsonb_array_elements(%s) e WHERE jsonb_typeof(e) <> %s) THEN %s END END)",
		v, v, literal(typ), array)
}

// validDay is the condition that text begins with a day there is, and that the rest matches.
func validDay(text, rest string) string {
	return fmt.Sprintf(`CASE WHEN %s ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])%s' THEN substr(%s, 9, 2)::int <= extract(day FROM make_date(substr(%s, 1, 4)::int, substr(%s, 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END`,
		text, rest, text, text, text)
}
