package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Registry is a schema registry: this package has a local form, package kafka the remote one. Its errors are those below, or
// have the methods that IsUnknownID and IsIncompatible look for.
type Registry interface {
	// Register returns the id of a schema under a subject, which it makes FULL_TRANSITIVE. The same text has the same id.
	Register(ctx context.Context, subject, schema string) (id int, err error)
	// Schema returns the text of an id.
	Schema(ctx context.Context, id int) (text string, err error)
}

// ErrUnknownID is the answer of a registry that was reached and does not know the id.
var ErrUnknownID = errors.New("registry knows no such schema id")

// IsUnknownID reports whether an error is ErrUnknownID or has a method UnknownID that says so.
func IsUnknownID(err error) bool {
	unknown, ok := errors.AsType[interface {
		error
		UnknownID() bool
	}](err)
	return errors.Is(err, ErrUnknownID) || ok && unknown.UnknownID()
}

// IncompatibleError is a registry's refusal of a schema.
type IncompatibleError struct {
	Subject string
	Reason  string
}

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("schema is incompatible with an earlier one of %s: %s", e.Subject, e.Reason)
}

// Incompatible is true: see IsIncompatible.
func (e *IncompatibleError) Incompatible() bool { return true }

// IsIncompatible reports whether an error has a method Incompatible that says so, as *IncompatibleError has.
func IsIncompatible(err error) bool {
	incompatible, ok := errors.AsType[interface {
		error
		Incompatible() bool
	}](err)
	return ok && incompatible.Incompatible()
}

// Local is a registry in memory, for tests and benchmarks. It is safe for concurrent use.
type Local struct {
	mu       sync.Mutex
	texts    []string         // by id, from 1
	subjects map[string][]int // ids of a subject's versions
}

// NewLocal returns an empty registry.
func NewLocal() *Local { return &Local{subjects: map[string][]int{}} }

// Register implements Registry; a text that is not compatible with all versions of the subject is refused.
func (l *Local) Register(_ context.Context, subject, schema string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := slices.Index(l.texts, schema) + 1
	if id > 0 && slices.Contains(l.subjects[subject], id) {
		return id, nil
	}
	for _, version := range l.subjects[subject] {
		if err := Compatible(schema, l.texts[version-1]); err != nil {
			return 0, &IncompatibleError{Subject: subject, Reason: err.Error()}
		}
	}
	if _, err := parseRecord(schema); err != nil {
		return 0, fmt.Errorf("registering %s: %w", subject, err)
	}
	if id == 0 {
		l.texts = append(l.texts, schema)
		id = len(l.texts)
	}
	l.subjects[subject] = append(l.subjects[subject], id)
	return id, nil
}

// Schema implements Registry.
func (l *Local) Schema(_ context.Context, id int) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id < 1 || id > len(l.texts) {
		return "", fmt.Errorf("schema id %d: %w", id, ErrUnknownID)
	}
	return l.texts[id-1], nil
}
