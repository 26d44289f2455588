package harvesttest_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// A mirror that is equal has no differences; each way to be wrong is told.
func TestDifferences(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	st, _ := schema.ByName("tasks") // its objects have no embedded ones: a row looks like the object
	var mirror [][]byte
	for _, o := range w.Truth(st.Name) {
		mirror = append(mirror, bytes.Replace(o.JSON, []byte(`{"id"`), []byte(`{"account_id":482913,"_seq":1,"id"`), 1))
	}
	if d := w.Differences(st, mirror, harvesttest.Everything); len(d) != 0 {
		t.Fatalf("an equal mirror differs: %q", d)
	}
	first := func(old, as string) [][]byte {
		other := slices.Clone(mirror)
		if other[0] = bytes.Replace(other[0], []byte(old), []byte(as), 1); bytes.Equal(other[0], mirror[0]) {
			t.Fatalf("%s is not in %s", old, mirror[0])
		}
		return other
	}
	id := w.IDs(st.Name)[0]
	for name, rows := range map[string][][]byte{
		"missing":  mirror[1:],
		"twice":    append(slices.Clone(mirror), mirror[0]),
		"invented": append(slices.Clone(mirror), []byte(`{"id":1,"account_id":482913}`)),
		"renamed":  first(`"name":"`, `"name":"x`),
		"null":     first(`"is_active":true`, `"is_active":null`),
		"false":    first(`"is_active":true`, `"is_active":false`),
		"later":    first(`"updated_at":"20`, `"updated_at":"21`),
		"account":  first(`"account_id":482913`, `"account_id":1`),
		"id":       first(fmt.Sprint(`"id":`, id), fmt.Sprint(`"id":1`, id)),
		"extra":    first(`{"account_id"`, `{"extra":{"new":1},"account_id"`),
	} {
		if d := w.Differences(st, rows, harvesttest.Everything); len(d) == 0 {
			t.Errorf("%s: no difference is told", name)
		}
	}
	if d := w.Differences(st, first(`{"account_id"`, `{"extra":{"new":1},"account_id"`), harvesttest.Compared); len(d) != 0 {
		t.Errorf("what rides along counts as a change: %q", d)
	}
}
