package sinker

import (
	"fmt"
	"strings"
)

// mergeStep is one statement of a rebuild or a verify.
type mergeStep struct {
	what  string
	sql   string
	args  []any
	count func(*difference) *int64 // where its rows are counted; nil: nowhere
}

func missingRows(d *difference) *int64     { return &d.missing }
func differentRows(d *difference) *int64   { return &d.different }
func superfluousRows(d *difference) *int64 { return &d.superfluous }

// same is the condition that two rows are equal in these columns.
func same(a, b string, columns []string) string {
	side := func(name string) string {
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = name + "." + quote(c)
		}
		return "(" + strings.Join(list, ", ") + ")"
	}
	return side(a) + " IS NOT DISTINCT FROM " + side(b)
}

// keyed is the condition that two rows have the same key.
func keyed(r *relation, a, b string) string {
	list := make([]string, len(r.key))
	for i, k := range r.key {
		list[i] = a + "." + quote(k) + " = " + b + "." + quote(k)
	}
	return strings.Join(list, " AND ")
}

// compared are the columns whose difference counts.
func compared(r *relation) []string {
	var list []string
	for _, c := range r.columns {
		if c.name != columnLoaded {
			list = append(list, c.name)
		}
	}
	return list
}

// superfluous is the condition that a live row t is not in the shadow. A row that is marked as deleted and no longer on the topic is as
// it should be.
func (sh *shadow) superfluous() string {
	gone := fmt.Sprintf("NOT EXISTS (SELECT FROM %s AS s WHERE %s)", sh.copy.ident(), keyed(&sh.live.relation, "s", "t"))
	if sh.live.soft {
		gone += " AND t." + quote(columnDeleted) + " IS NULL"
	}
	return gone
}

// merge are the statements that make the live tables equal to the shadow (design §7).
func (sh *shadow) merge() []mergeStep {
	live, shadow := sh.live.ident(), sh.copy.ident()
	deleted := quote(sh.cfg.Schema, tableDeleted)
	keep := `ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at" WHERE excluded."seq" > d."seq"`
	steps := []mergeStep{{what: "counting rows", sql: "ANALYZE " + shadow}}
	if sh.anew {
		steps = append(steps, sh.forgetRanks()...)
	} else {
		steps = append(steps, mergeStep{what: "remembering rows the topic no longer has", args: []any{sh.live.stream.Name, sh.at},
			sql: fmt.Sprintf(`INSERT INTO %s AS d ("stream", "id", "account_id", "seq", "deleted_at") SELECT $1::text, t."id", t."account_id", t."_seq", $2::timestamptz FROM %s AS t WHERE %s %s`,
				deleted, live, sh.superfluous(), keep)})
	}
	steps = append(steps, mergeStep{what: "remembering deletes",
		sql: fmt.Sprintf(`INSERT INTO %s AS d ("stream", "id", "account_id", "seq", "deleted_at") SELECT "stream", "id", "account_id", "seq", "deleted_at" FROM %s %s`,
			deleted, quote("pg_temp", tableDeleted), keep)})
	if sh.live.soft {
		steps = append(steps, mergeStep{what: "marking rows the topic no longer has", count: superfluousRows, args: []any{sh.at},
			sql: fmt.Sprintf("UPDATE %s AS t SET %s = $1::timestamptz, %s = $1::timestamptz WHERE %s", live, quote(columnDeleted), quote(columnLoaded), sh.superfluous())})
	} else {
		steps = append(steps, mergeStep{what: "deleting rows the topic no longer has", count: superfluousRows,
			sql: fmt.Sprintf("DELETE FROM %s AS t WHERE %s", live, sh.superfluous())})
	}
	steps = append(steps, mergeStep{what: "writing rows", count: missingRows, sql: sh.overwrite()})
	for i, c := range sh.live.children {
		steps = append(steps, sh.mergeChild(&c.relation, &sh.copy.children[i].relation, c.parent)...)
	}
	return steps
}

// forgetRanks lets go of what an earlier topic of the name has left: in the one that is there its numbers may begin again, and records
// of it would lose against them for ever (S3).
func (sh *shadow) forgetRanks() []mergeStep {
	steps := []mergeStep{{what: "forgetting deletes of an earlier topic", args: []any{sh.live.stream.Name},
		sql: fmt.Sprintf(`DELETE FROM %s WHERE "stream" = $1`, quote(sh.cfg.Schema, tableDeleted))}}
	if sh.live.soft {
		steps = append(steps, mergeStep{what: "forgetting ranks of an earlier topic",
			sql: fmt.Sprintf("UPDATE %s AS t SET %s = 0 WHERE NOT EXISTS (SELECT FROM %s AS s WHERE %s)",
				sh.live.ident(), quote(columnSeq), sh.copy.ident(), keyed(&sh.live.relation, "s", "t"))})
	}
	return steps
}

// overwrite writes the rows that differ, whatever their rank: the topic is right.
func (sh *shadow) overwrite() string {
	r := &sh.live.relation
	columns := quoteList(r.columnNames())
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s AS s WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s AND %s) ON CONFLICT (%s) DO UPDATE SET %s",
		r.ident(), columns, columns, sh.copy.ident(), r.ident(), keyed(r, "t", "s"), same("t", "s", compared(r)), quoteList(r.key), assignments(r, "excluded"))
}

// mergeChild makes a child table equal. Items of rows that only soft-delete mode keeps stay with them.
func (sh *shadow) mergeChild(live, shadow *relation, parent string) []mergeStep {
	return []mergeStep{
		{what: "deleting items", sql: fmt.Sprintf("DELETE FROM %s AS t WHERE %s", live.ident(), sh.strayItems(live, shadow, parent))},
		{what: "writing items", sql: fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s AS s WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)",
			live.ident(), quoteList(live.columnNames()), quoteList(live.columnNames()), shadow.ident(), live.ident(), keyed(live, "t", "s"))},
	}
}

func (sh *shadow) strayItems(live, shadow *relation, parent string) string {
	stray := fmt.Sprintf("NOT EXISTS (SELECT FROM %s AS s WHERE %s AND %s)", shadow.ident(), keyed(live, "s", "t"), same("s", "t", live.columnNames()))
	if sh.live.soft {
		stray += fmt.Sprintf(` AND EXISTS (SELECT FROM %s AS p WHERE p."id" = t.%s AND p."account_id" = t."account_id")`, sh.copy.ident(), quote(parent))
	}
	return stray
}

// compare are the queries that count what differs.
func (sh *shadow) compare() []mergeStep {
	live, shadow, r := sh.live.ident(), sh.copy.ident(), &sh.live.relation
	steps := []mergeStep{
		{what: "counting superfluous rows", count: superfluousRows, sql: fmt.Sprintf("SELECT count(*) FROM %s AS t WHERE %s", live, sh.superfluous())},
		{what: "counting missing rows", count: missingRows,
			sql: fmt.Sprintf("SELECT count(*) FROM %s AS s WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)", shadow, live, keyed(r, "t", "s"))},
		{what: "counting different rows", count: differentRows,
			sql: fmt.Sprintf("SELECT count(*) FROM %s AS s JOIN %s AS t ON %s WHERE NOT (%s)", shadow, live, keyed(r, "t", "s"), same("t", "s", compared(r)))},
	}
	for i, c := range sh.live.children {
		copied := &sh.copy.children[i].relation
		steps = append(steps,
			mergeStep{what: "counting stray items", count: superfluousRows,
				sql: fmt.Sprintf("SELECT count(*) FROM %s AS t WHERE %s", c.ident(), sh.strayItems(&c.relation, copied, c.parent))},
			mergeStep{what: "counting missing items", count: missingRows,
				sql: fmt.Sprintf("SELECT count(*) FROM %s AS s WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)", copied.ident(), c.ident(), keyed(&c.relation, "t", "s"))})
	}
	return steps
}
