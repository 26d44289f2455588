package sinker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"harveststream/internal/ops"
)

// pool is a bounded number of connections (S7), made when needed and thrown away after any error that may have broken them.
type pool struct {
	config *pgx.ConnConfig
	free   chan struct{} // has an element for each connection that may be used
	spares chan struct{} // has an element for each connection that is kept while waiting for others (spare)
	leased atomic.Bool   // a pooler is in front, and its sessions are ours as long as our connections (ownSession)

	mu   sync.Mutex
	idle []*pgx.Conn // made and not used: the last one is used next, for what it has cached of tables and statements
}

// silentAfter is how long a server's machine may be silent: one that vanished in the middle of a transaction, as at a fail-over, does not
// say so.
const silentAfter = 30 * time.Second

// dial connects to a server.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Control: limitSilence, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silentAfter / 2, Interval: silentAfter / 6, Count: 3}}
	conn, err := d.DialContext(ctx, network, addr)
	if local, ok := conn.(*net.UnixConn); ok { // unlike TCP's, its buffer does not grow: the server would wait for each row
		_ = local.SetWriteBuffer(sendBuffer)
	}
	return conn, err
}

// sendBuffer is how far a COPY over a Unix socket may be ahead of the server; the kernel may grant less.
const sendBuffer = 1 << 20

// settings are those of every session. Poolers refuse what they do not know of at the start of one, so they are set behind it.
var settings = map[string]string{
	"client_min_messages":                 "warning",
	"standard_conforming_strings":         "on",
	"default_transaction_isolation":       "read committed",
	"synchronous_commit":                  "off", // rows and offsets are lost together, and Kafka has the records
	"lock_timeout":                        "15s",
	"statement_timeout":                   "0", // a batch, a widening or a rebuild takes what it takes: one that never ends in time would be tried for ever
	"transaction_timeout":                 "0", // PostgreSQL 17
	"idle_in_transaction_session_timeout": "120s",
	"temp_buffers":                        "32MB",
	"jit":                                 "off", // asked for 25,000 keys, the server would rather compile than answer
	"DateStyle":                           "ISO",
	"TimeZone":                            "UTC",
}

// newPool reads DATABASE_URL; nothing is connected to. What the URL says itself is not overruled.
func newPool(dsn ops.Secret, size int) (*pool, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "harvest-sinker"
	}
	config.RuntimeParams["client_encoding"] = "UTF8" // what COPY sends, whatever the database is in
	var set []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if config.RuntimeParams[name] == "" && !strings.Contains(config.RuntimeParams["options"], name+"=") {
			set = append(set, fmt.Sprintf("(%s, %s)", literal(name), literal(settings[name])))
		}
	}
	p := &pool{config: config, free: make(chan struct{}, size), spares: make(chan struct{}, size/2)}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		// Nothing is set in a session that a pooler may give to others. One that had temporary tables keeps their buffers.
		_, err := conn.Exec(ctx, fmt.Sprintf("SELECT set_config(name, value, false) FROM (VALUES %s) AS s (name, value) WHERE (%t OR pg_backend_pid() = %d) AND (name <> 'temp_buffers' OR pg_my_temp_schema() = 0) AND current_setting(name, true) IS NOT NULL",
			strings.Join(set, ", "), p.leased.Load(), conn.PID())).ReadAll()
		return err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	config.DialFunc = dial
	for range size {
		p.free <- struct{}{}
	}
	return p, nil
}

// parseDSN never repeats what it could not read: it holds a password.
func parseDSN(dsn ops.Secret) (*pgx.ConnConfig, error) {
	text := dsn.Reveal()
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return nil, errors.New("is no URL like postgres://user@host/database")
		}
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, errors.New("is no connection string like postgres://user@host/database")
	}
	return config, nil
}

// acquire returns a connection of one's own, waiting for one that is free.
func (p *pool) acquire(ctx context.Context) (*pgx.Conn, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.free:
	}
	return p.connected(ctx)
}

// connected is a connection for whoever has taken an element of free.
func (p *pool) connected(ctx context.Context) (*pgx.Conn, error) {
	if conn := p.take(); conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		p.free <- struct{}{}
		return nil, &connectError{err}
	}
	return conn, nil
}

// spare returns a connection for what need not be done now; nil where none is free. Its holder may wait for others who need a
// connection, so half of all are never spare. It goes back by giveBack.
func (p *pool) spare(ctx context.Context) *pgx.Conn {
	select {
	case p.spares <- struct{}{}:
	default:
		return nil
	}
	select {
	case <-p.free:
		if conn, err := p.connected(ctx); err == nil {
			return conn
		}
	default:
	}
	<-p.spares
	return nil
}

func (p *pool) giveBack(conn *pgx.Conn, err error) {
	p.release(conn, err)
	<-p.spares
}

// connectError says in one line, and once, what pgx says in a line for each address and each way of TLS.
type connectError struct{ err error }

func (e *connectError) Error() string {
	tries := strings.Split(e.err.Error(), "\n\t")
	text := "connecting to DATABASE_URL: " + tries[0]
	if len(tries) > 1 {
		text += " " + strings.Join(slices.Compact(tries[1:]), "; ")
	}
	return text
}

func (e *connectError) Unwrap() error { return e.err }

// take takes a connection that is made, nil where there is none.
func (p *pool) take() *pgx.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	conn := p.idle[last]
	p.idle = p.idle[:last]
	return conn
}

// release gives a connection back; after an error only if it is in no transaction.
func (p *pool) release(conn *pgx.Conn, err error) {
	var pg *pgconn.PgError
	switch {
	case conn.IsClosed() || conn.PgConn().TxStatus() != 'I':
	case errors.As(err, &pg) && (pg.Code[:min(2, len(pg.Code))] == "57" || pg.Code == "25006"):
	default:
		p.mu.Lock()
		p.idle = append(p.idle, conn)
		p.mu.Unlock()
		p.free <- struct{}{}
		return
	}
	closeConn(conn)
	p.free <- struct{}{}
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// use runs f with a connection.
func (p *pool) use(ctx context.Context, f func(conn *pgx.Conn) error) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	err = f(conn)
	p.release(conn, err)
	return err
}

// transact runs f in a transaction. An error of COMMIT leaves its outcome unknown; the offset tells it (S1).
func (p *pool) transact(ctx context.Context, f func(conn *pgx.Conn) error) error {
	return p.use(ctx, func(conn *pgx.Conn) error { return transact(ctx, conn, f) })
}

func transact(ctx context.Context, conn *pgx.Conn, f func(conn *pgx.Conn) error) error {
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	return conclude(ctx, conn, func() error { return f(conn) }, func() error { return nil })
}

// conclude commits what f did in the transaction that it found or began itself, or rolls it back. Between sending COMMIT and reading its
// answer it calls sent.
func conclude(ctx context.Context, conn *pgx.Conn, f, sent func() error) error {
	if err := f(); err != nil {
		rollBack(ctx, conn)
		return err
	}
	answer := conn.PgConn().Exec(ctx, "COMMIT")
	if err := sent(); err != nil {
		return err
	}
	results, err := answer.ReadAll()
	if err == nil && (len(results) != 1 || results[0].CommandTag.String() != "COMMIT") { // COMMIT of a transaction that had failed
		err = pgx.ErrTxCommitRollback
	}
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// rollBack ends a transaction even when ctx has ended. A connection on which it fails is thrown away by release.
func rollBack(ctx context.Context, conn *pgx.Conn) {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = conn.Exec(undo, "ROLLBACK")
}

// ownSession makes sure that connections are sessions of our own: a pooler that gives them to others between transactions would mix up
// temporary tables, prepared statements and settings. Behind a pooler the server's process has another number than the connection was
// told; a shared session shows by serving two connections, or one connection by two processes.
func (p *pool) ownSession(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return p.use(ctx, func(conn *pgx.Conn) error {
		pid, err := backend(ctx, conn)
		if err != nil || pid == conn.PgConn().PID() || p.leased.Load() {
			return err
		}
		shared := false
		err = p.use(ctx, func(other *pgx.Conn) error {
			defer closeConn(other)
			if _, err := other.Exec(ctx, "BEGIN"); err != nil {
				pg, refused := errors.AsType[*pgconn.PgError](err) // "transaction blocks not allowed in statement pooling mode"
				if shared = refused && pg.Code == "08P01"; shared {
					return nil
				}
				return err
			}
			theirs, err := backend(ctx, other)
			if shared = theirs == pid; shared || err != nil {
				return err
			}
			again, err := backend(ctx, conn)
			shared = again != pid
			return err
		})
		if err != nil {
			return fmt.Errorf("looking how DATABASE_URL's pooler shares its sessions: %w", err)
		}
		if shared {
			return ops.Fail(ops.ExitConfig, errors.New("DATABASE_URL: a pooler is in front that gives sessions to others between transactions: "+
				"use its session mode, or the server's own address"))
		}
		p.leased.Store(true)
		closeConn(conn) // the next ones have their settings
		return nil
	})
}

// backend is the number of the server's process behind a connection.
func backend(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	var pid uint32
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid()::bigint", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}

// close closes all connections; none may be in use.
func (p *pool) close() {
	for range cap(p.free) {
		<-p.free
	}
	for conn := p.take(); conn != nil; conn = p.take() {
		closeConn(conn)
	}
}
