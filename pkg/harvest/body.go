package harvest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Sizes of a body. A page of 2,000 time entries has 2 to 3 MB.
const (
	maxBody    = 32 << 20 // bytes on the wire
	maxDecoded = 64 << 20 // bytes after gzip: a bomb stops here
	keepBuffer = 8 << 20  // larger buffers are left to the garbage collector
)

// bodyFaultError is an answer's fault, not the network's.
type bodyFaultError struct{ reason string }

func (b *bodyFaultError) Error() string { return b.reason }

// readBody reads a body whole into buffer: JSON by its own word, at most maxBody on the wire and maxDecoded after gzip,
// as long as announced.
func (c *Client) readBody(resp *http.Response, a *attempt, buffer *bytes.Buffer) error {
	if err := checkJSON(resp.Header.Get("Content-Type")); err != nil {
		return err
	}
	wire := &counted{reader: resp.Body, left: maxBody}
	err := inflate(resp.Header.Values("Content-Encoding"), wire, resp.ContentLength, buffer)
	a.bytes = wire.read
	switch {
	case wire.err != nil:
		return wire.err
	case err != nil:
		return &bodyFaultError{err.Error()}
	case resp.ContentLength >= 0 && wire.read != resp.ContentLength:
		return &bodyFaultError{fmt.Sprintf("cut: %d bytes of the %d announced", wire.read, resp.ContentLength)}
	}
	return nil
}

// checkJSON accepts JSON, and an answer that does not say what it is.
func checkJSON(contentType string) error {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "" || media == "application/json" || strings.HasSuffix(media, "+json"):
		return nil
	case err == nil && media == "text/html":
		return &bodyFaultError{"an HTML page instead of JSON: a login or maintenance page, or a wrong base URL"}
	}
	return &bodyFaultError{"not JSON, by its content type"}
}

// inflate copies wire to buffer, decoded as the header says: gzip once, or nothing. Errors of its own, and of gzip, are
// the body's fault; the connection's are in wire.
func inflate(encodings []string, wire *counted, announced int64, buffer *bytes.Buffer) error {
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(encodings, ",")))
	if encoding == "" || encoding == "identity" {
		buffer.Grow(int(min(max(announced, 0), keepBuffer)) + bytes.MinRead) // the announcement may lie; without the rest, ReadFrom doubles it
		_, err := buffer.ReadFrom(wire)
		return err
	}
	if encoding != "gzip" {
		return fmt.Errorf("an encoding no one asked for: %.50q", encoding)
	}
	reader := unzippers.get()
	defer unzippers.put(reader)
	if err := reader.Reset(wire); err != nil {
		return fmt.Errorf("gzip: %w", err)
	}
	n, err := buffer.ReadFrom(io.LimitReader(reader, maxDecoded+1))
	if n > maxDecoded {
		return fmt.Errorf("more than %d bytes after gzip", maxDecoded)
	}
	if err != nil {
		return fmt.Errorf("gzip: %w", err)
	}
	return nil
}

// counted counts what it reads, and refuses to go on at its limit.
type counted struct {
	reader     io.Reader
	read, left int64
	err        error // of the reader, save its end
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.read += int64(n)
	if c.left -= int64(n); c.left < 0 {
		err = &bodyFaultError{fmt.Sprintf("more than %d bytes", maxBody)}
	}
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// pool keeps values for reuse.
type pool[T any] struct {
	inner sync.Pool
	keep  func(T) bool
}

func newPool[T any](fresh func() T, keep func(T) bool) *pool[T] {
	return &pool[T]{inner: sync.Pool{New: func() any { return fresh() }}, keep: keep}
}

func (p *pool[T]) get() T { return p.inner.Get().(T) }

func (p *pool[T]) put(value T) {
	if p.keep(value) {
		p.inner.Put(value)
	}
}

var (
	buffers = newPool(func() *bytes.Buffer { return new(bytes.Buffer) }, func(b *bytes.Buffer) bool {
		b.Reset()
		return b.Cap() <= keepBuffer
	})
	unzippers = newPool(func() *gzip.Reader { return new(gzip.Reader) }, func(*gzip.Reader) bool { return true })
)
