package sinker

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"harveststream/internal/ops"
)

// errFenced says that another sinker has taken the partition over (S1).
var errFenced = errors.New("another sinker has taken this partition over")

// stopError stops one topic while the others go on; a person must act (S2, S6, S8).
type stopError struct {
	Stream string
	Code   int // exit code of one-shot commands
	Err    error
}

func (e *stopError) Error() string { return fmt.Sprintf("stream %s stopped: %v", e.Stream, e.Err) }
func (e *stopError) Unwrap() error { return e.Err }

// ExitCode is what a one-shot command ends with.
func (e *stopError) ExitCode() int { return e.Code }

// lost is the stop of a topic whose records are not all there any more (S2, S8).
func lost(stream, format string, args ...any) error {
	return &stopError{Stream: stream, Code: ops.ExitData,
		Err: fmt.Errorf("%w; run `sinker rebuild %s`", fmt.Errorf(format, args...), stream)}
}

// errCut marks the loss of records that a log will not show any more once it has grown again (S2).
var errCut = errors.New("")

// lostEnd is the stop of a topic whose log has lost its end.
func lostEnd(stream, format string, args ...any) error {
	return lost(stream, format+"%w", append(args, errCut)...)
}

// verdict is what to do about a failed transaction.
type verdict int

const (
	retry      verdict = iota // the environment's trouble, which passes: wait and go on
	recordsOwn                // the record's fault (S5)
	duplicate                 // a key that is there after all: everything through the stage (S4)
	stopTopic                 // table and sinker do not fit: this topic waits for a person
	fatal                     // rights, login: nothing will work
)

// judge classifies an error of a transaction by its SQLSTATE (reliability §5.5). Errors without one are the connection's.
func judge(err error) verdict {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return retry
	}
	if _, ok := failedLine(err); ok && pg.Code == "08P01" { // a field of the wrong length
		return recordsOwn
	}
	switch pg.Code {
	case "23505":
		return duplicate
	case "42501", "28000", "28P01":
		return fatal
	case "25006", "25P03", "25P04": // a standby, an idle transaction that was ended
		return retry
	}
	switch pg.Code[:2] {
	case "22", "23", "54":
		return recordsOwn
	case "08", "53", "55", "57", "58", "40":
		return retry
	}
	return stopTopic
}

var copyLine = regexp.MustCompile(`COPY \S+, line (\d+)(?:, column ([^:\s]+))?`)

// inColumn adds to an error of a COPY the column that it is about, where the server says so.
func inColumn(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if m := copyLine.FindStringSubmatch(pg.Where); m != nil && m[2] != "" {
			return fmt.Errorf("column %s: %w", m[2], err)
		}
	}
	return err
}

// failedLine is the line of a COPY that an error is about, from 1.
func failedLine(err error) (int, bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return 0, false
	}
	m := copyLine.FindStringSubmatch(pg.Where)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n > 0
}

// explainFatal adds the remedy to an error that nothing but a person mends.
func explainFatal(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return ops.Fail(ops.ExitPermission, fmt.Errorf("%w; grant the role of DATABASE_URL what `sinker check` names", err))
	}
	return ops.Fail(ops.ExitPermission, fmt.Errorf("%w; check user and password in DATABASE_URL", err))
}
