package schema_test

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/schema"
	"harveststream/schemas"
)

// TestCatalogue walks the streams without a list of its own (design §3, §4).
func TestCatalogue(t *testing.T) {
	t.Parallel()
	records := map[string]string{}
	for _, st := range schema.All() {
		if st.Path == "" || (st.List == "") != (st.Read == schema.Single) || (st.Parent == "") != (st.Read != schema.Children) {
			t.Errorf("%s: %+v", st.Name, st)
		}
		for _, s := range append(items(st.Schema), st.Schema) {
			if other, ok := records[s.Name]; ok {
				t.Errorf("%s: record %s is also one of %s", st.Name, s.Name, other)
			}
			records[s.Name] = st.Name
		}
		company, _ := schema.ByName("company")
		if st.Module != "" && company.Schema.Field(st.Module) < 0 {
			t.Errorf("%s: company has no field %s", st.Name, st.Module)
		}
		for _, name := range braces(st.Get) {
			if st.Schema.Field(name) < 0 {
				t.Errorf("%s: no field %s for %s", st.Name, name, st.Get)
			}
		}
	}
	if n := len(schema.All()); n != 21 {
		t.Errorf("%d streams", n)
	}
}

func items(s *schema.Schema) (all []*schema.Schema) {
	for i := range s.Fields {
		if s.Fields[i].Items != nil {
			all = append(all, s.Fields[i].Items)
		}
	}
	return all
}

func braces(path string) (names []string) {
	for {
		_, rest, ok := strings.Cut(path, "{")
		if !ok {
			return names
		}
		name, rest, _ := strings.Cut(rest, "}")
		names, path = append(names, name), rest
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, want := range []schema.Stream{
		{Name: "clients", Path: "clients", List: "clients", Get: "clients/{id}"},
		{Name: "roles", Path: "roles", List: "roles", Get: "roles/{id}", Read: schema.Whole},
		{Name: "company", Path: "company", Read: schema.Single},
		{Name: "time_entries", Path: "time_entries", List: "time_entries", Get: "time_entries/{id}", Dates: "spent_date", Owner: "project_id", OwnerStream: "projects"},
		{Name: "estimates", Path: "estimates", List: "estimates", Get: "estimates/{id}", Dates: "issue_date", Owner: "client_id", OwnerStream: "clients", Module: "estimate_feature"},
		{Name: "task_assignments", Path: "task_assignments", List: "task_assignments", Get: "projects/{project_id}/task_assignments/{id}", Owner: "project_id", OwnerStream: "projects"},
		{Name: "invoice_messages", Path: "invoices/{id}/messages", List: "invoice_messages", Read: schema.Children, Parent: "invoices", ParentID: "invoice_id",
			Owner: "invoice_id", OwnerStream: "invoices", Module: "invoice_feature"},
		{Name: "user_cost_rates", Path: "users/{id}/cost_rates", List: "cost_rates", Get: "users/{user_id}/cost_rates/{id}", Read: schema.Children, Parent: "users", ParentID: "user_id",
			Owner: "user_id", OwnerStream: "users"},
	} {
		got := *stream(t, want.Name)
		got.Schema = nil
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// TestFlags holds which fields are not compared and which grow with a timer (design §4, P8).
func TestFlags(t *testing.T) {
	t.Parallel()
	var ride, timers []string
	for _, st := range schema.All() {
		for i := range st.Schema.Fields {
			f := &st.Schema.Fields[i]
			if n := len(st.Schema.Fields); !f.Compare && i < n-3 {
				ride = append(ride, st.Name+"."+f.Name)
			}
			if f.Timer {
				timers = append(timers, st.Name+"."+f.Name)
			}
		}
		for _, s := range items(st.Schema) {
			for i := range s.Fields {
				if f := &s.Fields[i]; f.Compare == (f.Name == schema.FieldExtra) {
					t.Errorf("%s.%s: compare is %v", s.Name, f.Name, f.Compare)
				}
			}
		}
	}
	slices.Sort(ride)
	golden(t, "not-compared.txt", []byte(strings.Join(ride, "\n")+"\n"))
	if want := []string{"time_entries.hours", "time_entries.rounded_hours"}; !slices.Equal(timers, want) {
		t.Errorf("timers %v", timers)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ patterns, want string }{
		{"tasks,clients", "clients,tasks"},
		{"*_rates", "users,user_billable_rates,user_cost_rates"},
		{"invoice_*,-invoice_item_categories", "invoices,invoice_messages,invoice_payments"},
		{" estimates , estimate_messages ", "estimates,estimate_messages"},
		{"invoices,-invoices,roles", "roles"},
		{"-*,roles", "roles"},
	} {
		got, err := schema.Select(strings.Split(c.patterns, ","))
		if err != nil || names(got) != c.want {
			t.Errorf("%s: %s, %v", c.patterns, names(got), err)
		}
	}
	if all, err := schema.Select([]string{"*"}); err != nil || len(all) != len(schema.All()) {
		t.Errorf("*: %d, %v", len(all), err)
	}
	if most, err := schema.Select([]string{"-*_rates"}); err != nil || len(most) != len(schema.All())-2 {
		t.Errorf("-*_rates: %d, %v", len(most), err)
	}
	for _, patterns := range []string{"", "task", "tasks,x*", "-x", "tasks,-tasks", "Tasks", "tasks,", "[", "-", "tasks,users, tasks"} {
		if got, err := schema.Select(strings.Split(patterns, ",")); err == nil {
			t.Errorf("%q: %s", patterns, names(got))
		}
	}
	if _, err := schema.Select(nil); err == nil {
		t.Error("nothing is selected by nothing")
	}
}

func names(streams []*schema.Stream) string {
	var all []string
	for _, st := range streams {
		all = append(all, st.Name)
	}
	return strings.Join(all, ",")
}

const widget = `{"type":"record","name":"Widget","namespace":"harvest.v2","doc":"A widget.","fields":[
	{"name":"id","type":"long","doc":"Id."},{"name":"account_id","type":"long","doc":"Account."},
	{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}],"default":null,"from":"offer.price","doc":"Money."},
	{"name":"parts","type":["null",{"type":"array","items":{"type":"record","name":"WidgetPart","fields":[
		{"name":"name","type":["null","string"],"default":null,"doc":"Name."},{"name":"extra","type":["null","string"],"default":null,"compare":false,"doc":"Extra."}]}}],"default":null,"doc":"Parts."},
	{"name":"updated_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"doc":"Changed."},
	{"name":"extra","type":["null","string"],"default":null,"compare":false,"doc":"Extra."},
	{"name":"_seq","type":["null","long"],"default":null,"compare":false,"doc":"Number."},
	{"name":"_observed_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"compare":false,"doc":"Read."}]}`

// TestAnotherStream adds a 22nd stream: one file and one line.
func TestAnotherStream(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"widgets.avsc": {Data: []byte(widget)}}
	streams, err := schema.Load(files, []schema.Stream{{Name: "widgets"}})
	if err != nil {
		t.Fatal(err)
	}
	st := streams[0]
	if st.Path != "widgets" || st.Get != "widgets/{id}" {
		t.Errorf("%+v", st)
	}
	rec, _ := decode(t, st, `{"parts":[{"name":"a"}],"offer":{"price":1.5,"currency":"EUR"},"id":4,"updated_at":"1970-01-01T00:00:01Z"}`)
	var back schema.Record
	if err := st.Schema.ReadRecord(st, published(rec), &back); err != nil {
		t.Fatal(err)
	}
	sameRecord(t, back, rec)
	text, err := schema.JSON(st.Schema, published(rec))
	const want = `{"id":4,"account_id":482913,"price":1.5,"parts":[{"name":"a","extra":null}],"updated_at":"1970-01-01T00:00:01Z",` +
		`"extra":{"offer":{"currency":"EUR"}},"_seq":17,"_observed_at":"2026-03-02T11:13:20.123Z"}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	load := func(line schema.Stream, edits ...string) error {
		text := strings.NewReplacer(edits...).Replace(widget)
		if len(edits) > 0 && text == widget {
			t.Fatalf("%q changes nothing", edits)
		}
		_, err := schema.Load(fstest.MapFS{"widgets.avsc": {Data: []byte(text)}}, []schema.Stream{line})
		return err
	}
	ok := schema.Stream{Name: "widgets"}
	if err := load(ok); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"no file":              load(schema.Stream{Name: "gadgets"}),
		"unknown parent":       load(schema.Stream{Name: "widgets", Parent: "shops"}),
		"no parent's id":       load(schema.Stream{Name: "widgets", Parent: "widgets"}),
		"unknown owner":        load(schema.Stream{Name: "widgets", Owner: "client_id"}),
		"unknown date":         load(schema.Stream{Name: "widgets", Dates: "spent_date"}),
		"date of a wrong kind": load(schema.Stream{Name: "widgets", Dates: "price"}),
		"no JSON":              load(ok, `"name":"Widget"`, `name`),
		"id not first":         load(ok, `"name":"id"`, `"name":"ident"`),
		"meta not last":        load(ok, `"name":"_seq"`, `"name":"_number"`),
		"extra compared":       load(ok, `"compare":false,`, ``),
		"null second":          load(ok, `["null","string"]`, `["string","null"]`, `"default":null,`, ``),
		"required":             load(ok, `"name":"name","type":["null","string"],"default":null`, `"name":"name","type":"string"`),
		"no doc":               load(ok, `"doc":"Money."`, `"doc":""`),
		"same place":           load(ok, `"from":"offer.price"`, `"from":"updated_at"`),
		"inside another":       load(ok, `"from":"offer.price"`, `"from":"updated_at.price"`),
		"around another":       load(ok, `"name":"updated_at"`, `"name":"offer"`),
		"updated_at a text":    load(ok, `{"name":"updated_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]`, `{"name":"updated_at","type":["null","string"]`),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	files := fstest.MapFS{"widgets.avsc": {Data: []byte(widget)}, "orphans.avsc": {Data: []byte(widget)}}
	if _, err := schema.Load(files, []schema.Stream{ok}); err == nil {
		t.Error("a file without line is accepted")
	}
	if _, err := schema.Load(fstest.MapFS{"widgets.avsc": {Data: []byte(widget)}}, []schema.Stream{ok, ok}); err == nil {
		t.Error("a stream twice is accepted")
	}
}

// TestFiles holds the form of the schema files: one line per field, every one of them of some stream.
func TestFiles(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(schemas.FS, "*")
	if err != nil || len(files) != len(schema.All()) {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, st := range schema.All() {
		text, err := fs.ReadFile(schemas.FS, st.Name+".avsc")
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines < len(st.Schema.Fields) || !bytes.HasSuffix(text, []byte("}\n")) {
			t.Errorf("%s: %d lines", st.Name, lines)
		}
		compact := jsontext.Value(text)
		if err := compact.Compact(); err != nil || st.Schema.Text() != string(compact) {
			t.Errorf("%s: the registered text is not the file's, %v", st.Name, err)
		}
		again, err := schema.ParseSchema(st.Schema.Text())
		if err != nil || again.Text() != st.Schema.Text() {
			t.Errorf("%s: parsed again it is another text, %v", st.Name, err)
		}
	}
}
