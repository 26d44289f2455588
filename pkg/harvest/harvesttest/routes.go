package harvesttest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// below are the lists in the path of a parent: parent/{id}/last segment.
var below = map[string]string{"invoices/messages": "invoice_messages", "invoices/payments": "invoice_payments", "estimates/messages": "estimate_messages",
	"users/billable_rates": "user_billable_rates", "users/cost_rates": "user_cost_rates", "projects/user_assignments": "user_assignments",
	"projects/task_assignments": "task_assignments"}

// route finds what a path names. What it does not know gets the HTML page of an unknown route (harvest-api 4.12).
func (s *Sim) route(q *req) *answer {
	id := make([]int64, len(q.segs))
	for i, seg := range q.segs {
		if isID(seg) {
			id[i], _ = strconv.ParseInt(seg, 10, 64) // 0, no row's id, when out of range
		}
	}
	switch {
	case q.path == "accounts":
		return s.accounts()
	case q.path == "company":
		return s.single(q, s.kind["company"], s.opts.Account)
	case q.path == "users/me":
		return s.whoAmI(q)
	case len(q.segs) == 1:
		if k := s.kind[q.segs[0]]; k != nil && k.parent == "" && k.path == q.segs[0] && k.spec != "" {
			return s.collection(q, k, 0)
		}
	case q.segs[0] == "reports":
		return s.report(q)
	case len(q.segs) == 2 && isID(q.segs[1]):
		if k := s.kind[q.segs[0]]; k != nil && k.path == q.segs[0] && k.parent == "" && k.byItself() {
			return s.single(q, s.kind[q.segs[0]], id[1])
		}
	case len(q.segs) == 3 && q.segs[0] == "users" && q.segs[2] == "project_assignments":
		return s.projectAssignments(q, id[1])
	case len(q.segs) == 3 && q.segs[0] == "users" && isID(q.segs[1]) && q.segs[2] == "teammates":
		return s.teammates(q, id[1])
	case len(q.segs) == 3 && q.segs[0] == "time_entries" && isID(q.segs[1]):
		return s.timer(q, id[1])
	case len(q.segs) >= 3 && isID(q.segs[1]):
		return s.nested(q, id)
	}
	return page(http.StatusNotFound)
}

// byItself says whether a kind has a GET by id without a parent in the path.
func (k *kind) byItself() bool {
	return k.name != "company" && k.name != "user_assignments" && k.name != "task_assignments"
}

// nested serves what lies below a parent.
func (s *Sim) nested(q *req, id []int64) *answer {
	k := s.kind[below[q.segs[0]+"/"+q.segs[2]]]
	for _, st := range s.opts.Extra {
		if st.Parent == q.segs[0] && s.kind[st.Name].path == q.segs[2] {
			k = s.kind[st.Name]
		}
	}
	if k == nil || len(q.segs) > 4 {
		return page(http.StatusNotFound)
	}
	if parent := s.kind[q.segs[0]]; q.view.get(parent, id[1]) == nil || !q.view.sees(parent, q.view.get(parent, id[1])) {
		return s.invisible(q, parent, id[1])
	}
	if len(q.segs) == 3 {
		return s.collection(q, k, id[1])
	}
	if q.segs[3] == "new" && k.name == "invoice_messages" {
		return jsonAnswer(200, `{"invoice_id":`+q.segs[1]+`,"subject":"Your document","body":"Hello,\r\n\r\nplease find it attached.","reminder":false,"thank_you":false}`)
	}
	r := k.get(id[3])
	if r != nil && r.parent != id[1] {
		return notFound()
	}
	if q.r.Method == http.MethodGet && q.segs[2] != "billable_rates" && q.segs[2] != "cost_rates" && k.group != "project" {
		return page(http.StatusNotFound) // messages and payments have no GET by id
	}
	return s.single(q, k, id[3])
}

func (s *Sim) accounts() *answer {
	me := s.kind["users"].get(s.me)
	id := strconv.FormatInt(s.opts.Account, 10)
	return jsonAnswer(200, `{"user":{"id":`+strconv.FormatInt(s.me, 10)+`,"first_name":"User","last_name":`+quote(s.str(me.vals[s.kind["users"].slot("last_name")]))+
		`,"email":"user@example.com"},"accounts":[{"id":`+strconv.FormatInt(s.opts.Account+1, 10)+`,"name":"Account","product":"forecast"},{"id":`+id+
		`,"name":"Account","product":"harvest"}]}`)
}

// whoAmI is the token's user, open to everyone; others than administrators do not see its rates (harvest-api 3.1).
func (s *Sim) whoAmI(q *req) *answer {
	users := s.kind["users"]
	me := q.view.get(users, s.me).copy()
	me.vals[users.slot("access_roles")] = s.accessRoles()
	body := q.view.appendRow(nil, users, me)
	return &answer{status: 200, body: append(body[:len(body)-1], `,"permissions_claims":["expenses:read:own","timers:read:own"]}`...), rows: 1}
}

// single answers GET, PATCH and DELETE of one object.
func (s *Sim) single(q *req, k *kind, id int64) *answer {
	if a := s.barred(q, k); a != nil {
		return a
	}
	r := q.view.get(k, id)
	if r == nil || !q.view.sees(k, r) {
		return s.invisible(q, k, id)
	}
	switch q.r.Method {
	case http.MethodGet:
		return &answer{status: 200, body: q.view.appendRow(nil, k, r), rows: 1}
	case http.MethodPatch:
		f, err := q.fields(k)
		if err == nil {
			err = s.do(func(t *tx) error { return t.update(k, id, f, false) })
		}
		return s.written(q, k, id, http.StatusOK, err)
	case http.MethodDelete:
		body := q.view.appendRow(nil, k, r)
		if err := s.do(func(t *tx) error { return t.delete(k, id) }); err != nil {
			return s.written(q, k, id, 0, err)
		}
		if !s.opts.DeleteBody {
			body = nil
		}
		return &answer{status: 200, body: body}
	}
	return page(http.StatusNotFound)
}

// invisible is the answer about a row that is not there, or not for this token.
func (s *Sim) invisible(q *req, k *kind, id int64) *answer {
	if q.view.get(k, id) != nil && s.opts.Hidden == http.StatusForbidden {
		return forbidden()
	}
	return notFound()
}

// written answers a write.
func (s *Sim) written(q *req, k *kind, id int64, status int, err error) *answer {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Status == http.StatusNotFound:
		return notFound()
	case errors.As(err, &refusal):
		return message(refusal.Status, refusal.Message)
	case err != nil:
		return message(http.StatusUnprocessableEntity, err.Error())
	}
	a := &answer{status: status, header: http.Header{}}
	v := s.present()
	if r := v.get(k, id); r != nil {
		a.body = v.appendRow(nil, k, r)
	}
	if status == http.StatusCreated {
		a.header.Set("Location", "/api/v2/"+q.path+"/"+strconv.FormatInt(id, 10))
	}
	return a
}

// timer answers PATCH time_entries/{id}/stop and /restart.
func (s *Sim) timer(q *req, id int64) *answer {
	k := s.kind["time_entries"]
	r := k.get(id)
	if q.r.Method != http.MethodPatch || q.segs[2] != "stop" && q.segs[2] != "restart" {
		return page(http.StatusNotFound)
	}
	if r == nil {
		return notFound()
	}
	user := r.vals[k.slot("user")].int()
	_, running := s.running(r)
	if running == (q.segs[2] == "restart") {
		return message(http.StatusUnprocessableEntity, "Timer is already "+map[bool]string{true: "running", false: "stopped"}[running]+".")
	}
	err := s.do(func(t *tx) error {
		t.stopRunning(user, t.silent(SilentStop))
		if !running {
			t.edit(k, id, false, func(r *row) { r.vals[s.te.timer] = instant(t.stamp) })
		}
		return nil
	})
	return s.written(q, k, id, http.StatusOK, err)
}

// fields reads the JSON body of a write; what the kind has not is ignored, as Rails does.
func (q *req) fields(k *kind) (Fields, error) {
	f := Fields{}
	dec := json.NewDecoder(io.LimitReader(q.r.Body, 1<<20))
	dec.UseNumber()
	if err := dec.Decode(&f); err != nil && err != io.EOF {
		return nil, &Refusal{http.StatusBadRequest, "The body is not JSON."}
	}
	return k.known(f), nil
}

func (k *kind) known(f map[string]any) Fields {
	out := Fields{}
	for name, x := range f { // into a map again: order does not matter
		base := name
		if n := len(name) - len("_id"); n > 0 && name[n:] == "_id" {
			base = name[:n]
		}
		if !k.has(name) && !k.has("_"+name) && !k.has(base) {
			continue
		}
		if list, ok := x.([]any); ok {
			x = k.knownList(list)
		}
		out[name] = x
	}
	return out
}

func (k *kind) knownList(list []any) any {
	var words []string
	objects := []Fields{}
	for _, x := range list {
		switch x := x.(type) {
		case string:
			words = append(words, x)
		case map[string]any:
			objects = append(objects, x)
		}
	}
	if words != nil {
		return words
	}
	return objects
}

// report checks the limit of its own bucket only; its results are empty.
func (s *Sim) report(q *req) *answer {
	q.empty = true
	return s.envelope(q, s.reportKind(), listing{perPage: 2000, page: 1})
}

func (s *Sim) reportKind() *kind { return &kind{name: "reports", list: "results", dated: "-"} }
