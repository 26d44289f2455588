package harvest_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"harveststream/pkg/harvest"
)

func quote(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// envelope is a page with some members replaced; "-" takes one out.
func envelope(replace map[string]string) string {
	members := []struct{ name, value string }{
		{"users", `[{"id":1},{"id":2}]`}, {"per_page", "2"}, {"total_pages", "3"}, {"total_entries", "5"},
		{"next_page", "2"}, {"previous_page", "null"}, {"page", "1"},
		{"links", `{"first":"f","next":"n","previous":null,"last":"l"}`},
	}
	var parts []string
	for _, m := range members {
		if value, ok := replace[m.name]; ok {
			m.value = value
		}
		if m.value != "-" {
			parts = append(parts, quote(m.name)+":"+m.value)
		}
	}
	if more, ok := replace["+"]; ok {
		parts = append(parts, more)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func read(body string) (harvest.Page, []string, error) {
	var rows []string
	page, err := harvest.ReadPage([]byte(body), "users", func(b []byte) (int, error) {
		n, err := harvest.Skip(b)
		rows = append(rows, string(b[:n]))
		return n, err
	})
	return page, rows, err
}

func TestReadPage(t *testing.T) {
	t.Parallel()
	got, rows, err := read(envelope(nil))
	want := harvest.Page{PerPage: 2, TotalPages: 3, TotalEntries: 5, Page: 1, Next: "n", Items: 2}
	if err != nil || got != want || strings.Join(rows, "") != `{"id":1}{"id":2}` {
		t.Errorf("%+v, %q, %v", got, rows, err)
	}
	for name, replace := range map[string]map[string]string{
		"empty list":       {"users": "[]", "total_entries": "0"},
		"last page":        {"next_page": "null", "links": `{"next":null}`},
		"inner cursor":     {"next_page": "null", "page": "null"},
		"no numbers":       {"next_page": "-", "previous_page": "-", "page": "-"},
		"members come new": {"+": `"took":{"ms":[1,{"a":null}]},"zone":"UTC","x":null`},
		"spaces":           {"+": "\"x\" :\t1 \r\n"},
	} {
		if _, _, err := read(envelope(replace)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadPageRefuses(t *testing.T) {
	t.Parallel()
	whole := envelope(nil)
	for body, want := range map[string]string{
		"":                       "is empty",
		"   ":                    "is empty",
		"null":                   "is null, not an object",
		"[]":                     "is an array",
		"[" + whole + "]":        "is an array",
		"true":                   "is a boolean",
		`"x"`:                    "is a string",
		"<html></html>":          "is not JSON",
		"\ufeff" + whole:         "byte order mark",
		whole + "x":              "goes on after its object",
		whole + whole:            "goes on after its object",
		whole + "\x00":           "goes on after its object",
		"{}":                     `has no "users"`,
		`{"users":[]`:            "unexpected EOF",
		"{'users':[]}":           "invalid character",
		`{"users":[],}`:          "invalid character",
		`{"users":NaN}`:          "invalid",
		whole[:len(whole)-1]:     "unexpected EOF",
		`{"USERS":[]}`:           `has the member "USERS" for "users"`,
		strings.Repeat("[", 1e5): "is an array",
		`{"x":` + strings.Repeat(`{"x":`, 100) + "1" + strings.Repeat("}", 101): "nested deeper than 64",
	} {
		refused(t, body, want)
	}
	for want, replace := range map[string]map[string]string{
		`has no "users"`:                          {"users": "-"},
		"users is an object, not an array":        {"users": "{}"},
		"users is null, not an array":             {"users": "null"},
		"users, row 1: the row is null":           {"users": `[{"id":1},null]`},
		"users, row 0: the row is a number":       {"users": `[1]`},
		"users, row 0: the row is an array":       {"users": `[[]]`},
		`has no "per_page"`:                       {"per_page": "-"},
		`has no "total_pages"`:                    {"total_pages": "-"},
		"per_page: -1 is not a count":             {"per_page": "-1"},
		"total_entries: -5 is not":                {"total_entries": "-5"},
		"total_entries: 5.0 is not":               {"total_entries": "5.0"},
		"total_entries: 5e0 is not":               {"total_entries": "5e0"},
		"total_entries: 99999999999999999999 is":  {"total_entries": "99999999999999999999"},
		"total_entries is a string, not a number": {"total_entries": `"5"`},
		"total_pages is null, not a number":       {"total_pages": "null"},
		"page is a string":                        {"page": `"1"`},
		"next_page is a boolean":                  {"next_page": "true"},
		`has no "links"`:                          {"links": "-"},
		"links is null":                           {"links": "null"},
		"links is a string":                       {"links": `"x"`},
		"links is an array":                       {"links": `[]`},
		`has no "links.next"`:                     {"links": `{"first":"f"}`},
		"links.next is a number":                  {"links": `{"next":2}`},
		`has the member "NEXT" for "next"`:        {"links": `{"next":null,"NEXT":"n"}`},
		"links.next is empty":                     {"links": `{"next":""}`},
		"names page 2 as the next, and no link":   {"links": `{"next":null}`},
		`duplicate object member name "users"`:    {"+": `"users":[]`},
		`duplicate object member name "page"`:     {"+": `"page":1`},
		`has the member "Links" for "links"`:      {"+": `"Links":{}`},
		`has the member "USERS" for "users"`:      {"+": `"USERS":{}`},
		`has a second list, "clients"`:            {"+": `"clients":[]`},
		`duplicate object member name "id"`:       {"users": `[{"id":1,"id":2}]`},
		`duplicate object member name "next"`:     {"links": `{"next":"a","next":null}`},
	} {
		refused(t, envelope(replace), want)
	}
}

func TestEscapedDuplicate(t *testing.T) {
	t.Parallel()
	refused(t, envelope(map[string]string{"+": `"\u0070age":1`}), `duplicate object member name "page"`)
}

func refused(t *testing.T, body, want string) {
	t.Helper()
	if _, _, err := read(body); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.80s: got %v, want %q", body, err, want)
	}
}

// TestCutPage: no proper prefix of a page is a page.
func TestCutPage(t *testing.T) {
	t.Parallel()
	for i := range len(page) {
		if _, _, err := read(page[:i]); err == nil {
			t.Errorf("accepted %d bytes of %d", i, len(page))
		}
	}
}

func TestItemErrors(t *testing.T) {
	t.Parallel()
	oops := errors.New("oops")
	for name, item := range map[string]harvest.Item{
		"own error":      func([]byte) (int, error) { return 0, oops },
		"reads none":     func([]byte) (int, error) { return 0, nil },
		"reads a part":   func([]byte) (int, error) { return 1, nil },
		"reads too much": func(b []byte) (int, error) { n, err := harvest.Skip(b); return n + 2, err },
	} {
		_, err := harvest.ReadPage([]byte(page), "users", item)
		if err == nil || name == "own error" && !errors.Is(err, oops) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadObject(t *testing.T) {
	t.Parallel()
	var got string
	take := func(b []byte) (int, error) {
		n, err := harvest.Skip(b)
		got = string(b[:n])
		return n, err
	}
	if err := harvest.ReadObject([]byte(" {\"id\":1}\n"), take); err != nil || got != `{"id":1}` {
		t.Errorf("%q, %v", got, err)
	}
	for _, body := range []string{"", "null", "[{}]", "{}{}", "{} x", "{", `{"a":1,"a":2}`, "\ufeff{}", "<p>"} {
		if err := harvest.ReadObject([]byte(body), take); err == nil {
			t.Errorf("accepted %q", body)
		}
	}
	if err := harvest.ReadObject([]byte("{}"), func([]byte) (int, error) { return 0, nil }); err == nil {
		t.Error("accepted an item that reads nothing")
	}
}

func FuzzReadPage(f *testing.F) {
	f.Add(page)
	f.Add(envelope(nil))
	f.Add(`{"users":[{"a":"\ud800\u0000` + "\xff" + `"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, rows, err := read(body)
		if err != nil {
			return
		}
		// The standard decoder, lax as it is, must see the same.
		var lax struct {
			Users        []json.RawMessage
			TotalEntries json.Number `json:"total_entries"`
			Links        struct{ Next *string }
		}
		if err := json.Unmarshal([]byte(body), &lax); err != nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		if len(lax.Users) != len(rows) || got.Items != len(rows) || lax.TotalEntries.String() != strconv.Itoa(got.TotalEntries) ||
			(lax.Links.Next == nil) != (got.Next == "") {
			t.Errorf("%q: %+v, standard decoder %+v", body, got, lax)
		}
	})
}
