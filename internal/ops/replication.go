package ops

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mode is how the replication file wants a stream read.
type Mode string

// The modes there are. FullRefresh: every pass is a sweep.
const (
	Incremental Mode = "incremental"
	FullRefresh Mode = "full-refresh"
)

// Replication is what a replication file asks for.
type Replication struct {
	Streams []StreamRule // in the catalogue's order, parents that were brought along included
}

// StreamRule is one selected stream.
type StreamRule struct {
	Name          string
	Mode          Mode
	Schema, Table string // from object; both empty where the file names none
}

const maxReplication = 1 << 20 // bytes

// ParseReplication reads a replication file. names is the catalogue, in order; parent gives the stream a child stream
// brings along, "" for none. An exact name wins over patterns, a later pattern over an earlier one. Every problem is
// told with its line, in one *ConfigError.
func ParseReplication(file string, names []string, parent func(string) string) (*Replication, error) {
	text, err := readReplication(file)
	if err != nil {
		return nil, &ConfigError{Problems: []string{fmt.Sprintf("REPLICATION_FILE: %q %v", file, err)}}
	}
	p := replicationParser{file: path.Base(file), names: names, parent: parent}
	replication := p.parse(text)
	if len(p.problems) > 0 {
		return nil, &ConfigError{Problems: p.problems}
	}
	return replication, nil
}

func readReplication(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReplication+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	if len(text) > maxReplication {
		return nil, fmt.Errorf("is larger than %d bytes", maxReplication)
	}
	return text, nil
}

// replicationParser walks the YAML's nodes, which know their lines.
type replicationParser struct {
	file     string
	names    []string
	parent   func(string) string
	problems []string
}

func (p *replicationParser) problem(line int, format string, args ...any) {
	text := fmt.Sprintf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...))
	if !slices.Contains(p.problems, text) { // what stands in defaults is met once a stream
		p.problems = append(p.problems, text)
	}
}

// rule is what one entry says, or the defaults where it is silent.
type rule struct {
	mode   Mode
	object *yaml.Node // nil: none
}

func (p *replicationParser) parse(text []byte) *Replication {
	var document yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		p.problem(1, "names no streams")
		return nil
	} else if err != nil {
		p.problems = append(p.problems, fmt.Sprintf("%s: %s", p.file, strings.TrimPrefix(err.Error(), "yaml: ")))
		return nil
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.problem(1, "holds more than one document")
	}
	var streams *yaml.Node
	defaults := rule{mode: Incremental}
	p.each(document.Content[0], "the file", func(key, value *yaml.Node) {
		switch key.Value {
		case "source", "target": // of other tools' files; says nothing here
			p.scalar(key, value)
		case "defaults":
			defaults = p.rule(value, key, defaults)
		case "streams":
			streams = value
		default:
			p.problem(key.Line, "unknown key %q; there are source, target, defaults, streams", key.Value)
		}
	})
	if streams == nil {
		p.problem(1, "names no streams")
		return nil
	}
	return p.tables(p.selection(streams, defaults))
}

// selection is each selected stream's rule, by name.
func (p *replicationParser) selection(streams *yaml.Node, defaults rule) map[string]rule {
	selected, exact := map[string]rule{}, map[string]bool{}
	p.each(streams, "streams", func(key, value *yaml.Node) {
		r := p.rule(value, key, defaults)
		pattern := strings.ContainsAny(key.Value, "*?[")
		var matches int
		for _, name := range p.names {
			if ok, _ := path.Match(key.Value, name); !ok {
				continue
			}
			matches++
			if !exact[name] || !pattern {
				selected[name], exact[name] = r, !pattern
			}
		}
		if matches == 0 {
			p.problem(key.Line, "%q is no stream and matches none", key.Value)
		}
	})
	if len(selected) == 0 {
		p.problem(streams.Line, "streams: selects none")
	}
	for _, name := range p.names {
		if _, ok := selected[name]; !ok {
			continue
		}
		for above := p.parent(name); above != ""; above = p.parent(above) {
			if _, ok := selected[above]; !ok {
				selected[above] = defaults
			}
		}
	}
	return selected
}

// rule reads mode, object and what must be as it is; what is silent stays as in base.
func (p *replicationParser) rule(node, key *yaml.Node, base rule) rule {
	if node.Tag == "!!null" {
		return base
	}
	p.each(node, key.Value, func(key, value *yaml.Node) {
		switch key.Value {
		case "mode":
			mode := Mode(p.scalar(key, value))
			if mode != Incremental && mode != FullRefresh && mode != "" {
				p.problem(value.Line, "mode: %q is neither %s nor %s", mode, Incremental, FullRefresh)
			}
			base.mode = mode
		case "object":
			if p.scalar(key, value) != "" {
				base.object = value
			}
		case "primary_key":
			if value.Kind != yaml.SequenceNode || len(value.Content) != 1 ||
				value.Content[0].Kind != yaml.ScalarNode || value.Content[0].Value != "id" {
				p.problem(value.Line, "primary_key: can only be [id]")
			}
		case "update_key":
			if text := p.scalar(key, value); text != "updated_at" && text != "" {
				p.problem(value.Line, "update_key: can only be updated_at, not %q", text)
			}
		default:
			p.problem(key.Line, "unknown key %q; there are mode, object, primary_key, update_key", key.Value)
		}
	})
	return base
}

// each calls fn for the entries of a mapping, which have plain and different keys.
func (p *replicationParser) each(node *yaml.Node, what string, fn func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		p.problem(node.Line, "%s: should be a list of keys with values", what)
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			p.problem(key.Line, "a key should be a word")
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			p.problem(value.Line, "%s: anchors and aliases are not understood", key.Value)
		case twice:
			p.problem(key.Line, "%s: is there twice, first in line %d", key.Value, first)
		default:
			lines[key.Value] = key.Line
			fn(key, value)
		}
	}
}

// scalar returns a single word's text; "" after a problem.
func (p *replicationParser) scalar(key, value *yaml.Node) string {
	if value.Kind != yaml.ScalarNode || value.Tag != "!!str" || value.Value == "" {
		p.problem(value.Line, "%s: should be a word", key.Value)
		return ""
	}
	return value.Value
}

// tables turns rules into names of tables, each stream's own.
func (p *replicationParser) tables(selected map[string]rule) *Replication {
	replication := &Replication{}
	owners := map[string]string{}
	for _, name := range p.names {
		r, ok := selected[name]
		if !ok {
			continue
		}
		s := StreamRule{Name: name, Mode: r.mode}
		if r.object != nil {
			object := strings.ReplaceAll(r.object.Value, "{stream_name}", name)
			var err error
			if s.Schema, s.Table, err = splitObject(object); err != nil {
				p.problem(r.object.Line, "object: %q %v", object, err)
			} else if owner := owners[object]; owner != "" {
				p.problem(r.object.Line, "object: %s and %s would share the table %s", owner, name, object)
			}
			owners[object] = name
		}
		replication.Streams = append(replication.Streams, s)
	}
	return replication
}

const maxIdentifier = 63 // bytes; PostgreSQL cuts longer ones silently

// splitObject reads schema.table. Names are letters, digits and underscores: others would work quoted, and trip every
// hand-written query.
func splitObject(object string) (schema, table string, err error) {
	schema, table, found := strings.Cut(object, ".")
	switch {
	case !found || strings.Contains(table, "."):
		return "", "", errors.New("is not of the form schema.table")
	case schema == "information_schema" || strings.HasPrefix(schema, "pg_"):
		return "", "", errors.New("is in a schema of PostgreSQL's own")
	case strings.HasPrefix(table, "_"):
		return "", "", errors.New("begins with an underscore, as only housekeeping tables do")
	}
	for _, name := range []string{schema, table} {
		if len(name) > maxIdentifier {
			return "", "", fmt.Errorf("has a name of %d bytes, PostgreSQL takes %d", len(name), maxIdentifier)
		}
		if !isIdentifier(name) {
			return "", "", errors.New("has a name with other characters than letters, digits and underscores")
		}
	}
	return schema, table, nil
}

func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
