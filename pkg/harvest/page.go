package harvest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Page is the envelope of one page of a list.
type Page struct {
	PerPage      int
	TotalPages   int    // 1 for an empty list
	TotalEntries int    // counted anew for each request
	Page         int    // 0 on inner pages of cursor walks, which have no number
	Next         string // links.next, "" on the last page: the only sign of the end (P6)
	Items        int    // rows on this page
}

const maxDepth = 64 // of an envelope's unknown members

// Item reads the object that b begins with and returns its length, or an error. It answers for the grammar of exactly these bytes;
// what follows them is not its business.
type Item func(b []byte) (n int, err error)

// ReadPage reads one page whose rows are in the member named list, each by item. The envelope must be as documented, names exact and
// none twice; whatever follows, precedes or contradicts it refuses the page. Rows come before the envelope's end, so what item did with
// them counts only when ReadPage returns nil.
func ReadPage(body []byte, list string, item Item) (Page, error) {
	dec, err := open(body)
	if err != nil {
		return Page{}, err
	}
	p := pageReader{body: body, dec: dec, list: list, item: item, seen: map[string]bool{}}
	if err := p.members(p.member); err != nil {
		return Page{}, p.where(err)
	}
	if err := p.check(); err != nil {
		return Page{}, err
	}
	return p.page, p.where(closed(p.dec))
}

// ReadObject reads an answer that is one object, by item.
func ReadObject(body []byte, item Item) error {
	if _, err := open(body); err != nil {
		return err
	}
	start := skipSpace(body, 0)
	n, err := item(body[start:])
	if err != nil {
		return err
	}
	if end := skipSpace(body, start+n); end < len(body) || n == 0 {
		return fmt.Errorf("goes on after its object, at byte %d", end)
	}
	return nil
}

// Skip is the Item that reads an object and nothing of it.
func Skip(b []byte) (int, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowInvalidUTF8(true))
	err := dec.SkipValue()
	return int(dec.InputOffset()), err
}

// open returns a decoder before the object a body is. Invalid UTF-8 passes: it is a value's matter (P14), names twice
// in an object are the answer's and do not.
func open(body []byte) (*jsontext.Decoder, error) {
	if bytes.HasPrefix(body, []byte("\ufeff")) {
		return nil, errors.New("begins with a byte order mark")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true))
	switch kind := dec.PeekKind(); kind {
	case jsontext.KindBeginObject:
		return dec, nil
	case jsontext.KindInvalid:
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("is empty")
		}
		return nil, fmt.Errorf("is not JSON: %w", err)
	default:
		return nil, fmt.Errorf("is %s, not an object", kindName(kind))
	}
}

// closed checks that the body ends with its object.
func closed(dec *jsontext.Decoder) error {
	_, err := dec.ReadToken()
	switch {
	case errors.Is(err, io.EOF) && dec.StackDepth() == 0:
		return nil
	case err == nil || dec.StackDepth() == 0:
		return errors.New("goes on after its object")
	}
	return err
}

// pageReader reads an envelope. The rows are not the decoder's: it stops before them and goes on behind them (rows).
type pageReader struct {
	body     []byte
	dec      *jsontext.Decoder
	base     int // where in the body the decoder's byte 0 is
	list     string
	item     Item
	page     Page
	nextPage int
	seen     map[string]bool // members the envelope has
}

// where adds where in the body something was wrong.
func (p *pageReader) where(err error) error {
	if err == nil {
		return nil
	}
	if _, says := errors.AsType[*jsontext.SyntacticError](err); says && p.base == 0 {
		return err
	}
	return fmt.Errorf("%w, before byte %d", err, p.base+int(p.dec.InputOffset()))
}

// members reads an object's members; member gets each name with the decoder before the value.
func (p *pageReader) members(member func(name string) error) error {
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	for p.dec.PeekKind() != jsontext.KindEndObject {
		name, err := p.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err := p.dec.ReadToken()
	return err
}

// known are the envelope's names beside the list's.
var known = []string{"per_page", "total_pages", "total_entries", "next_page", "previous_page", "page", "links"}

func (p *pageReader) member(name string) error {
	if p.seen[name] { // the decoder forgets them at the rows
		return fmt.Errorf("duplicate object member name %q", name)
	}
	p.seen[name] = true
	switch name {
	case p.list:
		return p.rows()
	case "per_page":
		return p.number(name, &p.page.PerPage)
	case "total_pages":
		return p.number(name, &p.page.TotalPages)
	case "total_entries":
		return p.number(name, &p.page.TotalEntries)
	case "page":
		return p.numberOrNull(name, &p.page.Page)
	case "next_page":
		return p.numberOrNull(name, &p.nextPage)
	case "previous_page":
		return p.numberOrNull(name, new(int))
	case "links":
		return p.links()
	}
	return p.unknown(name)
}

// rows reads the list: between its rows there is nothing but commas. Where anything else stands the decoder goes on, finds the end of
// the list, or says what is wrong.
func (p *pageReader) rows() error {
	if kind := p.dec.PeekKind(); kind != jsontext.KindBeginArray {
		return p.wrong(p.list, "an array")
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	end := p.base + int(p.dec.InputOffset())
	for {
		start := skipSpace(p.body, end)
		if p.page.Items > 0 {
			if start == len(p.body) || p.body[start] != ',' {
				break
			}
			start = skipSpace(p.body, start+1)
		}
		if start == len(p.body) || p.body[start] != '{' {
			break
		}
		n, err := p.item(p.body[start:])
		if err == nil && (n <= 0 || n > len(p.body)-start) {
			err = errors.New("its reader did not read it")
		}
		if err != nil {
			p.base = start - int(p.dec.InputOffset())
			return fmt.Errorf("%s, row %d: %w", p.list, p.page.Items, err)
		}
		end = start + n
		p.page.Items++
	}
	if err := p.resume(end); err != nil {
		return err
	}
	if kind := p.dec.PeekKind(); kind != jsontext.KindEndArray {
		return fmt.Errorf("%s, row %d: %w", p.list, p.page.Items, p.wrong("the row", "an object"))
	}
	_, err := p.dec.ReadToken()
	return err
}

// resume makes the decoder go on at a byte of the list, behind a row if there was one.
func (p *pageReader) resume(at int) error {
	before, tokens := "{"+strconv.Quote(p.list)+":[", 3
	if p.page.Items > 0 {
		before, tokens = before+"{}", 5
	}
	p.base = at - len(before)
	p.dec.Reset(io.MultiReader(strings.NewReader(before), bytes.NewReader(p.body[at:])), jsontext.AllowInvalidUTF8(true))
	for range tokens {
		if _, err := p.dec.ReadToken(); err != nil {
			return err
		}
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func (p *pageReader) number(name string, into *int) error {
	if p.dec.PeekKind() != jsontext.KindNumber {
		return p.wrong(name, "a number")
	}
	value, err := p.dec.ReadValue()
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return fmt.Errorf("%s: %.30s is not a count", name, value)
	}
	*into = int(n)
	return nil
}

func (p *pageReader) numberOrNull(name string, into *int) error {
	if p.dec.PeekKind() == jsontext.KindNull {
		return p.dec.SkipValue()
	}
	return p.number(name, into)
}

func (p *pageReader) links() error {
	if p.dec.PeekKind() != jsontext.KindBeginObject {
		return p.wrong("links", "an object")
	}
	return p.members(func(name string) error {
		p.seen["links."+name] = true
		if name != "next" && strings.EqualFold(name, "next") {
			return fmt.Errorf("has the member %q for %q", name, "next")
		}
		switch kind := p.dec.PeekKind(); {
		case kind == jsontext.KindNull:
			return p.dec.SkipValue()
		case kind != jsontext.KindString:
			return p.wrong("links."+name, "a string or null")
		}
		link, err := p.dec.ReadToken()
		if err == nil && name == "next" {
			p.page.Next = link.String()
			if p.page.Next == "" {
				return errors.New("links.next is empty, not null")
			}
		}
		return err
	})
}

// unknown skips a member that Harvest has added, but not one that only looks known: a name in another case, or a
// second list.
func (p *pageReader) unknown(name string) error {
	for _, exact := range append(slices.Clone(known), p.list) {
		if strings.EqualFold(name, exact) {
			return fmt.Errorf("has the member %q for %q", name, exact)
		}
	}
	if p.dec.PeekKind() == jsontext.KindBeginArray {
		return fmt.Errorf("has a second list, %.50q", name)
	}
	base := p.dec.StackDepth()
	for {
		if _, err := p.dec.ReadToken(); err != nil {
			return err
		}
		switch depth := p.dec.StackDepth(); {
		case depth == base:
			return nil
		case depth > maxDepth:
			return fmt.Errorf("is nested deeper than %d", maxDepth)
		}
	}
}

// check is what the envelope as a whole must be.
func (p *pageReader) check() error {
	for _, name := range []string{p.list, "per_page", "total_pages", "total_entries", "links", "links.next"} {
		if !p.seen[name] {
			return fmt.Errorf("has no %q", name)
		}
	}
	if p.nextPage != 0 && p.page.Next == "" {
		return fmt.Errorf("names page %d as the next, and no link to it", p.nextPage)
	}
	return nil
}

// wrong is the error for a value of another kind; a syntax error in its place comes first.
func (p *pageReader) wrong(name, want string) error {
	kind := p.dec.PeekKind()
	if kind == jsontext.KindInvalid {
		if _, err := p.dec.ReadToken(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is %s, not %s", name, kindName(kind), want)
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginArray:
		return "an array"
	case jsontext.KindBeginObject:
		return "an object"
	}
	return "the end of something else"
}
