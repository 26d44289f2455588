package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"harveststream/internal/ops"
)

// screen is where all output goes: a table that is drawn over itself on a terminal, a line now and then elsewhere. Progress and warnings
// are on stderr, results on stdout; on a terminal all of it stands above the table.
type screen struct {
	mu          sync.Mutex
	out, result io.Writer
	terminal    *os.File // nil: none
	drawn       int      // lines of the table that stands there
	last        string   // that table
	began       time.Time
	lineAt      time.Time // of the latest line where there is no terminal
}

const lineEvery = 3 * time.Second

func newScreen(env ops.Env) *screen {
	s := &screen{out: env.Stderr, result: env.Stdout, began: time.Now()}
	if file, ok := env.Stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.terminal = file
	}
	return s
}

// say writes a line of progress.
func (s *screen) say(format string, args ...any) { s.above(s.out, fmt.Sprintf(format, args...)+"\n") }

// tell writes a result.
func (s *screen) tell(text string) { s.above(s.result, text) }

// Write takes a line of the programs' logs.
func (s *screen) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "HARVEST_RATE_LIMIT: 30000") { // our own doing
		return len(line), nil
	}
	s.above(s.out, string(line))
	return len(line), nil
}

// above writes something where the table stands and the table again below it.
func (s *screen) above(to io.Writer, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	_, _ = io.WriteString(to, text) // nobody is left to be told
	if s.terminal != nil && s.last != "" {
		s.put(s.last)
	}
}

func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\r\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *screen) put(table string) {
	fmt.Fprintln(s.out, table)
	s.drawn = strings.Count(table, "\n") + 1
}

// show brings the figures up to date.
func (s *screen) show(f figures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal != nil {
		s.erase()
		width, height := s.size()
		s.last = s.table(f, width, height)
		s.put(s.last)
		return
	}
	if time.Since(s.lineAt) >= lineEvery {
		s.lineAt = time.Now()
		fmt.Fprintln(s.out, s.line(f))
	}
}

// line is the figures in one line.
func (s *screen) line(f figures) string {
	t := f.total()
	line := fmt.Sprintf("%4.0fs  ", time.Since(s.began).Seconds())
	if !t.complete {
		line += "first read: "
	}
	line += fmt.Sprintf("%d rows in Harvest, %d records on the topics, %d rows in PostgreSQL", t.harvest, t.records, t.rows)
	if !t.newest.IsZero() {
		line += ", the newest read " + age(t.newest) + " ago"
	}
	return line
}

// size of the terminal in columns and lines.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// table is the figures as a table that fits a terminal: what has no room is left out, since a table that scrolls cannot be drawn over.
func (s *screen) table(f figures, width, height int) string {
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.Style().Options = table.OptionsNoBordersAndSeparators
	w.Style().Format.Header = text.FormatDefault
	w.Style().Format.Footer = text.FormatDefault
	w.Style().Size.WidthMax = width - 1
	w.SetColumnConfigs([]table.ColumnConfig{right(2), right(3), right(4), right(5)})
	w.AppendHeader(table.Row{"stream", "in Harvest", "on the topic", "in PostgreSQL", "newest row", "first read"})
	room := max(1, height-4)
	for i, g := range f {
		if i == room-1 && len(f) > room {
			w.AppendRow(table.Row{fmt.Sprintf("… %d more", len(f)-i)})
			break
		}
		w.AppendRow(row(g))
	}
	t := f.total()
	t.stream = time.Since(s.began).Round(time.Second).String()
	w.AppendFooter(row(t))
	return w.Render()
}

func right(column int) table.ColumnConfig {
	return table.ColumnConfig{Number: column, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight}
}

func row(g figure) table.Row {
	return table.Row{g.stream, count(g.harvest), g.records, g.rows, age(g.newest), progress(g)}
}

// progress is a bar while the first read lasts.
func progress(g figure) string {
	const wide = 20
	switch {
	case g.blocked != "":
		return "blocked: " + g.blocked
	case g.complete:
		return "done"
	case g.harvest <= 0:
		return "reading"
	}
	full := min(wide, g.rows*wide/g.harvest)
	return strings.Repeat("█", full) + strings.Repeat("░", wide-full)
}

func count(n int) string {
	if n < 0 {
		return "–"
	}
	return strconv.Itoa(n)
}

func age(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return max(0, time.Since(t)).Round(time.Second).String()
}
