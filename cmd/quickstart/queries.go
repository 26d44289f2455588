package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// query is one worth trying.
type query struct {
	about, stream string
	sql           string // with the stream's table for %s
}

var queries = []query{
	{"Hours and billable amounts of the last 30 days, by client", "time_entries",
		`SELECT client_name, round(sum(hours), 1) AS hours,
       round(sum(hours * billable_rate) FILTER (WHERE billable), 2) AS amount
  FROM %s WHERE spent_date > current_date - 30
 GROUP BY client_name ORDER BY hours DESC LIMIT 10`},
	{"What the open invoices bill, line by line (line_items is a table of its own, too)", "invoices",
		`SELECT i.number, i.client_name, i.due_date, item->>'description' AS item,
       (item->>'amount')::numeric AS amount, i.currency
  FROM %s i, jsonb_array_elements(i.line_items) AS item
 WHERE i.state = 'open' ORDER BY i.due_date, i.number LIMIT 10`},
	{"The latest changes, and how long each took from Harvest to here (run it again and again)", "time_entries",
		`SELECT id, user_name, project_name, hours, is_running, updated_at, _loaded_at - updated_at AS took
  FROM %s ORDER BY _seq DESC LIMIT 10`},
}

// plain is a name that needs no quotes.
var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// on is the query of a table, quoted only where it must be.
func (q query) on(table pgx.Identifier) string {
	name := table.Sanitize()
	if plain.MatchString(table[0]) && plain.MatchString(table[1]) {
		name = table[0] + "." + table[1]
	}
	return fmt.Sprintf(q.sql, name)
}

// worthTrying is what to do with the tables once they are full.
func worthTrying(set *settings, connect string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe first read is complete. Look at the tables with\n\n  %s\n", connect)
	for _, q := range queries {
		if table, ok := set.tables[q.stream]; ok {
			fmt.Fprintf(&b, "\n-- %s\n%s;\n", q.about, q.on(table))
		}
	}
	b.WriteString("\nCtrl-C ends everything.\n\n")
	return b.String()
}
