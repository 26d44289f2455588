package sinker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// writers are the writers' schemas met so far (S6): kept in _schemas, so that a registry that is away stops nothing that is known, and
// one that was restored wrongly is noticed.
type writers struct {
	namespace string
	db        *pool
	registry  schema.Registry

	asking sync.Mutex // held while the registry or the database is asked: one asks, the others find it done
	mu     sync.Mutex // held for the maps alone: those who apply need them with a connection in hand
	known  map[int]*writerSchema
	plans  map[planKey]*plan
}

type writerSchema struct {
	text    string
	schema  *schema.Schema
	err     error // the text is none of ours
	checked bool  // the registry was asked in this process
}

type planKey struct {
	stream string
	id     int
}

func newWriters(namespace string, db *pool, registry schema.Registry) *writers {
	return &writers{namespace: namespace, db: db, registry: registry, known: map[int]*writerSchema{}, plans: map[planKey]*plan{}}
}

// load reads _schemas.
func (w *writers) load(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT "id", "schema" FROM `+quote(w.namespace, tableSchemas))
	if err != nil {
		return fmt.Errorf("reading %s: %w", tableSchemas, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var id int
	var text string
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		w.known[id] = newWriterSchema(text)
		return nil
	})
	return err
}

func newWriterSchema(text string) *writerSchema {
	s, err := schema.ParseSchema(text)
	return &writerSchema{text: text, schema: s, err: err}
}

// errRecord marks an error that is a record's fault (S5).
var errRecord = errors.New("")

// plan returns how records of a writer's schema become rows of a table. The error is the record's (errRecord), the topic's (stopError),
// or passes (the registry is away).
func (w *writers) plan(ctx context.Context, t *table, id int) (*plan, error) {
	if p := w.made(t.stream.Name, id); p != nil {
		return p, nil
	}
	w.asking.Lock()
	defer w.asking.Unlock()
	ws, err := w.resolve(ctx, t.stream.Name, id)
	if err != nil {
		return nil, err
	}
	if ws.err != nil {
		return nil, &stopError{t.stream.Name, ops.ExitConfig, fmt.Errorf("schema id %d: %w", id, ws.err)}
	}
	if ws.schema.Name != t.stream.Schema.Name {
		return nil, fmt.Errorf("schema id %d is of %s, not of %s%w", id, ws.schema.Name, t.stream.Schema.Name, errRecord)
	}
	p, err := newPlan(t, ws.schema)
	if err != nil {
		return nil, &stopError{t.stream.Name, ops.ExitConfig, fmt.Errorf("schema id %d: %w", id, err)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans[planKey{t.stream.Name, id}] = p
	return p, nil
}

// made is the plan that was compiled before; nil where none was.
func (w *writers) made(stream string, id int) *plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plans[planKey{stream, id}]
}

// resolve finds the text of an id: in _schemas, else in the registry. The registry is asked once per id and process either way; one
// that is away does not stop what is known.
func (w *writers) resolve(ctx context.Context, stream string, id int) (*writerSchema, error) {
	w.mu.Lock()
	ws := w.known[id]
	w.mu.Unlock()
	if ws != nil && ws.checked {
		return ws, nil
	}
	limit := 10 * time.Second
	if ws != nil {
		limit = 2 * time.Second
	}
	ask, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := w.registry.Schema(ask, id)
	switch {
	case err != nil && ws != nil:
		ws.checked = ctx.Err() == nil
		return ws, nil
	case schema.IsUnknownID(err):
		return nil, fmt.Errorf("schema id %d is unknown to the registry%w", id, errRecord)
	case errors.Is(err, kafka.ErrNotAvro):
		return nil, &stopError{stream, ops.ExitConfig, err}
	case denied(err):
		return nil, &stopError{stream, ops.ExitPermission, fmt.Errorf("%w; check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD", err)}
	case err != nil:
		return nil, fmt.Errorf("asking the registry for schema id %d: %w", id, err)
	}
	if text, err = w.pin(ctx, stream, id, text, ws); err != nil {
		return nil, err
	}
	ws = newWriterSchema(text)
	ws.checked = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[id] = ws
	return ws, nil
}

// denied reports whether the registry refuses the login. What is known goes on without it (S6).
func denied(err error) bool {
	refusal, ok := errors.AsType[*kafka.RegistryError](err)
	return ok && refusal.Denied()
}

// pin keeps the text in _schemas, and compares it with what is kept there.
func (w *writers) pin(ctx context.Context, stream string, id int, text string, ws *writerSchema) (string, error) {
	kept := text
	if ws != nil {
		kept = ws.text
	} else {
		err := w.db.use(ctx, func(conn *pgx.Conn) error {
			table := quote(w.namespace, tableSchemas)
			if _, err := conn.Exec(ctx, `INSERT INTO `+table+` ("id", "schema") VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, text); err != nil {
				return err
			}
			return conn.QueryRow(ctx, `SELECT "schema" FROM `+table+` WHERE "id" = $1`, id).Scan(&kept)
		})
		if err != nil {
			return "", fmt.Errorf("keeping schema id %d: %w", id, err)
		}
	}
	if kept != text && !sameSchema(kept, text) {
		return "", &stopError{stream, ops.ExitConfig, fmt.Errorf("schema id %d is another schema in the registry than the one kept in %s: "+
			"restore the registry's ids, or rebuild into a new SINK_SCHEMA", id, tableSchemas)}
	}
	return kept, nil
}

// sameSchema compares two texts as schemas: registries reformat them.
func sameSchema(a, b string) bool {
	sa, errA := schema.ParseSchema(a)
	sb, errB := schema.ParseSchema(b)
	return errA == nil && errB == nil && sa.Name == sb.Name && sa.Text() == sb.Text()
}

// ready resolves every writer's schema among entries before a transaction begins. The records whose schema is unusable are returned by
// offset with the reason.
func (w *writers) ready(ctx context.Context, t *table, entries []entry) (map[int64]string, error) {
	var bad map[int64]string
	last, err := 0, error(nil) // ids are from 1; neighbours have the same
	for i := range entries {
		e := &entries[i]
		if e.tombstone {
			continue
		}
		if e.schemaID != last {
			last = e.schemaID
			_, err = w.plan(ctx, t, last)
		}
		switch {
		case errors.Is(err, errRecord):
			if bad == nil {
				bad = map[int64]string{}
			}
			bad[e.rec.Offset] = err.Error()
		case err != nil:
			return nil, err
		}
	}
	return bad, nil
}

// compiled returns a plan that ready has made.
func (w *writers) compiled(t *table) func(id int) (*plan, error) {
	return func(id int) (*plan, error) {
		if p := w.made(t.stream.Name, id); p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("schema id %d of stream %s was not resolved", id, t.stream.Name)
	}
}
