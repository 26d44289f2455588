package sinker_test

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// pooler is what stands in front of many a database: it knows few parameters, tells connections made-up numbers of processes, and lends
// sessions of the server for a connection's life, or for a transaction only.
type pooler struct {
	t      *testing.T
	server string
	shared *lent // nil: each connection has a session of its own
}

// lent is a session of the server.
type lent struct {
	sync.Mutex
	*pgproto3.Frontend
}

func (p *pooler) lend() *lent {
	conn, err := pgconn.Connect(context.Background(), p.server)
	if err != nil {
		p.t.Error(err)
		return nil
	}
	raw, err := conn.Hijack()
	if err != nil {
		p.t.Error(err)
		return nil
	}
	p.t.Cleanup(func() { _ = raw.Conn.Close() })
	return &lent{Frontend: raw.Frontend}
}

// listen returns the URL that leads through the pooler.
func (p *pooler) listen() string {
	l, err := (&net.ListenConfig{}).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	u, err := url.Parse(p.server)
	if err != nil {
		p.t.Fatal(err)
	}
	return "postgres://postgres@" + l.Addr().String() + u.Path + "?sslmode=disable"
}

func (p *pooler) serve(conn net.Conn) {
	defer conn.Close()
	client := pgproto3.NewBackend(conn, conn)
	first, err := client.ReceiveStartupMessage()
	if err != nil {
		return
	}
	start, ok := first.(*pgproto3.StartupMessage)
	if !ok {
		return
	}
	for name := range start.Parameters {
		if !slices.Contains([]string{"user", "database", "application_name", "client_encoding", "DateStyle", "TimeZone"}, name) {
			client.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: " + name})
			_ = client.Flush()
			return
		}
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	client.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("none")})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	session := p.shared
	if session == nil {
		session = p.lend()
	}
	if client.Flush() == nil && session != nil {
		_ = relay(client, session)
	}
}

// relay passes messages on; the session is held from a transaction's first message to its end.
func relay(client *pgproto3.Backend, session *lent) error {
	held := false
	for {
		msg, err := client.Receive()
		if _, end := msg.(*pgproto3.Terminate); err != nil || end {
			if held {
				session.Unlock()
			}
			return err
		}
		if !held {
			session.Lock()
			held = true
		}
		session.Send(msg)
		switch msg.(type) {
		case *pgproto3.Query, *pgproto3.Sync, *pgproto3.CopyDone, *pgproto3.CopyFail:
		default:
			continue
		}
		if err := session.Flush(); err != nil {
			session.Unlock()
			return err
		}
		for asked := true; asked; {
			answer, err := session.Receive()
			if err != nil {
				session.Unlock()
				return err
			}
			client.Send(answer)
			switch answer := answer.(type) {
			case *pgproto3.CopyInResponse:
				asked = false
			case *pgproto3.ReadyForQuery:
				asked = false
				if held = answer.TxStatus != 'I'; !held {
					session.Unlock()
				}
			}
		}
		if err := client.Flush(); err != nil {
			if held {
				session.Unlock()
			}
			return err
		}
	}
}

// TestPooler: behind a pooler that lends sessions for a connection's life the sinker works; one that lends them for a transaction is
// refused before anything is set in a session that others get.
func TestPooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	cfg := w.cfg
	through := func(p *pooler) error {
		cfg.DatabaseURL = ops.Secret(p.listen())
		return sinker.Drain(t.Context(), cfg, w.deps, time.Time{})
	}
	shared := &pooler{t: t, server: w.url}
	shared.shared = shared.lend()
	if err := through(shared); ops.ExitCode(err) != ops.ExitConfig || !strings.Contains(err.Error(), "session mode") {
		t.Errorf("sessions by the transaction: exit %d: %v", ops.ExitCode(err), err)
	}
	shared.shared.Send(&pgproto3.Query{String: "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name <> 'application_name'"})
	if err := shared.shared.Flush(); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		answer, err := shared.shared.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch answer := answer.(type) {
		case *pgproto3.DataRow:
			if string(answer.Values[0]) != "0" {
				t.Errorf("%s settings are left in a session that others get", answer.Values[0])
			}
		case *pgproto3.ReadyForQuery:
			done = true
		}
	}
	for n := range int64(3) {
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "tasks"), id: 2 + n, row: row{}})
		if err := through(&pooler{t: t, server: w.url}); err != nil {
			t.Errorf("sessions of one's own: %v", err)
		}
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 4 {
		t.Errorf("%d rows", n)
	}
}
