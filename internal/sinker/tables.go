package sinker

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"harveststream/pkg/schema"
)

// Meta columns of every table (design §6).
const (
	columnSeq      = schema.FieldSeq
	columnObserved = schema.FieldObserved
	columnLoaded   = "_loaded_at"
	columnDeleted  = "_deleted_at"
	columnOrdinal  = "ordinal"
)

// maxName is what PostgreSQL keeps of a name; it cuts longer ones in silence.
const maxName = 63

// column is one column the sinker writes.
type column struct {
	name    string
	typ     string // PostgreSQL's name of the type
	notNull bool
	doc     string
	kind    schema.Kind // of the field it comes from; 0: a column of ours
	from    []string    // where Harvest's object has the value, and so extra while there is no column; nil: a column of ours
}

// relation is a table in PostgreSQL as the sinker wants it.
type relation struct {
	schema, name string
	doc          string
	columns      []column
	key          []string

	topic  string    // whose records it holds; "": the sinker's own, or nobody has said
	stream string    // the topic's
	owner  *relation // the table whose rows' items it holds,
	array  string    // in this column; nil: it is no child table
}

// table is where a stream goes.
type table struct {
	relation
	stream   *schema.Stream
	soft     bool // SINK_DELETE_MODE: mark rows instead of deleting them
	children []*child
}

// child is the table of the items of one array, replaced as a set with their parent's row.
type child struct {
	relation
	field  string // of the stream's record
	parent string // column with the parent's id
}

// newTable derives a stream's table, and those of its arrays of records. An empty name is the stream's in namespace (the design's names);
// a given one also begins the names of the child tables.
func newTable(st *schema.Stream, namespace, name string, soft bool) (*table, error) {
	one := snake(st.Schema.Name)
	prefix := name
	if name == "" {
		name, prefix = st.Name, one
	}
	t := &table{stream: st, soft: soft, relation: relation{
		schema: namespace, name: name, doc: st.Schema.Doc, key: []string{schema.FieldID, schema.FieldAccount},
	}}
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		t.columns = append(t.columns, columnOf(f))
		if f.Kind == schema.Items {
			c := newChild(f, namespace, prefix, one+"_id")
			c.owner, c.array = &t.relation, f.Name
			t.children = append(t.children, c)
		}
	}
	t.columns = append(t.columns, column{name: columnLoaded, typ: "timestamptz", notNull: true, doc: "When the sinker last wrote the row, by its clock."})
	if soft {
		t.columns = append(t.columns, column{name: columnDeleted, typ: "timestamptz", doc: "When the object was found gone; null while it exists."})
	}
	return t, t.check()
}

func newChild(f *schema.Field, namespace, prefix, parent string) *child {
	c := &child{field: f.Name, parent: parent, relation: relation{
		schema: namespace, name: prefix + "_" + f.Name, doc: f.Items.Doc, key: []string{parent, schema.FieldAccount, columnOrdinal},
		columns: []column{
			{name: parent, typ: "bigint", notNull: true, doc: "Id of the object it is part of."},
			{name: schema.FieldAccount, typ: "bigint", notNull: true, doc: "Id of the Harvest account."},
			{name: columnOrdinal, typ: "bigint", notNull: true, doc: "Place in the list, from 1."},
		},
	}}
	for i := range f.Items.Fields {
		c.columns = append(c.columns, columnOf(&f.Items.Fields[i]))
	}
	return c
}

// columnOf is the column of a field. extra is JSON, whatever Avro calls it; _seq is what rows are compared by.
func columnOf(f *schema.Field) column {
	c := column{name: f.Name, typ: typeOf(f.Kind), notNull: f.Required, doc: f.Doc, kind: f.Kind, from: f.From}
	switch f.Name {
	case schema.FieldExtra:
		c.typ, c.from = "jsonb", nil
	case columnSeq:
		c.notNull, c.from = true, nil
	case columnObserved:
		c.from = nil
	}
	return c
}

func typeOf(k schema.Kind) string {
	switch k {
	case schema.Long:
		return "bigint"
	case schema.Bool:
		return "boolean"
	case schema.String:
		return "text"
	case schema.Decimal:
		return "numeric"
	case schema.Date:
		return "date"
	case schema.Timestamp:
		return "timestamptz"
	case schema.Strings:
		return "text[]"
	case schema.Longs:
		return "bigint[]"
	case schema.Items:
		return "jsonb"
	}
	panic(fmt.Sprintf("sinker: no PostgreSQL type for kind %d", k))
}

// check refuses what PostgreSQL would cut or take for one.
func (t *table) check() error {
	seen := map[string]bool{}
	for _, r := range t.relations() {
		if len(r.name) > maxName {
			return fmt.Errorf("stream %s: table name %q is longer than %d bytes", t.stream.Name, r.name, maxName)
		}
		if seen[r.name] {
			return fmt.Errorf("stream %s: two tables are called %q", t.stream.Name, r.name)
		}
		seen[r.name] = true
		names := map[string]bool{}
		for _, c := range r.columns {
			if len(c.name) > maxName || names[c.name] {
				return fmt.Errorf("stream %s: column name %q of table %s is too long or stands twice", t.stream.Name, c.name, r.name)
			}
			names[c.name] = true
		}
	}
	return nil
}

// relations are the stream's table and its child tables.
func (t *table) relations() []*relation {
	rs := []*relation{&t.relation}
	for _, c := range t.children {
		rs = append(rs, &c.relation)
	}
	return rs
}

// column returns the column of that name, nil where there is none.
func (r *relation) column(name string) *column {
	for i := range r.columns {
		if r.columns[i].name == name {
			return &r.columns[i]
		}
	}
	return nil
}

func (r *relation) columnNames() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return names
}

// ident is the relation's quoted name.
func (r *relation) ident() string { return quote(r.schema, r.name) }

// createTable is the statement that makes the relation.
func (r *relation) createTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", r.ident())
	for _, c := range r.columns {
		fmt.Fprintf(&b, "  %s,\n", c.definition())
	}
	fmt.Fprintf(&b, "  PRIMARY KEY (%s)\n)", quoteList(r.key))
	return b.String()
}

func (c *column) definition() string {
	if c.notNull {
		return quote(c.name) + " " + c.typ + " NOT NULL"
	}
	return quote(c.name) + " " + c.typ
}

// comments are the statements that say in the database what the schema says.
func (r *relation) comments() []string {
	list := []string{r.comment()}
	for i := range r.columns {
		list = append(list, r.commentOn(&r.columns[i]))
	}
	return list
}

func (r *relation) comment() string {
	return fmt.Sprintf("COMMENT ON TABLE %s IS %s", r.ident(), literal(r.doc))
}

func (r *relation) commentOn(c *column) string {
	return fmt.Sprintf("COMMENT ON COLUMN %s.%s IS %s", r.ident(), quote(c.name), literal(c.doc))
}

// quote is a quoted, dotted identifier.
func quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// quoteList is a comma-separated list of quoted names.
func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// literal is a string constant, whatever standard_conforming_strings says.
func literal(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}

// snake turns a record's name into the singular of a table's: InvoiceMessage, invoice_message.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// housekeeping are the sinker's own tables in its schema (design §6).
func housekeeping(namespace string) []*relation {
	text := func(name, doc string) column { return column{name: name, typ: "text", notNull: true, doc: doc} }
	long := func(name, doc string) column { return column{name: name, typ: "bigint", notNull: true, doc: doc} }
	moment := func(name, doc string) column { return column{name: name, typ: "timestamptz", notNull: true, doc: doc} }
	null := func(c column) column { c.notNull = false; return c }
	list := []*relation{
		{name: tableOffsets, doc: "How far each partition is applied; moved in the same transaction as the rows.", key: []string{"topic", "partition"}, columns: []column{
			text("topic", "Topic."), {name: "partition", typ: "integer", notNull: true, doc: "Partition."},
			text("topic_id", "Kafka's id of the topic the offset belongs to."),
			long("next", "Offset of the next record to apply."), long("fence", "Raised by whoever takes the partition over."),
			moment("at_end", "When the partition was last read to its end."), moment("updated_at", "When its reader last gave a sign of life."),
			{name: "seqs", typ: "jsonb", notNull: true, doc: "By account: the highest seq applied, and when its record was written."},
			{name: "relation", typ: "text", doc: "The table it is applied to."},
		}},
		{name: tableStreams, doc: "Up to which moment each table is complete.", key: []string{"account_id", "stream"}, columns: []column{
			long("account_id", "Id of the Harvest account."), text("stream", "Stream."),
			null(moment("complete_to", "Every change of the account up to this moment is in the table; null during the first read.")),
			long("gaps", "Records that were lost between producer and sinker; sinker rebuild answers it."),
			moment("updated_at", "When the row was last written."),
		}},
		{name: tableDeleted, doc: "What was deleted, so that a replay does not bring it back.", key: []string{"stream", "id", "account_id"}, columns: []column{
			text("stream", "Stream."), long("id", "Id of the object."), long("account_id", "Id of the Harvest account."),
			long("seq", "Number of the delete among the records of its account, stream and partition."),
			moment("deleted_at", "When the object was found gone."),
		}},
		{name: tableSchemas, doc: "The writers' schemas met so far, by their ids in the registry.", key: []string{"id"}, columns: []column{
			{name: "id", typ: "integer", notNull: true, doc: "Id."}, text("schema", "Text."),
		}},
		{name: tableDeadLetters, doc: "Records that could not be applied.", key: []string{"id"}, columns: []column{
			{name: "id", typ: "bigint GENERATED BY DEFAULT AS IDENTITY", notNull: true, doc: "Number."},
			text("topic", "Topic."), {name: "partition", typ: "integer", notNull: true, doc: "Partition."}, long("offset", "Offset."),
			{name: "schema_id", typ: "integer", doc: "Id of the writer's schema; null where the record names none."},
			{name: "key", typ: "bytea", doc: "Key as it stands on the topic."}, {name: "value", typ: "bytea", doc: "Value as it stands on the topic."},
			text("reason", "Why it could not be applied."), moment("at", "When it was set aside."),
			{name: "headers", typ: "jsonb", doc: "The record's headers, as text; a delete's number is in one of them. Null where an earlier version set it aside."},
			{name: "topic_id", typ: "text", doc: "Kafka's id of the topic. Null where an earlier version set it aside."},
		}},
		{name: tableTarget, doc: "This schema's own id, part of the name of its consumer group.", key: []string{"one"}, columns: []column{
			{name: "one", typ: "boolean", notNull: true, doc: "True: there is one row."}, text("id", "Id."),
		}},
	}
	for _, r := range list {
		r.schema = namespace
	}
	return list
}

// Names of the housekeeping tables.
const (
	tableOffsets     = "_offsets"
	tableStreams     = "_streams"
	tableDeleted     = "_deleted"
	tableSchemas     = "_schemas"
	tableDeadLetters = "_dead_letters"
	tableTarget      = "_target"
)
