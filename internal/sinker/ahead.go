package sinker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// ahead is a stage that was filled before its portion's turn, while PostgreSQL merged the portion before: on a connection of its own, in
// the transaction that is to merge it. Until that moves the offset it has touched nothing but its own temporary table (S1), and what
// it staged is a guess: the transaction decides on every change as any other does, and uses the stage where it holds just what it would
// have staged itself.
type ahead struct {
	conn *pgx.Conn // nil: given back
	rows []rowChange
	sent *sending
}

// stageAhead fills a stage for a portion that is likely to be updates and nothing else: an earlier one was. What it cannot do is left for
// the portion's turn, errors included.
func (p *partition) stageAhead(ctx context.Context, part *portion) {
	if part.err == nil && p.updating.Load() && len(part.letters) == 0 && p.stager.aheadable(part.changes) {
		part.ahead = p.staged(ctx, part)
	}
	if err := p.deps.hook("ks13"); err != nil {
		part.err = err
	}
}

// staged is a portion's stage; nil where it is not to be had.
func (p *partition) staged(ctx context.Context, part *portion) *ahead {
	if bad, err := p.writers.ready(ctx, p.table, part.entries); err != nil || len(bad) > 0 {
		return nil
	}
	conn := p.db.spare(ctx)
	if conn == nil {
		return nil
	}
	a := &ahead{conn: conn, rows: make([]rowChange, len(part.changes)), sent: &sending{writer: p.stager, conn: conn, loaded: micros(time.Now())}}
	for i := range part.changes {
		a.rows[i] = rowChange{&part.changes[i], noTime}
	}
	if err := a.fill(ctx); err != nil {
		p.giveBack(ctx, a)
		return nil
	}
	return a
}

// aheadable reports whether all changes are likely to go through the stage.
func (w *writer) aheadable(changes []change) bool {
	return len(changes) >= manyRows && !w.locked && len(w.sql.children) == 0 && !slices.ContainsFunc(changes, func(c change) bool {
		return c.up.rec == nil || c.up.created || c.gone > 0
	})
}

func (a *ahead) fill(ctx context.Context) error {
	if _, err := a.conn.Exec(ctx, "BEGIN; "+a.sent.sql.createStage, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("making a temporary table: %w", err)
	}
	return a.sent.rows(ctx, &a.sent.sql.stage, a.rows)
}

// holds reports whether the stage has just these rows.
func (a *ahead) holds(rows []rowChange) bool { return a != nil && slices.Equal(a.rows, rows) }

// giveBack ends the transaction of a stage that is not used.
func (p *partition) giveBack(ctx context.Context, a *ahead) {
	if a == nil || a.conn == nil {
		return
	}
	rollBack(ctx, a.conn)
	p.db.giveBack(a.take(), nil)
}

// take hands the connection over.
func (a *ahead) take() *pgx.Conn {
	conn := a.conn
	a.conn = nil
	return conn
}
