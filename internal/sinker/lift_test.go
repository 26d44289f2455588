package sinker_test

import (
	"encoding/json"
	"maps"
	"math/big"
	"testing"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// TestWideningByItems: a column of items, which a sinker that did not know it has kept in extra, is filled from there, and so is the table of
// the items: then both are what they would be had the sinker known it. What is in another form, or does not fit, stays where it is (S6).
func TestWideningByItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "invoices")
	invoices := stream(t, "invoices")
	w.publish(
		version{stream: invoices, id: 1, row: row{"number": "one", "line_items": []row{
			{"id": int64(7), "kind": "Service", "description": `q"`, "quantity": big.NewRat(-5, 4), "taxed": true, "project_id": int64(5), "extra": `{"new": 1}`},
			{"kind": "Product"}, {}}, "extra": `{"other": 2}`}},
		version{stream: invoices, id: 2, row: row{"number": "two", "line_items": []row{}}},
		version{stream: invoices, id: 3, row: row{"number": "three"}})
	w.drain()
	before, items := w.table("harvest.invoices", "id"), w.table("harvest.invoice_line_items", "invoice_id, ordinal")
	// What an older sinker has made of them, and of two that no sinker of ours has written in this form.
	w.sql(`UPDATE harvest.invoices SET extra = coalesce(extra, '{}') || jsonb_build_object('line_items', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(e)), '[]') FROM jsonb_array_elements(line_items) e)) WHERE line_items IS NOT NULL;
INSERT INTO harvest.invoices (id, account_id, _seq, _loaded_at, extra) VALUES (4, 482913, 1, now(), '{"line_items": [{"id": 1, "project": {"id": 5}}]}'), (5, 482913, 1, now(), '{"line_items": [{"id": 1}, {"id": 1.5}]}'),
  (6, 482913, 1, now(), '{"line_items": [{"id": 1}, 2]}'), (7, 482913, 1, now(), '{"line_items": {"id": 1}}');
ALTER TABLE harvest.invoices DROP line_items; DROP TABLE harvest.invoice_line_items`)
	w.drain()
	rest := w.table("harvest.invoices", "id")
	for _, id := range []string{"4", "5", "6", "7"} {
		var kept struct {
			Items json.RawMessage `json:"line_items"`
			Extra struct {
				Items json.RawMessage `json:"line_items"`
			} `json:"extra"`
		}
		if err := json.Unmarshal([]byte(rest[id]), &kept); err != nil || string(kept.Items) != "null" || len(kept.Extra.Items) == 0 {
			t.Errorf("row %s became %s (%v)", id, rest[id], err)
		}
		delete(rest, id)
	}
	if !maps.Equal(rest, before) {
		t.Errorf("rows are %v, not %v", rest, before)
	}
	if got := w.table("harvest.invoice_line_items", "invoice_id, ordinal"); !maps.Equal(got, items) {
		t.Errorf("items are %v, not %v", got, items)
	}
	w.sql("DELETE FROM harvest.invoices WHERE id > 3")
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"invoices"}); ops.ExitCode(err) != ops.ExitOK {
		t.Error(err)
	}
}

// TestItemsOfOlderWriter: the same for rows that come now, from a writer that did not know the column. Beside a column that has a value extra
// keeps what it has: something in it did not fit (S6; P14).
func TestItemsOfOlderWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "invoices")
	invoices := stream(t, "invoices")
	older := edited(t, invoices, []string{"line_items", "number"})
	w.publish(version{stream: invoices, id: 1, writer: older, row: row{"extra": `{"line_items": [{"id": 7, "kind": "Service"}, {"id": 8}], "number": "one"}`}},
		version{stream: invoices, id: 2, writer: edited(t, invoices, []string{"number"}), row: row{"line_items": []row{{"kind": "x"}}, "extra": `{"line_items": [{"id": 9}]}`}})
	w.drain()
	if got := one[string](w, `SELECT string_agg(concat_ws(' ', number, jsonb_array_length(line_items), extra, (SELECT string_agg(concat_ws('/', ordinal, i.id, kind), ' ' ORDER BY ordinal)
FROM harvest.invoice_line_items i WHERE invoice_id = t.id)), '; ' ORDER BY id) FROM harvest.invoices t`); got != `one 2 1/7/Service 2/8; 1 {"line_items": [{"id": 9}]} 1/x` {
		t.Error(got)
	}
}

// TestWideningByNumbers: a column of numbers is filled from extra, whatever numbers a bigint takes (S6).
func TestWideningByNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "roles")
	roles := stream(t, "roles")
	older := edited(t, roles, []string{"user_ids"})
	for id, ids := range []string{"[1, 2]", "[]", "[9223372036854775807, -9223372036854775808]", "[9223372036854775808]", "[1.5]", `["1"]`, "[1, null]", "7", "[1e3]"} {
		w.publish(version{stream: roles, id: int64(id + 1), writer: older, row: row{"extra": `{"user_ids": ` + ids + `}`}})
	}
	w.drain()
	check := func(when string) {
		t.Helper()
		if got := one[string](w, `SELECT string_agg(concat_ws(' ', id, user_ids, extra -> 'user_ids'), '; ' ORDER BY id) FROM harvest.roles`); got !=
			`1 {1,2}; 2 {}; 3 {9223372036854775807,-9223372036854775808}; 4 [9223372036854775808]; 5 [1.5]; 6 ["1"]; 7 [1, null]; 8 7; 9 {1000}` {
			t.Errorf("%s: %s", when, got)
		}
	}
	check("an older writer's")
	w.sql(`UPDATE harvest.roles SET extra = jsonb_build_object('user_ids', user_ids) WHERE user_ids IS NOT NULL; ALTER TABLE harvest.roles DROP user_ids`)
	w.drain()
	check("widened")
}
