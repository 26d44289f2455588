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

// ReadPage reads one page whose rows are in the member named list. For each row it calls item with the decoder before
// the row's object, and item must read exactly that. The envelope must be as documented, names exact and none twice;
// whatever follows, precedes or contradicts it refuses the page. Rows come before the envelope's end, so what item
// did with them counts only when ReadPage returns nil.
func ReadPage(body []byte, list string, item func(*jsontext.Decoder) error) (Page, error) {
	dec, err := open(body)
	if err != nil {
		return Page{}, err
	}
	p := pageReader{dec: dec, list: list, item: item, seen: map[string]bool{}}
	if err := p.members(p.member); err != nil {
		return Page{}, at(dec, err)
	}
	if err := p.check(); err != nil {
		return Page{}, err
	}
	return p.page, closed(dec)
}

// ReadObject reads an answer that is one object; item gets the decoder before it and must read exactly that.
func ReadObject(body []byte, item func(*jsontext.Decoder) error) error {
	dec, err := open(body)
	if err != nil {
		return err
	}
	if err := item(dec); err != nil {
		return at(dec, err)
	}
	return closed(dec)
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
		return fmt.Errorf("goes on after its object, at byte %d", dec.InputOffset())
	}
	return err
}

// at adds where in the body something was wrong, unless the decoder's own error says so.
func at(dec *jsontext.Decoder, err error) error {
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return err
	}
	return fmt.Errorf("%w, before byte %d", err, dec.InputOffset())
}

// pageReader reads an envelope.
type pageReader struct {
	dec      *jsontext.Decoder
	list     string
	item     func(*jsontext.Decoder) error
	page     Page
	nextPage int
	seen     map[string]bool // members the envelope has
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

func (p *pageReader) rows() error {
	if kind := p.dec.PeekKind(); kind != jsontext.KindBeginArray {
		return p.wrong(p.list, "an array")
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	depth := p.dec.StackDepth()
	for ; p.dec.PeekKind() != jsontext.KindEndArray; p.page.Items++ {
		if p.dec.PeekKind() != jsontext.KindBeginObject {
			return fmt.Errorf("%s, row %d: %w", p.list, p.page.Items, p.wrong("the row", "an object"))
		}
		if err := p.item(p.dec); err != nil {
			return fmt.Errorf("%s, row %d: %w", p.list, p.page.Items, err)
		}
		if _, n := p.dec.StackIndex(depth); p.dec.StackDepth() != depth || n != int64(p.page.Items)+1 {
			return fmt.Errorf("%s, row %d: its reader did not read exactly one row", p.list, p.page.Items)
		}
	}
	_, err := p.dec.ReadToken()
	return err
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
