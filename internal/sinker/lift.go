package sinker

import (
	"fmt"
	"strings"

	"harveststream/pkg/schema"
)

// liftAll fills a new column from what extra kept of it so far, in all rows.
func liftAll(r *relation, c *column) []string {
	if sql := lift(r, c); sql != "" {
		return []string{sql}
	}
	return nil
}

// itemsOf fills a new column of items, and the table of its items.
func itemsOf(relations []*relation, r *relation, c *column) []string {
	for _, items := range relations {
		if items.owner == r && items.array == c.name {
			if sql := liftItems(r, c, items, ""); sql != "" {
				return []string{sql}
			}
		}
	}
	return nil
}

// lifts are the statements that do the same for the rows of an account ($1) by their ids ($2).
func (t *table) lifts() []string {
	only := func(r *relation) string {
		return fmt.Sprintf(" AND t.%s = $1 AND t.%s = ANY($2)", quote(schema.FieldAccount), quote(r.key[0]))
	}
	var list []string
	for _, r := range t.relations() {
		for i := range r.columns {
			if sql := lift(r, &r.columns[i]); sql != "" {
				list = append(list, sql+only(r))
			}
		}
	}
	for _, c := range t.children {
		if sql := liftItems(&t.relation, t.column(c.array), &c.relation, only(&t.relation)); sql != "" {
			list = append(list, sql)
		}
	}
	return list
}

// liftItems is the statement that moves an array of records out of extra into its column, and its items into their table (S6), where it has
// the form in which a sinker that did not know the column has put it there. Harvest's own form is left alone: the producer publishes such a
// row again. So is an array beside a column that is not null: a value in it did not fit (P14).
func liftItems(r *relation, c *column, items *relation, only string) string {
	var names, members, misfits, values []string
	for i := range items.columns {
		f := &items.columns[i]
		if f.kind == 0 {
			continue
		}
		at := "(e -> " + literal(f.name) + ")"
		value := "nullif(" + at + ", 'null')"
		if f.name != schema.FieldExtra {
			if value = liftExpression(f.kind, at); value == "" {
				return ""
			}
			misfits = append(misfits, fmt.Sprintf("coalesce(jsonb_typeof(%s), 'null') <> 'null' AND %s IS NULL", at, value))
		}
		names, members, values = append(names, f.name), append(members, literal(f.name)+", "+at), append(values, value)
	}
	array := "(t.extra -> " + literal(c.name) + ")"
	misfit := fmt.Sprintf("CASE WHEN jsonb_typeof(e) = 'object' THEN e - %s::text[] <> '{}' OR %s ELSE true END",
		literal("{"+strings.Join(names, ",")+"}"), strings.Join(misfits, " OR "))
	return fmt.Sprintf(`WITH lifted AS (
UPDATE %[1]s AS t SET %[2]s = coalesce((SELECT jsonb_agg(jsonb_build_object(%[3]s) ORDER BY n) FROM jsonb_array_elements(%[4]s) WITH ORDINALITY AS i (e, n)), '[]'),
extra = nullif(t.extra - %[5]s, '{}')
WHERE t.extra IS NOT NULL AND t.%[2]s IS NULL AND CASE WHEN jsonb_typeof(%[4]s) = 'array' THEN NOT EXISTS (SELECT FROM jsonb_array_elements(%[4]s) AS i (e) WHERE %[6]s) ELSE false END%[7]s
RETURNING t."id", t."account_id", t.%[2]s AS list)
INSERT INTO %[8]s (%[9]s, %[10]s) SELECT l."id", l."account_id", n, %[11]s FROM lifted AS l, jsonb_array_elements(l.list) WITH ORDINALITY AS i (e, n) ON CONFLICT DO NOTHING`,
		r.ident(), quote(c.name), strings.Join(members, ", "), array, literal(c.name), misfit, only,
		items.ident(), quoteList(items.key), quoteList(names), strings.Join(values, ", "))
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
		whole := "CASE WHEN jsonb_typeof(e) = 'number' THEN e::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 AND e::numeric = trunc(e::numeric) ELSE false END"
		return fmt.Sprintf("(CASE WHEN jsonb_typeof(%[1]s) = 'array' THEN CASE WHEN NOT EXISTS (SELECT FROM jsonb_array_elements(%[1]s) AS i (e) WHERE NOT %[2]s) THEN ARRAY(SELECT e::numeric::bigint FROM jsonb_array_elements(%[1]s) AS i (e)) END END)",
			v, whole)
	}
	return "" // arrays of records have tables of their own
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
