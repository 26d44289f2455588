package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// patience is how long the tables may take to become equal to an account that stands still.
const patience = 3 * time.Minute

// verdict ends a --once: with the figures when the tables are as they should be, else with what is wrong.
func (q *quickstart) verdict(ctx context.Context) error {
	if q.sim == nil || !q.set.whole() {
		return q.complete(ctx)
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		rows, different, err := q.compare(within)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && len(different) == 0:
			q.screen.tell(fmt.Sprintf("All %d tables equal the account: %d rows, every column compared, %.1f s after the start.\n%d changes were made meanwhile; %d requests were sent.\n",
				len(q.set.streams), rows, time.Since(q.screen.began).Seconds(), q.sim.changes.Load(), q.sim.requests.Load()))
			return nil
		case within.Err() != nil:
			return ops.Fail(ops.ExitData, fmt.Errorf("the account stands still for %s and the tables differ: %s", patience, strings.Join(different, "; ")))
		case err != nil:
			return err
		}
		if err := q.pause(within); err != nil {
			return err
		}
	}
}

// pause shows the figures and waits a little.
func (q *quickstart) pause(ctx context.Context) error {
	f, err := q.gather(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err == nil {
		q.screen.show(f)
	}
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
	return nil
}

// compare holds every table against the account, row by row, and stops at the first that differs.
func (q *quickstart) compare(ctx context.Context) (rows int, different []string, err error) {
	for _, st := range q.set.streams {
		list, err := q.db.rows(ctx, st)
		if err != nil {
			return 0, nil, err
		}
		if len(list) == q.sim.Count(st.Name) {
			different = q.sim.Differences(st, list, harvesttest.Compared)
		} else {
			different = []string{fmt.Sprintf("%s: %d rows in the table, %d in the account", st.Name, len(list), q.sim.Count(st.Name))}
		}
		if len(different) > 0 {
			return 0, different[:min(len(different), 3)], nil
		}
		rows += len(list)
	}
	return rows, nil, nil
}

// complete is the verdict where there is no truth to compare with: the first read is in the tables, and nothing was kept back.
func (q *quickstart) complete(ctx context.Context) error {
	f, err := q.gather(ctx)
	if err != nil {
		return err
	}
	q.screen.tell(fmt.Sprintf("%d tables are complete up to the first read: %d rows of %d records, %.1f s after the start.\n",
		len(f), f.total().rows, f.total().records, time.Since(q.screen.began).Seconds()))
	var blocked []error
	for _, g := range f {
		if g.blocked != "" {
			blocked = append(blocked, fmt.Errorf("stream %s: %s; HARVEST_STREAMS=*,-%[1]s leaves it out", g.stream, g.blocked))
		}
	}
	return ops.Fail(ops.ExitPermission, errors.Join(blocked...))
}
