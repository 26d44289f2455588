package e2e_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "harveststream/"

const deaths = "where test builds die; empty in a product"

// edges are the imports inside the module that are allowed, each with its reason (style: one way, four deep). What is
// not listed is an error; .golangci.yml says the same to editors.
var edges = map[string]map[string]string{
	"cmd/producer": {"internal/producer": "the program", "internal/ops": "its frame: signals, exit codes"},
	"cmd/sinker":   {"internal/sinker": "the program", "internal/ops": "its frame: signals, exit codes"},
	"cmd/quickstart": {
		"internal/producer": "runs it", "internal/sinker": "runs it", "internal/kafka": "configures both", "internal/ops": "its frame",
		"internal/pgserver": "its database", "pkg/harvest": "counts rows in a real account",
		"pkg/harvest/harvesttest": "the simulated account", "pkg/schema": "the catalogue",
	},
	"internal/producer": {
		"pkg/harvest": "reads", "pkg/schema": "encodes", "internal/kafka": "publishes", "internal/ops": "configuration, metrics, exit codes",
		"internal/faultpoint": deaths,
	},
	"internal/sinker": {
		"pkg/schema": "decodes", "internal/kafka": "configures and reads checkpoints", "internal/ops": "configuration, metrics, exit codes",
		"internal/faultpoint": deaths,
	},
	"internal/kafka":          {"internal/ops": "Secret: one type that is never printed", "internal/faultpoint": deaths},
	"pkg/schema":              {"schemas": "the files"},
	"pkg/harvest/harvesttest": {"pkg/schema": "serves what the catalogue says"},
}

// fences are the packages outside the module that only some of ours may import, in product code.
var fences = []struct {
	prefix, reason string
	allowed        []string
}{
	{"github.com/hamba/avro", "unmaintained, decoders with advisories: one file, encoding and parsing only (design §9)", []string{"pkg/schema"}},
	{"github.com/jackc/pgx", "SQL is the sinker's", []string{"internal/sinker", "internal/pgserver", "cmd/quickstart"}},
	{"github.com/lib/pq", "pgx is the driver", nil},
	{"github.com/twmb/franz-go/pkg/kfake", "a broker for tests and quickstart", []string{"cmd/quickstart"}},
	{"github.com/twmb/franz-go/pkg/sr/srfake", "a registry for tests and quickstart", []string{"cmd/quickstart"}},
	{"github.com/twmb/franz-go", "Kafka is behind internal", []string{"internal/kafka", "internal/producer", "internal/sinker", "internal/faultpoint", "cmd/quickstart"}},
	{"github.com/twmb/avro", "the second opinion in tests", nil},
	{"github.com/fergusstrange/embedded-postgres", "fetches a server for tests and quickstart", []string{"internal/pgserver"}},
	{"testing", "no test helper in a product", nil},
	{"net/http/httptest", "no test helper in a product", nil},
}

// neverLinked are what a service must not contain, however deep.
var neverLinked = map[string][]string{
	"cmd/producer": {
		"testing", "github.com/jackc/pgx/v5", "github.com/fergusstrange/embedded-postgres", "github.com/twmb/franz-go/pkg/kfake",
		module + "pkg/harvest/harvesttest", module + "internal/sinker", module + "internal/pgserver",
	},
	"cmd/sinker": {
		"testing", "github.com/fergusstrange/embedded-postgres", "github.com/twmb/franz-go/pkg/kfake",
		module + "pkg/harvest", module + "pkg/harvest/harvesttest", module + "internal/producer", module + "internal/pgserver",
	},
}

func TestImports(t *testing.T) {
	t.Parallel()
	imports := packages(t)
	if n := len(imports); n > 14 {
		t.Errorf("%d packages with product code, the design has at most 14: %v", n, slices.Sorted(maps.Keys(imports)))
	}
	for pkg, imported := range imports {
		for _, to := range imported {
			if own, ok := strings.CutPrefix(to, module); ok {
				if edges[pkg][own] == "" {
					t.Errorf("%s imports %s: not an allowed edge", pkg, own)
				}
				continue
			}
			for _, f := range fences {
				if to == f.prefix || strings.HasPrefix(to, f.prefix+"/") {
					if !slices.Contains(f.allowed, pkg) {
						t.Errorf("%s imports %s: %s", pkg, to, f.reason)
					}
					break // the narrower fence stands first
				}
			}
		}
		if chain := longest(imports, pkg); len(chain) > 4 {
			t.Errorf("imports %d deep: %s", len(chain), strings.Join(chain, " → "))
		}
	}
}

func TestServicesContainNoTestTools(t *testing.T) {
	t.Parallel()
	for program, never := range neverLinked {
		linked := strings.Fields(list(t, "-deps", "-f", "{{.ImportPath}}", "./"+program))
		for _, pkg := range never {
			if slices.Contains(linked, pkg) {
				t.Errorf("%s contains %s", program, pkg)
			}
		}
	}
}

// What is built without the tag has no way to die on command.
func TestProductsHaveNoFaultPoints(t *testing.T) {
	t.Parallel()
	if got := strings.TrimSpace(list(t, "-f", "{{.GoFiles}}", "./internal/faultpoint")); got != "[product.go]" {
		t.Errorf("internal/faultpoint is built from %s, want product.go alone", got)
	}
	for program := range neverLinked {
		path := filepath.Join(t.TempDir(), "program")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./"+program)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		binary, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"HARVESTSTREAM_FAULT", "kp12", "kp14"} {
			if bytes.Contains(binary, []byte(text)) {
				t.Errorf("%s contains %q", program, text)
			}
		}
	}
}

// The one file with the library whose decoders are not to be trusted.
func TestHambaIsInOneFile(t *testing.T) {
	t.Parallel()
	met := 0
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if !bytes.Contains(text, []byte(`"github.com/hamba/avro`)) {
			return err
		}
		if met++; filepath.ToSlash(path) != "../../pkg/schema/avro.go" {
			t.Errorf("%s imports hamba/avro; only pkg/schema/avro.go may", path)
		}
		return err
	})
	if err != nil || met == 0 {
		t.Fatalf("%d files import hamba/avro, %v", met, err)
	}
}

// packages are the module's product packages and what each imports.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	for line := range strings.Lines(list(t, "-f", `{{if .GoFiles}}{{.ImportPath}} {{join .Imports " "}}{{end}}`, "./...")) {
		if f := strings.Fields(line); len(f) > 0 {
			imports[strings.TrimPrefix(f[0], module)] = f[1:]
		}
	}
	if len(imports) < 5 {
		t.Fatalf("go list knows only %v", imports)
	}
	return imports
}

func list(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}

// longest is the longest chain of own packages that begins with pkg.
func longest(imports map[string][]string, pkg string) []string {
	var best []string
	for _, to := range imports[pkg] {
		if own, ok := strings.CutPrefix(to, module); ok {
			if chain := longest(imports, own); len(chain) > len(best) {
				best = chain
			}
		}
	}
	return append([]string{pkg}, best...)
}
