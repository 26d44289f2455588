package e2e_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// documents are the texts that name files and rules.
var documents = []string{
	"README.md", "SECURITY.md", "CHANGELOG.md", "docs/DESIGN.md", "docs/BEHAVIOR.md", "docs/CONSUMERS.md", "docs/OPERATIONS.md",
	"docs/PERFORMANCE.md",
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// named is file:function as the documents write it, a method as file:type.method.
var named = regexp.MustCompile("`([a-zA-Z0-9_/.-]+\\.go):([A-Za-z0-9_.]+)`")

// What the documents name is there.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	files := map[string][]string{}
	for _, name := range documents {
		for _, m := range named.FindAllStringSubmatch(document(t, name), -1) {
			file, what := m[1], m[2]
			if _, read := files[file]; !read {
				files[file] = declared(t, file)
			}
			if !slices.Contains(files[file], what) {
				t.Errorf("%s: %s has no %s", name, file, what)
			}
		}
	}
	if len(files) < 40 {
		t.Errorf("the documents name %d files: the pattern does not find them", len(files))
	}
}

// declared are the names a file declares at its top: functions, methods as Type.method, types, constants, variables.
func declared(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(gotoken.NewFileSet(), filepath.Join(root, path), nil, 0)
	if err != nil {
		t.Errorf("%v", err)
		return nil
	}
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(d)+d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the type of a method, with a point; "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	return fmt.Sprint(typ) + "."
}

// The file map names files that are there, and every product file of the packages it lists file by file.
func TestFileMap(t *testing.T) {
	t.Parallel()
	_, rest, found := strings.Cut(document(t, "docs/DESIGN.md"), "\n## File map\n")
	table, _, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatal("docs/DESIGN.md has no file map")
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)/` \\|(.*)\\|$")
	file := regexp.MustCompile("`([a-z_]+\\.go)`")
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		var listed []string
		for _, f := range file.FindAllStringSubmatch(m[2], -1) {
			listed = append(listed, f[1])
		}
		there, err := filepath.Glob(filepath.Join(root, m[1], "*.go"))
		if err != nil || len(there) == 0 {
			t.Errorf("%s holds no Go files (%v)", m[1], err)
		}
		for i := range there {
			there[i] = filepath.Base(there[i])
		}
		for _, name := range listed {
			if !slices.Contains(there, name) {
				t.Errorf("the file map has %s/%s, which does not exist", m[1], name)
			}
		}
		for _, name := range there {
			if len(listed) > 0 && !strings.HasSuffix(name, "_test.go") && name != "doc.go" && !slices.Contains(listed, name) {
				t.Errorf("the file map lacks %s/%s", m[1], name)
			}
		}
	}
}

// Every rule is explained in docs/DESIGN.md and cited where the product upholds it.
func TestRulesAreCited(t *testing.T) {
	t.Parallel()
	var product strings.Builder
	walkGo(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, group := range file.Comments {
			product.WriteString(group.Text())
		}
	})
	design := document(t, "docs/DESIGN.md")
	for _, series := range []struct {
		letter string
		last   int
	}{{"P", 15}, {"S", 9}} {
		for n := 1; n <= series.last; n++ {
			rule := fmt.Sprintf("%s%d", series.letter, n)
			if !regexp.MustCompile(`\b` + rule + `\b`).MatchString(product.String()) {
				t.Errorf("no comment of the product cites %s", rule)
			}
			_, text, found := strings.Cut(design, "\n**"+rule+" ")
			text, _, _ = strings.Cut(text, "\n\n")
			if !found || !strings.Contains(text, "Upheld: ") || !strings.Contains(text, "Held: ") || !strings.Contains(text, "_test.go:") {
				t.Errorf("docs/DESIGN.md does not say where %s is upheld and which test holds it", rule)
			}
		}
	}
}

// Every module the code imports is among the dependencies of docs/DESIGN.md, with its reason.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(document(t, "docs/DESIGN.md"), "\n## Dependencies\n")
	table, _, _ := strings.Cut(rest, "\n## ")
	var explained []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		explained = append(explained, m[1])
	}
	used := map[string]bool{}
	walkGo(t, func(path string, file *ast.File) {
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			host, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(host, ".") {
				continue // the standard library's, or ours
			}
			found := false
			for _, module := range explained {
				if imported == module || strings.HasPrefix(imported, module+"/") {
					used[module], found = true, true
				}
			}
			if !found {
				t.Errorf("%s imports %s, which docs/DESIGN.md does not explain", path, imported)
			}
		}
	})
	for _, module := range explained {
		if !used[module] {
			t.Errorf("docs/DESIGN.md explains %s, which nothing imports", module)
		}
	}
}

// walkGo parses every Go file of the repository.
func walkGo(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		n++
		visit(path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 100 {
		t.Errorf("found %d Go files", n)
	}
}

// Links between the documents lead somewhere.
func TestLinksOfDocuments(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, name := range documents {
		for _, m := range link.FindAllStringSubmatch(document(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}
