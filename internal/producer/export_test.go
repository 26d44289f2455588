package producer

import "context"

// SetHost makes this process another machine's, "" its own again.
func SetHost(name string) {
	host = hostname
	if name != "" {
		host = func() string { return name }
	}
}

// SetHosts names the machine anew whenever somebody asks.
func SetHosts(name func() string) { host = name }

// Once is one pass by one incarnation of the writer: what would be tried again ends it.
func (p *Producer) Once(ctx context.Context) error {
	p.command = "sync"
	return p.incarnation(ctx, func(e *engine) { e.oneShot, e.stages = true, e.syncStages() })
}
