package schema_test

import (
	"strings"
	"testing"

	"harveststream/pkg/schema"
)

// TestText holds that an object's text is known again where it begins, and nothing else is taken for it.
func TestText(t *testing.T) {
	t.Parallel()
	st := stream(t, "tasks")
	object := `{"id":31,"name":"Programming"}`
	rec, _ := decode(t, st, " "+object+" , ")
	for b, want := range map[string]int{
		object:                            len(object),
		object + `,{"id":32}]`:            len(object),
		object[:len(object)-1]:            0,
		"":                                0,
		`{"id":31,"name":"Designing"}xxx`: 0,
		" " + object:                      0,
	} {
		if got := rec.Text.Begins([]byte(b)); got != want {
			t.Errorf("%q: %d, want %d", b, got, want)
		}
	}
	for _, odd := range []string{`{"id":31,"new":1}`, `{"id":31,"name":5}`, "{\"id\":31,\"name\":\"\xff\"}", `{"id":31,"name":"` + strings.Repeat("x", 65_536) + `"}`} {
		if rec, _ := decode(t, st, odd); rec.Text != (schema.Text{}) {
			t.Errorf("%.40s has a text", odd)
		}
	}
	if (schema.Text{}).Begins([]byte(object)) != 0 {
		t.Error("no text is taken for one")
	}
}

func TestLeadingID(t *testing.T) {
	t.Parallel()
	for b, want := range map[string]int64{
		`{"id":31,"name":"x"}`: 31, `{"id":31}`: 31, `{"id":31`: 31, `{"id":`: 0, "": 0, `{"id":"31"}`: 0, `{"id":-1}`: 0, `{"name":"x","id":31}`: 0, `{ "id":31}`: 0,
		`{"id":123456789012345678}`: 123456789012345678, `{"id":1234567890123456789}`: 0,
	} {
		if got := schema.LeadingID([]byte(b)); got != want {
			t.Errorf("%s: %d, want %d", b, got, want)
		}
	}
}
