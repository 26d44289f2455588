package sinker

import (
	"fmt"
	"slices"
	"strings"

	"harveststream/pkg/schema"
)

// statements are the texts of one table's SQL, made once.
type statements struct {
	createStage string
	stage       relation
	merge       string // from the stage into the table, by rank (S3)
	update      string // the same, but for rows that are not there
	probe       string // account, ids → id, _seq
	probeLocked string
	probeRange  string // first id, last id, limit → id, _seq, account
	ranks       string // stream, account, ids → id, seq, deleted_at: what was deleted
	remember    string // stream, ids, accounts, seqs, moments: into _deleted
	rememberNew string // the same by COPY
	remove      string // account, ids, seqs: hard delete
	markGone    string // account, ids, seqs, moments, now: soft delete
	defaults    string // names → whether one of these columns has a default
	children    []childStatements
}

type childStatements struct {
	clear string // account, parents
}

func newStatements(t *table, namespace string) *statements {
	stage := relation{schema: "pg_temp", name: "stage_" + t.stream.Name, columns: t.columns} // tables of two schemas may have one name
	ranks := quote(namespace, tableDeleted)
	s := &statements{
		stage:       stage,
		createStage: createStage(&stage),
		merge:       merge(&t.relation, stage.ident()),
		update:      updateFrom(&t.relation, stage.ident()),
		probe: fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s = $1 AND %s = ANY($2)",
			quote(schema.FieldID), quote(columnSeq), t.ident(), quote(schema.FieldAccount), quote(schema.FieldID)),
		probeRange: fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s BETWEEN $1 AND $2 ORDER BY %s LIMIT $3", quote(schema.FieldID), quote(columnSeq),
			quote(schema.FieldAccount), t.ident(), quote(schema.FieldID), quote(schema.FieldID)),
		ranks: fmt.Sprintf(`SELECT "id", "seq", "deleted_at" FROM %s WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3)`, ranks),
		remember: fmt.Sprintf(`INSERT INTO %s AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq"`, ranks),
		rememberNew: copyInto(&relation{schema: namespace, name: tableDeleted}, []string{"stream", "id", "account_id", "seq", "deleted_at"}),
		remove: fmt.Sprintf(`DELETE FROM %s AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq"`, t.ident()),
		markGone: fmt.Sprintf(`UPDATE %s AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq"`, t.ident()),
		defaults: fmt.Sprintf("SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND atthasdef AND attname = ANY($1))", literal(t.ident())),
	}
	s.probeLocked = s.probe + " FOR NO KEY UPDATE"
	for _, c := range t.children {
		s.children = append(s.children, childStatements{
			clear: fmt.Sprintf("DELETE FROM %s WHERE %s = $1 AND %s = ANY($2)", c.ident(), quote(schema.FieldAccount), quote(c.parent)),
		})
	}
	return s
}

// copyInto is the COPY of these columns.
func copyInto(r *relation, columns []string) string {
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", r.ident(), quoteList(columns))
}

// createStage makes the temporary table that rows of known keys go through; it lives as long as the connection.
func createStage(r *relation) string {
	list := make([]string, len(r.columns))
	for i, c := range r.columns {
		list[i] = quote(c.name) + " " + c.typ
	}
	return fmt.Sprintf("CREATE TEMPORARY TABLE IF NOT EXISTS %s (%s) ON COMMIT DELETE ROWS", r.ident(), strings.Join(list, ", "))
}

// merge puts staged rows over the table's where their rank is higher (S3), and inserts what is not there. It goes by the key whatever the
// planner believes.
func merge(r *relation, stage string) string {
	columns := quoteList(r.columnNames())
	return fmt.Sprintf("INSERT INTO %s AS t (%s)\nSELECT %s FROM %s\nON CONFLICT (%s) DO UPDATE SET %s\nWHERE excluded.%s > t.%s",
		r.ident(), columns, columns, stage, quoteList(r.key), assignments(r, "excluded"), quote(columnSeq), quote(columnSeq))
}

// updateFrom puts staged rows over the table's where their rank is higher. It looks up the keys one by one, as merge does, once the planner
// has no other way: by its estimates it may prefer to read the whole table for each batch.
func updateFrom(r *relation, stage string) string {
	return fmt.Sprintf("UPDATE %s AS t SET %s\nFROM %s AS s\nWHERE %s AND s.%s > t.%s",
		r.ident(), assignments(r, "s"), stage, keyed(r, "t", "s"), quote(columnSeq), quote(columnSeq))
}

// assignments set all columns but the key's.
func assignments(r *relation, from string) string {
	var set []string
	for _, c := range r.columns {
		if !slices.Contains(r.key, c.name) {
			set = append(set, quote(c.name)+" = "+from+"."+quote(c.name))
		}
	}
	return strings.Join(set, ", ")
}

// Before and behind updateFrom.
const (
	byKeyOnly = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
	byAnyPlan = "SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_bitmapscan TO DEFAULT; SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT"
)

// cut shortens an ASCII name of our own.
func cut(name string, n int) string { return name[:min(len(name), n)] }
