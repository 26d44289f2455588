package producer_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// cut is a network that can be torn at a chosen write, before or after its delivery, and stays torn until mended.
type cut struct {
	dial func(context.Context, string, string) (net.Conn, error)

	mu     sync.Mutex
	conns  []net.Conn
	writes int // until it tears; -1 never
	total  int // so far
	onTear func()
	after  bool
	torn   bool
}

var errTorn = errors.New("the network is torn")

func (c *cut) Dial(ctx context.Context, network, host string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.torn {
		return nil, errTorn
	}
	conn, err := c.dial(ctx, network, host)
	if err != nil {
		return nil, err
	}
	c.conns = append(c.conns, conn)
	return &cutConn{conn, c}, nil
}

// tearAt makes the n-th write from now the last one; mend ends it.
func (c *cut) tearAt(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes, c.after = n, after
}

func (c *cut) tear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tearNow()
}

func (c *cut) tearNow() {
	c.torn = true
	if c.onTear != nil {
		c.onTear()
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cut) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.torn, c.writes = false, -1
}

type cutConn struct {
	net.Conn
	c *cut
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.c.mu.Lock()
	last := false
	c.c.total++
	if c.c.writes > 0 {
		c.c.writes--
		last = c.c.writes == 0
	}
	after := c.c.after
	c.c.mu.Unlock()
	if !last {
		return c.Conn.Write(b)
	}
	if after {
		c.Conn.Write(b) // delivered; the answer is lost
		time.Sleep(time.Millisecond)
	}
	c.c.tear()
	return 0, errTorn
}

// departures notes when requests leave for Harvest: one life of a producer must keep its limit by its own clock (P9).
type departures struct {
	next http.RoundTripper

	mu sync.Mutex
	at []time.Time
}

func (d *departures) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.at = append(d.at, time.Now())
	d.mu.Unlock()
	return d.next.RoundTrip(r)
}

// worst is the largest number of requests within any half-open span.
func (d *departures) worst(span time.Duration) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	worst, first := 0, 0
	for i, at := range d.at {
		for at.Sub(d.at[first]) >= span {
			first++
		}
		worst = max(worst, i-first+1)
	}
	return worst
}
