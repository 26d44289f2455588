package harvest

import (
	"context"
	"fmt"
	"iter"
)

// Pages reads a list from its first page to its last by links.next (P6): one request after the other, each yielded
// when its page has been read whole. item is called for each row as by ReadPage; a page that had to be read again
// calls it again, with another Response.Number. An error ends the walk. Links met before, more pages than the first
// one promised twice over, and fewer rows than both its totals refuse the walk with a *BodyError.
func (c *Client) Pages(
	ctx context.Context, req Request, list string, item func(*Response, []byte) (int, error),
) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		w := walk{path: req.Path, seen: map[string]bool{}}
		for {
			var page Page
			err := c.Do(ctx, req, func(resp *Response) (err error) {
				page, err = ReadPage(resp.Body, list, func(b []byte) (int, error) { return item(resp, b) })
				return err
			})
			if err == nil {
				err = w.step(page)
			}
			if !yield(page, err) || err != nil || page.Next == "" {
				return
			}
			req = Request{Path: w.path, Link: page.Next}
		}
	}
}

// walk is what is remembered of a list's pages.
type walk struct {
	path  string
	first Page
	pages int
	rows  int
	seen  map[string]bool // links
}

// step checks that the walk goes on, or ends, as it should.
func (w *walk) step(page Page) error {
	if w.pages == 0 {
		w.first = page
	}
	w.pages++
	w.rows += page.Items
	least := min(w.first.TotalEntries, page.TotalEntries)
	switch {
	case page.Next == "" && w.rows < least:
		return w.broken("the list ends after %d of %d rows", w.rows, least)
	case page.Next == "":
		return nil
	case w.seen[page.Next]:
		return w.broken("page %d links to a page met before", w.pages)
	case w.pages >= 2*w.first.TotalPages+10:
		return w.broken("the list does not end: %d pages, %d were announced", w.pages, w.first.TotalPages)
	}
	w.seen[page.Next] = true
	return nil
}

func (w *walk) broken(format string, args ...any) error {
	return &BodyError{Path: w.path, Reason: fmt.Sprintf(format, args...)}
}
