package e2e_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
)

var update = flag.Bool("update", false, "write the README's tables of variables")

// The README's tables of variables are those of the configuration structs.
func TestReadmeVariables(t *testing.T) {
	t.Parallel()
	const path = "../../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for marker, table := range map[string]string{
		"<!-- producer variables -->\n": ops.Markdown(ops.Variables[producer.Config]()),
		"<!-- sinker variables -->\n":   ops.Markdown(ops.Variables[sinker.Config]()),
	} {
		before, rest, begins := strings.Cut(want, marker)
		_, after, ends := strings.Cut(rest, "<!-- end -->\n")
		if !begins || !ends {
			t.Fatalf("README.md has no table between %q and <!-- end -->", marker)
		}
		want = before + marker + table + "<!-- end -->\n" + after
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("README.md does not show the variables as they are: go test ./internal/e2e -run TestReadmeVariables -update")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
