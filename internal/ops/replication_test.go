package ops_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"harveststream/internal/ops"
)

var catalogue = []string{"users", "projects", "time_entries", "invoices", "invoice_payments", "expenses", "expense_categories"}

func parentOf(stream string) string {
	if stream == "invoice_payments" {
		return "invoices"
	}
	return ""
}

func parse(t *testing.T, text string) (*ops.Replication, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return ops.ParseReplication(path, catalogue, parentOf)
}

func TestReplication(t *testing.T) {
	t.Parallel()
	got, err := parse(t, `
source: HARVEST   # ignored
target: MY_POSTGRES
defaults:
  mode: incremental
  object: harvest.{stream_name}
streams:
  projects:
  time_entries:
    primary_key: [id]
    update_key: updated_at
  invoice_payments:
    mode: full-refresh
    object: money.payments
  'expense*': {mode: full-refresh}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []ops.StreamRule{
		{Name: "projects", Mode: ops.Incremental, Schema: "harvest", Table: "projects"},
		{Name: "time_entries", Mode: ops.Incremental, Schema: "harvest", Table: "time_entries"},
		{Name: "invoices", Mode: ops.Incremental, Schema: "harvest", Table: "invoices"},
		{Name: "invoice_payments", Mode: ops.FullRefresh, Schema: "money", Table: "payments"},
		{Name: "expenses", Mode: ops.FullRefresh, Schema: "harvest", Table: "expenses"},
		{Name: "expense_categories", Mode: ops.FullRefresh, Schema: "harvest", Table: "expense_categories"},
	}
	if !slices.Equal(got.Streams, want) {
		t.Errorf("got  %+v\nwant %+v", got.Streams, want)
	}
}

func TestReplicationExactNameWins(t *testing.T) {
	t.Parallel()
	got, err := parse(t, "streams:\n  users: {mode: full-refresh}\n  '*':\n  time_*: {mode: full-refresh}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Streams {
		full := s.Name == "users" || s.Name == "time_entries"
		if (s.Mode == ops.FullRefresh) != full || s.Table != "" {
			t.Errorf("got %+v", s)
		}
	}
}

func TestReplicationRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	for text, want := range map[string]string{
		"":                                       ":1: names no streams",
		"# nothing\n":                            ":1: names no streams",
		"[]":                                     ":1: the file: should be a list of keys",
		"source: a":                              ":1: names no streams",
		"streams:\n":                             ":1: streams: should be a list of keys",
		"streams: {}\n":                          ":1: streams: selects none",
		"streams:\n  users:\nhooks: x\n":         `:3: unknown key "hooks"`,
		"streams:\n  users:\n    select: x":      `:3: unknown key "select"`,
		"streams:\n  users:\n  users:\n":         ":3: users: is there twice, first in line 2",
		"streams:\n  bogus:\n  users:":           `:2: "bogus" is no stream and matches none`,
		"streams:\n  users:\n  'x*':":            `:3: "x*" is no stream`,
		"streams:\n  users: 3":                   ":2: users: should be a list of keys",
		"streams:\n  users:\n    mode: snapshot": `:3: mode: "snapshot" is neither`,
		"streams:\n  users:\n    mode: [incremental]":                               ":3: mode: should be a word",
		"streams:\n  users:\n    primary_key: id":                                   ":3: primary_key: can only be [id]",
		"streams:\n  users:\n    primary_key: [id, account_id]":                     ":3: primary_key: can only be [id]",
		"streams:\n  users:\n    update_key: created_at":                            ":3: update_key: can only be updated_at",
		"streams:\n  users:\n    object: users":                                     `:3: object: "users" is not of the form`,
		"streams:\n  users:\n    object: a.b.c":                                     `is not of the form`,
		"streams:\n  users:\n    object: pg_catalog.users":                          `:3: object: "pg_catalog.users" is in a schema of PostgreSQL's own`,
		"streams:\n  users:\n    object: information_schema.users":                  `of PostgreSQL's own`,
		"streams:\n  users:\n    object: harvest._offsets":                          `begins with an underscore`,
		"streams:\n  users:\n    object: harvest." + long:                           `a name of 64 bytes`,
		"streams:\n  users:\n    object: harvest.{name}":                            `with other characters`,
		"streams:\n  users:\n    object: 'a.\"; drop table'":                        `with other characters`,
		"defaults:\n  object: a.b\nstreams:\n  users:\n  projects:":                 ":2: object: users and projects would share the table a.b",
		"streams:\n  invoice_payments:\n    object: a.b\n  invoices: {object: a.b}": "invoices and invoice_payments would share",
		"streams:\n  users: &x\n  projects: *x":                                     "anchors and aliases",
		"streams:\n  users:\n--- \nstreams:\n  users:":                              "more than one document",
		"streams:\n\tusers:":                                                        "replication.yaml: line 2",
	} {
		_, err := parse(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || ops.ExitCode(err) != ops.ExitConfig {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := ops.ParseReplication(filepath.Join(t.TempDir(), "none.yaml"), catalogue, parentOf); ops.ExitCode(err) != ops.ExitConfig {
		t.Errorf("missing file: %v", err)
	}
}

func TestReplicationTellsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parse(t, "bogus: 1\ndefaults:\n  mode: x\n  object: y\nstreams:\n  nothing:\n  users: {update_key: z}\n")
	for _, want := range []string{":1:", ":3:", ":4:", ":6:", ":7:"} {
		if err == nil || !strings.Contains(err.Error(), "replication.yaml"+want) {
			t.Errorf("no problem at %s in %v", want, err)
		}
	}
}

func FuzzReplication(f *testing.F) {
	f.Add("streams:\n  users:\n    object: a.b\n")
	f.Add("defaults: {mode: full-refresh}\nstreams: {'*': }\n")
	f.Add("a: &a [*a]\nstreams: {users: *a}")
	f.Add("? [x]\n: y")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(t, text)
		if err != nil {
			return
		}
		if len(got.Streams) == 0 {
			t.Errorf("%q selects nothing", text)
		}
		for _, s := range got.Streams {
			if !slices.Contains(catalogue, s.Name) || s.Mode != ops.Incremental && s.Mode != ops.FullRefresh ||
				(s.Schema == "") != (s.Table == "") {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}
