package sinker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"
)

// sending sends rows by COPY and collects what follows from them.
type sending struct {
	*writer
	conn    *pgx.Conn
	loaded  int64
	kids    []kidRows
	lifting []*change // rows whose extra may hold values of columns their writer did not know
}

// kidRows are rows of a child table by one plan.
type kidRows struct {
	child   *child
	columns []string
	buf     []byte
	owners  []*change // by row
}

// rows copies rows into a table or its stage: one COPY per writer's schema among them.
func (s *sending) rows(ctx context.Context, into *relation, rows []rowChange) error {
	for len(rows) > 0 {
		id := rows[0].up.schemaID
		var same, others []rowChange
		same, others = rows, nil
		if mixed(rows, id) {
			same = nil
			for _, r := range rows {
				if r.up.schemaID == id {
					same = append(same, r)
				} else {
					others = append(others, r)
				}
			}
		}
		if err := s.copy(ctx, into, id, same); err != nil {
			return err
		}
		rows = others
	}
	return nil
}

func mixed(rows []rowChange, id int) bool {
	for i := range rows {
		if rows[i].up.schemaID != id {
			return true
		}
	}
	return false
}

// copy sends rows of one writer's schema. Rows that cannot be encoded are all found before the error is returned.
func (s *sending) copy(ctx context.Context, into *relation, schemaID int, rows []rowChange) error {
	p, err := s.plans(schemaID)
	if err != nil {
		return err
	}
	src := &source{enc: newEncoder(p), rows: rows, loaded: s.loaded, s: s, owners: make([][]*change, len(p.items)),
		sent: make([]*change, 0, len(rows)), buf: make([]byte, 0, chunk+chunk/4)}
	if err := s.leaveOut(ctx, into, src.enc, schemaID, len(rows)); err != nil {
		return err
	}
	for again := true; again; again = src.next < len(rows) {
		if err := s.stream(ctx, into, src); err != nil {
			return err
		}
		if src.misfit {
			src.enc.sendAll()
		}
	}
	if len(src.bad) > 0 {
		return &badRowsError{src.bad}
	}
	s.learn(src.enc, schemaID, len(rows))
	for i, ip := range p.items {
		if ip != nil && src.enc.rows[i] > 0 {
			s.kids = append(s.kids, kidRows{s.table.children[i], ip.columns, src.enc.kids[i], src.owners[i]})
		}
	}
	return nil
}

// stream makes one COPY of the source's rows, up to the end or the first that has a value for a column left out.
func (s *sending) stream(ctx context.Context, into *relation, src *source) error {
	first := src.begin()
	_, err := s.conn.PgConn().CopyFrom(ctx, src, copyInto(into, src.enc.sentColumns()))
	src.end()
	if src.died != nil {
		return src.died
	}
	if err != nil && len(src.bad) == 0 {
		if n, ok := failedLine(err); ok && first+n <= len(src.sent) && judge(err) == recordsOwn {
			return &badRowsError{[]badRow{{src.sent[first+n-1], inColumn(err)}}}
		}
		return fmt.Errorf("copying rows into %s: %w", s.table.name, err)
	}
	return nil
}

// manyRows is from how many rows on columns are left out: with fewer, a wrong guess would cost more than right ones save.
const manyRows = 1000

// leaveOut has the encoder leave out the columns that were null in all rows of the last large COPY: in most accounts a third of them
// is never used, and the server, which takes time for each, is what a first load waits for. A row that has a value there all the same
// ends the COPY, and the next one has all columns. Left out, a column gets its default, so there may be none; the lock keeps it so.
func (s *sending) leaveOut(ctx context.Context, into *relation, enc *encoder, schemaID, rows int) error {
	guess := s.guess[schemaID]
	if rows < manyRows || guess == nil {
		return nil
	}
	if into == &s.table.relation {
		var names []string
		for i, use := range guess {
			if use == columnLeftOut {
				names = append(names, enc.plan.columns[i])
			}
		}
		defaults := false
		var both pgx.Batch
		both.Queue("LOCK TABLE " + into.ident() + " IN ROW EXCLUSIVE MODE")
		both.Queue(s.sql.defaults, names).QueryRow(func(row pgx.Row) error { return row.Scan(&defaults) })
		if err := s.conn.SendBatch(ctx, &both).Close(); err != nil {
			return fmt.Errorf("looking for defaults of %s: %w", s.table.name, err)
		}
		if defaults {
			return nil
		}
	}
	enc.leaveOut(guess)
	return nil
}

// learn makes the guess for the next large COPY.
func (s *sending) learn(enc *encoder, schemaID, rows int) {
	if rows < manyRows {
		return
	}
	guess := make([]columnUse, len(enc.use))
	for i, use := range enc.use {
		if use != columnMet {
			guess[i] = columnLeftOut
		}
	}
	if s.guess == nil {
		s.writer.guess = map[int][]columnUse{}
	}
	s.guess[schemaID] = guess
}

// children copies the items of all rows sent so far.
func (s *sending) children(ctx context.Context) error {
	for _, k := range s.kids {
		buf := make([]byte, 0, len(copyHeader)+len(k.buf)+len(copyTrailer))
		buf = append(append(append(buf, copyHeader...), k.buf...), copyTrailer...)
		_, err := s.conn.PgConn().CopyFrom(ctx, bytes.NewReader(buf), copyInto(&k.child.relation, k.columns))
		if err != nil {
			if n, ok := failedLine(err); ok && n <= len(k.owners) && judge(err) == recordsOwn {
				return &badRowsError{[]badRow{{k.owners[n-1], inColumn(err)}}}
			}
			return fmt.Errorf("copying rows into %s: %w", k.child.name, err)
		}
	}
	return nil
}

// lift moves what older writers kept in extra into the columns it has now, for the rows just sent (S6).
func (s *sending) lift(ctx context.Context) error {
	if len(s.lifting) == 0 {
		return nil
	}
	list := s.table.lifts()
	for _, part := range byAccount(s.lifting) {
		for _, sql := range list {
			if _, err := s.conn.Exec(ctx, sql, part.account, part.ids); err != nil {
				return fmt.Errorf("moving values from extra into columns of %s: %w", s.table.name, err)
			}
		}
	}
	return nil
}

// source encodes rows as the COPY asks for them.
type source struct {
	s      *sending
	enc    *encoder
	rows   []rowChange
	next   int
	loaded int64

	mu   sync.Mutex // Read against end
	over bool

	buf    []byte
	read   int
	sent   []*change   // by line
	owners [][]*change // by child table and line
	bad    []badRow
	died   error // what ended it at a named point; the server's answer hides it
	ended  bool
	misfit bool // ended before a row that has a value for a column left out
}

// chunk is how much is encoded ahead of the socket.
const chunk = 128 << 10

// begin starts another COPY, and returns how many lines earlier ones had.
func (s *source) begin() int {
	s.over = false
	s.buf, s.read, s.ended, s.misfit = append(s.buf[:0], copyHeader...), 0, false, false
	return len(s.sent)
}

// end keeps off the reader that pgx leaves behind when the connection is lost: the memory of the rows is used again.
func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, io.ErrClosedPipe
	}
	if s.read == len(s.buf) {
		if s.died = s.reached(); s.died != nil {
			return 0, s.died
		}
		if s.ended {
			return 0, io.EOF
		}
		s.fill()
	}
	n := copy(p, s.buf[s.read:])
	s.read += n
	return n, nil
}

// reached is the point in the middle of a COPY: some of its rows are with the server.
func (s *source) reached() error {
	if s.next == 0 {
		return nil
	}
	return s.s.hook("ks04")
}

func (s *source) fill() {
	if s.read > 0 {
		s.buf, s.read = s.buf[:0], 0
	}
	for s.next < len(s.rows) && len(s.buf) < chunk && !s.misfit {
		if s.add(s.rows[s.next]); !s.misfit {
			s.next++
		}
	}
	if s.misfit || s.next == len(s.rows) {
		s.buf = append(s.buf, copyTrailer...)
		s.ended = true
	}
}

func (s *source) add(r rowChange) {
	var err error
	s.buf, err = s.enc.appendRow(s.buf, r.up.body, rowMeta{id: r.id, account: r.account, seq: r.up.seq, loaded: s.loaded, deleted: r.deleted})
	if s.misfit = errors.Is(err, errLeftOut); s.misfit {
		return
	}
	if err != nil {
		s.bad = append(s.bad, badRow{r.change, err})
		return
	}
	s.sent = append(s.sent, r.change)
	for i, n := range s.enc.rows {
		for len(s.owners[i]) < n {
			s.owners[i] = append(s.owners[i], r.change)
		}
	}
	if s.enc.lift {
		s.s.lifting = append(s.s.lifting, r.change)
	}
}
