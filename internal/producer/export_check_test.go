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
