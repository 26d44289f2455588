package ops

import "errors"

var errStub = errors.New("not yet")

// Mode is how a stream of the replication file is read.
type Mode string

// Modes.
const (
	Incremental Mode = "incremental"
	FullRefresh Mode = "full-refresh"
)

// Replication is what a replication file asks for.
type Replication struct {
	Streams []StreamRule // in the order of names; parents brought along included
}

// StreamRule is one selected stream.
type StreamRule struct {
	Name          string
	Mode          Mode
	Schema, Table string // of `object`; both "" where the file names none
}

// ParseReplication reads the file. names is the catalogue in order; parent gives a child stream's parent ("" for none).
func ParseReplication(path string, names []string, parent func(string) string) (*Replication, error) {
	return nil, errStub
}
