package harvesttest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// filters are the parameters of a list beside updated_since, from and to, and paging. All must hold (AND).
func (q *req) filters(k *kind) []func(*row) bool {
	var tests []func(*row) bool
	names := strings.Fields(k.filters)
	if k.active {
		names = append(names, "is_active")
	}
	for _, name := range names {
		if want := q.query.Get(name); want != "" {
			tests = append(tests, q.filter(k, name, want))
		}
	}
	return tests
}

func (q *req) filter(k *kind, name, want string) func(*row) bool {
	s := q.s
	id, _ := strconv.ParseInt(want, 10, 56)
	base := strings.TrimSuffix(name, "_id")
	switch {
	case name == "is_running":
		return func(r *row) bool { _, ok := s.running(r); return strconv.FormatBool(ok) == want }
	case name == "is_billed":
		slot := k.slot("invoice")
		return func(r *row) bool { return strconv.FormatBool(r.vals[slot].set()) == want }
	case name == "is_active":
		slot := k.slot("is_active")
		return func(r *row) bool { return r.vals[slot] == boolean(want == "true") }
	case name == "state" || name == "approval_status":
		slot, text := k.slot(name), s.text(want)
		return func(r *row) bool { return r.vals[slot] == text }
	case name == "external_reference_id":
		slot, part := k.slot("external_reference"), `{"id":`+quote(want)+`,`
		return func(r *row) bool {
			x := r.vals[slot]
			return x.tag() == tagText && strings.HasPrefix(s.texts[x.int()], part)
		}
	case name == "project_id" && k.name == "invoices":
		item := s.kind["line_item"]
		return func(r *row) bool {
			return slices.ContainsFunc(s.rowsOf(r.vals[k.slot("line_items")]), func(l *row) bool { return l.vals[item.slot("project")] == integer(id) })
		}
	case name == "client_id" && !k.has("client"):
		projects := s.kind["projects"]
		return func(r *row) bool { p := q.view.get(projects, r.parent); return p != nil && p.parent == id }
	}
	slot, ref := k.slot(base), integer(id)
	return func(r *row) bool { return r.vals[slot] == ref }
}

// post answers POST on a list.
func (s *Sim) post(q *req, k *kind, parent int64) *answer {
	f, err := q.fields(k)
	if err != nil {
		return s.written(q, k, 0, 0, err)
	}
	if k.group == "project" && parent != 0 {
		f["project_id"] = parent
		parent = 0
	}
	id := s.reserve(k)
	err = s.do(func(t *tx) error { return t.create(k, id, parent, f) })
	return s.written(q, k, id, http.StatusCreated, err)
}

// cache holds whole answers of lists, which depend on nothing but the request, the account's version and the role.
type cache struct {
	version uint64
	pages   map[string]cachedPage
	bytes   int
}

type cachedPage struct {
	body []byte
	rows int
}

func (q *req) cacheable() bool {
	v := q.view
	return q.s.opts.CacheBytes > 0 && v.pos == len(q.s.log) && q.link == nil && !q.empty && !v.unknown && !v.shuffle && q.s.opts.Stale == 0
}

func (q *req) cacheKey() string { return q.base + " " + q.path + "?" + q.r.URL.RawQuery }

func (s *Sim) cached(q *req) ([]byte, int, bool) {
	if !q.cacheable() || s.cache.version != s.version {
		return nil, 0, false
	}
	p, ok := s.cache.pages[q.cacheKey()]
	return p.body, p.rows, ok
}

// remember keeps an answer; those with running timers change by themselves and are not kept. When the cache is full it
// is emptied: a walk that does not fit would not find its pages again anyway.
func (s *Sim) remember(q *req, a *answer) {
	if !q.cacheable() || q.view.running {
		return
	}
	if s.cache.version != s.version || s.cache.pages == nil || s.cache.bytes+len(a.body) > s.opts.CacheBytes {
		s.cache = cache{version: s.version, pages: map[string]cachedPage{}}
	}
	s.cache.pages[q.cacheKey()] = cachedPage{a.body, a.rows}
	s.cache.bytes += len(a.body)
}
