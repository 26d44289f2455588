package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// mark is the comment by which quickstart knows the schemas it made, and may make anew.
const mark = "Made by quickstart, which drops and makes it anew at every start."

// database is where the tables are looked at from outside, by plain SQL.
type database struct {
	conn *pgx.Conn
	set  *settings
}

// openDatabase connects and makes the schemas, empty. Those of an earlier quickstart are dropped: their rows belong to topics that are
// gone. One of anybody else's is an error.
func openDatabase(ctx context.Context, set *settings) (*database, error) {
	within, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := pgx.Connect(within, set.sinker.DatabaseURL.Reveal())
	if err != nil {
		return nil, ops.Fail(ops.ExitUnavailable, fmt.Errorf("DATABASE_URL: %w", err))
	}
	d := &database{conn: conn, set: set}
	for _, name := range set.namespaces() {
		if err := d.begin(ctx, name); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *database) begin(ctx context.Context, name string) error {
	var free bool
	if err := d.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtext($1))", "quickstart "+name).Scan(&free); err != nil {
		return fmt.Errorf("locking schema %s: %w", name, err)
	}
	if !free {
		return ops.Fail(ops.ExitUnavailable, fmt.Errorf("another quickstart writes to schema %s of DATABASE_URL; SINK_SCHEMA names another one", name))
	}
	var exists bool
	var comment *string
	if err := d.conn.QueryRow(ctx, "SELECT count(*) > 0, max(obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname = $1", name).Scan(&exists, &comment); err != nil {
		return fmt.Errorf("looking for schema %s: %w", name, err)
	}
	if exists && (comment == nil || *comment != mark) {
		return ops.Fail(ops.ExitConfig, fmt.Errorf("SINK_SCHEMA: schema %s exists in DATABASE_URL and quickstart did not make it; name another one", name))
	}
	ident := pgx.Identifier{name}.Sanitize()
	for _, sql := range []string{"DROP SCHEMA IF EXISTS " + ident + " CASCADE", "CREATE SCHEMA " + ident, "COMMENT ON SCHEMA " + ident + " IS '" + mark + "'"} {
		if _, err := d.conn.Exec(ctx, sql); err != nil {
			return ops.Fail(ops.ExitPermission, fmt.Errorf("making schema %s in DATABASE_URL: %w", name, err))
		}
	}
	return nil
}

func (d *database) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.conn.Close(ctx) // the server ends it otherwise
}

// held is what a stream's table holds.
type held struct {
	rows   int
	newest time.Time // when the newest row was read from Harvest
}

// held asks for all tables at once; before they exist it answers nothing.
func (d *database) held(ctx context.Context) (map[string]held, error) {
	var parts []string
	for _, st := range d.set.streams {
		parts = append(parts, fmt.Sprintf("SELECT '%s', count(*), max(_observed_at) FROM %s WHERE %s", st.Name, d.set.tables[st.Name].Sanitize(), d.living()))
	}
	rows, err := d.conn.Query(ctx, strings.Join(parts, " UNION ALL "))
	counts := map[string]held{}
	var name string
	var h held
	var newest *time.Time
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&name, &h.rows, &newest}, func() error {
			h.newest = time.Time{}
			if newest != nil {
				h.newest = *newest
			}
			counts[name] = h
			return nil
		})
	}
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == "42P01" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("counting rows: %w", err)
	}
	return counts, nil
}

// living is the condition of rows whose object exists.
func (d *database) living() string {
	if d.set.sinker.DeleteMode == "soft" {
		return "_deleted_at IS NULL"
	}
	return "true"
}

// rows are a stream's rows as JSON objects.
func (d *database) rows(ctx context.Context, st *schema.Stream) ([][]byte, error) {
	rows, err := d.conn.Query(ctx, "SELECT to_jsonb(t)::text FROM "+d.set.tables[st.Name].Sanitize()+" t WHERE "+d.living())
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", st.Name, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", st.Name, err)
	}
	return list, nil
}
