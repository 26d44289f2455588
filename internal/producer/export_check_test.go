package producer

import (
	"context"
	"io"

	"harveststream/internal/ops"
)

// Check is `producer check`, its lines written to out.
func (p *Producer) Check(ctx context.Context, out io.Writer) error {
	return p.check(ctx, ops.Env{Stdout: out})
}

// Reading are the commands that only read, by their names; what they print is of no interest.
func (p *Producer) Reading() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"discover": func(ctx context.Context) error { return p.discover(ctx, io.Discard, false) },
		"plan":     func(ctx context.Context) error { return p.plan(ctx, io.Discard) },
		"status":   func(ctx context.Context) error { return p.status(ctx, io.Discard) },
	}
}

// Plan is `producer plan`, its lines written to out.
func (p *Producer) Plan(ctx context.Context, out io.Writer) error { return p.plan(ctx, out) }
