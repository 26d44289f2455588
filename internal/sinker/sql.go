package sinker

import (
	"fmt"
	"strings"

	"harveststream/pkg/schema"
)

// statements are the texts of one table's SQL, made once.
type statements struct {
	createStage string
	stage       relation
	merge       string // from the stage into the table, by rank (S3)
	probe       string // account, ids → id, _seq
	probeLocked string
	ranks       string // stream, account, ids → id, seq, deleted_at: what was deleted
	remember    string // stream, ids, accounts, seqs, moments: into _deleted
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
		probe: fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s = $1 AND %s = ANY($2)",
			quote(schema.FieldID), quote(columnSeq), t.ident(), quote(schema.FieldAccount), quote(schema.FieldID)),
		ranks: fmt.Sprintf(`SELECT "id", "seq", "deleted_at" FROM %s WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3)`, ranks),
		remember: fmt.Sprintf(`INSERT INTO %s AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq"`, ranks),
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

// merge puts staged rows over the table's where their rank is higher (S3). It goes by the key whatever the planner believes, which
// UPDATE … FROM and MERGE do not (recipes: a sequential scan for each batch).
func merge(r *relation, stage string) string {
	var set []string
	for _, c := range r.columns {
		if c.name != schema.FieldID && c.name != schema.FieldAccount {
			set = append(set, quote(c.name)+" = excluded."+quote(c.name))
		}
	}
	columns := quoteList(r.columnNames())
	return fmt.Sprintf("INSERT INTO %s AS t (%s)\nSELECT %s FROM %s\nON CONFLICT (%s) DO UPDATE SET %s\nWHERE excluded.%s > t.%s",
		r.ident(), columns, columns, stage, quoteList(r.key), strings.Join(set, ", "), quote(columnSeq), quote(columnSeq))
}

// cut shortens an ASCII name of our own.
func cut(name string, n int) string { return name[:min(len(name), n)] }
