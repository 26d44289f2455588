package harvesttest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// What a request without this or that gets, word for word (harvest-api 1.4).
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	for _, c := range []struct {
		name, method, path string
		edit               func(*http.Request)
		status             int
		contentType, body  string
	}{
		{"user agent", "GET", "clients", func(r *http.Request) { r.Header.Del("User-Agent") }, 400, "application/json; charset=utf-8", `{"message":"User-Agent header is required."}`},
		{"token", "GET", "clients", func(r *http.Request) { r.Header.Set("Authorization", "Bearer other") }, 401, "application/json",
			`{"error":"invalid_token","error_description":"The access token provided is expired, revoked, malformed or invalid for other reasons."}`},
		{"account", "GET", "company", func(r *http.Request) { r.Header.Set("Harvest-Account-Id", "1") }, 404, "application/json; charset=UTF-8", `{"status":404,"error":"Not Found"}`},
		{"row", "GET", "clients/1", nil, 404, "application/json; charset=UTF-8", `{"status":404,"error":"Not Found"}`},
		{"per_page", "GET", "clients?per_page=2001", nil, 422, "application/json; charset=utf-8", `{"message":"per_page must be between 1 and 2000."}`},
		{"guard", "DELETE", fmt.Sprintf("clients/%d", w.IDs("clients")[0]), nil, 422, "application/json; charset=utf-8",
			`{"message":"This client is not removable. It still has projects and/or invoices."}`},
		{"no such row below", "GET", "invoices/1/messages", nil, 404, "application/json; charset=UTF-8", `{"status":404,"error":"Not Found"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			r := w.send(c.method, c.path, "", edit)
			same(t, "status", r.status, c.status)
			same(t, "body", r.body, c.body)
			same(t, "content type", r.header.Get("Content-Type"), c.contentType)
			same(t, "challenge", strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`), c.status == 401)
			same(t, "hint", r.header.Get("Hint") != "", c.status == 422)
		})
	}
}

func TestUnknownRoutesAreHTML(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	for _, path := range []string{"v2/clients", "nothing", "clients/", "clients/x", "roles/1/2/3/4", "invoices/" + fmt.Sprint(w.IDs("invoices")[0]) + "/messages/1"} {
		r := w.send("GET", path, "")
		same(t, path, r.status, 404)
		same(t, path+" content type", r.header.Get("Content-Type"), "text/html; charset=UTF-8")
	}
}

// The alias, the query-string credentials, the identity endpoint, and a real socket.
func TestOverASocket(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{Gzip: true})
	srv := httptest.NewServer(w)
	defer srv.Close()
	get := func(path string) (*http.Response, envelope) {
		r, _ := http.NewRequest("GET", srv.URL+path, nil)
		resp, err := srv.Client().Do(r)
		w.must(err)
		defer resp.Body.Close()
		var raw json.RawMessage
		w.must(json.NewDecoder(resp.Body).Decode(&raw))
		return resp, w.envelope(string(raw))
	}
	resp, e := get("/api/v2/clients?access_token=test-token&account_id=482913&per_page=2")
	same(t, "status", resp.StatusCode, 200)
	same(t, "rows", len(e.rows), 2)
	same(t, "unpacked", resp.Uncompressed, true)
	same(t, "link", strings.HasPrefix(*e.Links["next"], srv.URL+"/v2/clients?cursor="), true)
	same(t, "no credentials in links", strings.Contains(*e.Links["next"], "token"), false)
	same(t, "date", resp.Header.Get("Date"), w.clock.now().Format(http.TimeFormat))
	remove := w.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoNoDate})
	resp, _ = get("/api/v2/clients?access_token=test-token&account_id=482913")
	same(t, "dates", len(resp.Header["Date"]), 0)
	same(t, "struck", remove(), 1)
	r := w.send("GET", "accounts", "", func(r *http.Request) { r.Header.Del("Harvest-Account-Id") })
	same(t, "accounts", strings.Contains(r.body, `{"id":482913,"name":"Account","product":"harvest"}`), true)
}

func TestEmptyEnvelope(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	r := w.send("GET", "time_entries?user_id=5", "")
	want := `{"time_entries":[],"per_page":2000,"total_pages":1,"total_entries":0,"next_page":null,"previous_page":null,"page":1,` +
		`"links":{"first":"https://api.harvestapp.com/v2/time_entries?page=1&per_page=2000&ref=first&user_id=5","next":null,"previous":null,` +
		`"last":"https://api.harvestapp.com/v2/time_entries?page=1&per_page=2000&ref=last&user_id=5"}}`
	same(t, "body", r.body, want)
}

// An inner page of a cursor walk shows no numbers; its cursor is base64 of a key (harvest-api 1.6).
func TestCursorEnvelope(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	first := w.list("tasks?per_page=2&is_active=true")
	same(t, "page", *first.Page, 1)
	same(t, "next page", *first.Next, 2)
	q := queryOf(t, first.Links["next"])
	same(t, "ref", q.Get("ref"), "next_cursor")
	same(t, "filter", q.Get("is_active"), "true")
	raw, err := base64.StdEncoding.DecodeString(q.Get("cursor"))
	w.must(err)
	same(t, "cursor", string(raw), fmt.Sprintf(`{"after":{"id":%d}}`, id(first.rows[1])))
	inner := w.list(*first.Links["next"] + "&page=1") // cursor beats page
	same(t, "row", id(inner.rows[0]) < id(first.rows[1]), true)
	same(t, "numbers", inner.Page == nil && inner.Next == nil && inner.Previous == nil, true)
	last := w.list(*inner.Links["next"])
	same(t, "last page", *last.Page, 3)
	same(t, "last previous", *last.Previous, 2)
	same(t, "end", last.Links["next"] == nil, true)
	same(t, "total", last.Total, 5)
	back := w.list(*last.Links["previous"])
	same(t, "back", id(back.rows[0]), id(inner.rows[0]))
}

func TestDefaultsOfPages(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	same(t, "invoices", w.list("invoices").PerPage, 100)
	same(t, "clients", w.list("clients").PerPage, 2000)
	e := w.list("time_entries?per_page=30&page=2")
	same(t, "page", *e.Page, 2)
	same(t, "next", *e.Next, 3)
	same(t, "previous", queryOf(t, e.Links["previous"]).Get("ref"), "previous")
	same(t, "last", queryOf(t, e.Links["last"]).Get("page"), fmt.Sprint(e.TotalPages))
	beyond := w.list("time_entries?per_page=30&page=999")
	same(t, "beyond", len(beyond.rows), 0)
	same(t, "beyond next", beyond.Links["next"] == nil, true)
	same(t, "above 2^31", id(e.rows[0]) > 1<<31, true)
}

// Every stream of the catalogue is served where the catalogue says, with its fields, and equals the truth; a stream that
// was never heard of too.
func TestEveryStreamOfTheCatalogue(t *testing.T) {
	t.Parallel()
	streams := append(schema.All(), unheardOf(t))
	w := setup(t, harvesttest.Options{Extra: streams[len(streams)-1:]})
	same(t, "streams", len(w.Streams()), len(streams))
	for _, st := range streams {
		t.Run(st.Name, func(t *testing.T) {
			truth := w.Truth(st.Name)
			if len(truth) == 0 {
				t.Fatal("no rows")
			}
			shown := map[int64]string{}
			switch st.Read {
			case schema.Single:
				shown[482913] = w.send("GET", st.Path, "").body
			case schema.Children:
				for _, parent := range w.IDs(st.Parent) {
					for _, o := range w.rawWalk(t, strings.ReplaceAll(st.Path, "{id}", fmt.Sprint(parent))+"?per_page=7", st.List) {
						shown[o.id] = o.text
					}
				}
			default:
				for _, o := range w.rawWalk(t, st.Path+"?per_page=7", st.List) {
					shown[o.id] = o.text
				}
			}
			same(t, "rows", len(shown), len(truth))
			for _, o := range truth {
				if shown[o.ID] != string(o.JSON) {
					t.Fatalf("%d: shown %s, truth %s", o.ID, shown[o.ID], o.JSON)
				}
				w.everyField(t, st, o)
			}
			w.getByID(t, st, truth[len(truth)/2])
		})
	}
}

// everyField holds that an object has every field of the schema, and none that the schema has not.
func (w *world) everyField(t *testing.T, st *schema.Stream, o harvesttest.Object) {
	t.Helper()
	got := decode(t, o.JSON)
	known := map[string]bool{}
	for _, f := range st.Schema.Fields {
		top := f.Name
		if len(f.From) > 0 {
			top = f.From[0]
		}
		known[top] = true
		_, ok := got[top]
		optional := f.Name == "account_id" || f.Name == st.ParentID || f.Name == "extra" || f.Name[0] == '_' || st.Name == "company" ||
			f.Name == "permissions_claims" || f.Name == "saml_exempt" || f.Name == "payment_options" || f.Name == "recurring_invoice_id"
		if !ok && !optional {
			t.Fatalf("%d has no %s: %s", o.ID, top, o.JSON)
		}
	}
	for name := range got {
		if !known[name] {
			t.Fatalf("%s is not in the schema", name)
		}
	}
}

func (w *world) getByID(t *testing.T, st *schema.Stream, o harvesttest.Object) {
	t.Helper()
	if st.Get == "" {
		return
	}
	path := strings.ReplaceAll(st.Get, "{id}", fmt.Sprint(o.ID))
	path = strings.ReplaceAll(path, "{"+st.ParentID+"}", fmt.Sprint(o.ParentID))
	if project, ok := decode(t, o.JSON)["project"].(object); ok {
		path = strings.ReplaceAll(path, "{project_id}", fmt.Sprint(id(project)))
	}
	same(t, path, w.send("GET", path, "").body, string(o.JSON))
}

type raw struct {
	id   int64
	text string
}

// rawWalk reads a list to its end and keeps the objects' bytes.
func (w *world) rawWalk(t *testing.T, path, list string) []raw {
	t.Helper()
	var rows []raw
	for path != "" {
		var all map[string]json.RawMessage
		body := w.send("GET", path, "").body
		if err := json.Unmarshal([]byte(body), &all); err != nil || all[list] == nil {
			t.Fatalf("%s: no %s in %.300s", path, list, body)
		}
		var objects []json.RawMessage
		w.must(json.Unmarshal(all[list], &objects))
		for _, o := range objects {
			rows = append(rows, raw{id(decode(t, o)), string(o)})
		}
		path = ""
		if next := w.envelope(body).Links["next"]; next != nil {
			path = *next
		}
	}
	return rows
}

// unheardOf is a stream of another age of the API.
func unheardOf(t *testing.T) *schema.Stream {
	t.Helper()
	s, err := schema.ParseSchema(`{"type":"record","name":"Bond","namespace":"harvest.v2","fields":[
		{"name":"id","type":"long","doc":"d"},{"name":"account_id","type":"long","doc":"d"},
		{"name":"name","type":["null","string"],"default":null,"doc":"d"},
		{"name":"client_id","type":["null","long"],"default":null,"doc":"d","from":"client.id"},
		{"name":"client_name","type":["null","string"],"default":null,"doc":"d","from":"client.name"},
		{"name":"updated_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"doc":"d"},
		{"name":"extra","type":["null","string"],"default":null,"doc":"d","compare":false},
		{"name":"_seq","type":["null","long"],"default":null,"doc":"d","compare":false},
		{"name":"_observed_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"doc":"d","compare":false}]}`)
	if err != nil {
		t.Fatal(err)
	}
	return &schema.Stream{Name: "bonds", Path: "bonds", List: "bonds", Get: "bonds/{id}", Schema: s}
}

// Writing over HTTP: created with Location, changed, deleted without trace (harvest-api 1.1, §5.14).
func TestWrites(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{DeleteBody: true})
	r := w.send("POST", "clients", `{"name":"New","currency":"EUR","nonsense":1}`)
	same(t, "created", r.status, 201)
	client := id(decode(t, []byte(r.body)))
	same(t, "location", r.header.Get("Location"), fmt.Sprintf("/api/v2/clients/%d", client))
	w.clock.pass(time.Minute)
	path := fmt.Sprintf("clients/%d", client)
	r = w.send("PATCH", path, `{"name":"Newer"}`)
	same(t, "name", decode(t, []byte(r.body))["name"].(string), "Newer")
	same(t, "updated", decode(t, []byte(r.body))["updated_at"].(string), w.clock.stamp())
	r = w.send("DELETE", path, "")
	same(t, "deleted", r.status, 200)
	same(t, "body", id(decode(t, []byte(r.body))), client)
	same(t, "gone", w.send("GET", path, "").status, 404)
	same(t, "bad json", w.send("POST", "clients", `{`).status, 400)
	same(t, "must exist", w.send("POST", "projects", `{"client_id":1}`).status, 422)
}

func TestNumberStyles(t *testing.T) {
	t.Parallel()
	for style, want := range map[harvesttest.Numbers][2]bool{harvesttest.Points: {true, false}, harvesttest.Bare: {false, true}, harvesttest.Mixed: {true, true}} {
		w := setup(t, harvesttest.Options{Numbers: style})
		body := w.send("GET", "user_assignments", "").body + w.send("GET", "projects", "").body
		same(t, "5.0", strings.Contains(body, `"over_budget_notification_percentage":80.0,`), want[0])
		same(t, "5", strings.Contains(body, `"over_budget_notification_percentage":80,`), want[1])
	}
}
