package harvesttest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Refusal is a change the API would refuse.
type Refusal struct { //nolint:errname // it is what the API says, and only by the way an error
	Status  int
	Message string
}

// Error is the message of the API.
func (e *Refusal) Error() string { return e.Message }

// change runs a mutation of a stream under the lock.
func (s *Sim) change(stream string, fn func(t *tx, k *kind) error) error {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind[stream]
	if k == nil || !slices.Contains(s.kinds, k) {
		return fmt.Errorf("no stream %q", stream)
	}
	return s.do(func(t *tx) error { return fn(t, k) })
}

// Create adds a row as POST would and returns its id. parent is the id in the path of child streams, else 0. What Harvest
// would move beside it moves: a contact its client, a payment or a message its document, a rate the one before.
func (s *Sim) Create(stream string, parent int64, f Fields) (int64, error) {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind[stream]
	if k == nil || !slices.Contains(s.kinds, k) {
		return 0, fmt.Errorf("no stream %q", stream)
	}
	id := s.reserve(k)
	return id, s.do(func(t *tx) error { return t.create(k, id, parent, f) })
}

// Update changes a row as PATCH would: updated_at becomes now.
func (s *Sim) Update(stream string, id int64, f Fields) error { return s.update(stream, id, f, false) }

// Touch changes a row without touching updated_at: a derived value, a vendor's repair, a quiet error.
func (s *Sim) Touch(stream string, id int64, f Fields) error { return s.update(stream, id, f, true) }

func (s *Sim) update(stream string, id int64, f Fields, silent bool) error {
	return s.change(stream, func(t *tx, k *kind) error { return t.update(k, id, f, silent) })
}

func (t *tx) update(k *kind, id int64, f Fields, silent bool) error {
	if k.name == "company" {
		id = t.s.opts.Account
	}
	old := k.get(id)
	if old == nil {
		return &Refusal{404, "Not Found"}
	}
	r := old.copy()
	if err := t.apply(k, r, f); err != nil {
		return err
	}
	if k.name == "invoices" || k.name == "estimates" {
		t.total(k, r)
	}
	if k.name == "time_entries" && (r.vals[k.slot("project")] != old.vals[k.slot("project")] || r.vals[k.slot("task")] != old.vals[k.slot("task")]) {
		project := r.vals[k.slot("project")]
		r.vals[k.slot("user_assignment")] = t.assignment("user_assignments", project, "user", r.vals[k.slot("user")])
		r.vals[k.slot("task_assignment")] = t.assignment("task_assignments", project, "task", r.vals[k.slot("task")])
	}
	if !silent {
		r.updated = t.stamp
	}
	t.put(k, r)
	return nil
}

// SetUpdated sets updated_at, to the past or the future too.
func (s *Sim) SetUpdated(stream string, id int64, at time.Time) error {
	return s.change(stream, func(t *tx, k *kind) error {
		if k.get(id) == nil {
			return &Refusal{404, "Not Found"}
		}
		t.restore = true
		t.edit(k, id, true, func(r *row) { r.updated = at.Unix() })
		return nil
	})
}

// Delete removes a row with its cascade, or refuses with a *Refusal (422) as the API guards it: a project takes time,
// expenses and assignments along, an invoice or estimate its messages and payments (its time is freed), a user rates and
// assignments, a client its contacts.
func (s *Sim) Delete(stream string, id int64) error {
	return s.change(stream, func(t *tx, k *kind) error { return t.delete(k, id) })
}

// Rename gives a row another name (last name of users and contacts, number of documents, notes of tracked items). What
// embeds the name shows it at once, with its updated_at where it was.
func (s *Sim) Rename(stream string, id int64, name string) error {
	return s.change(stream, func(t *tx, k *kind) error { return t.update(k, id, Fields{k.nameField(): name}, false) })
}

func (k *kind) nameField() string {
	for _, name := range []string{"name", "last_name", "number", "notes"} {
		if k.has(name) {
			return name
		}
	}
	return ""
}

// Archive sets is_active to false, an ordinary update.
func (s *Sim) Archive(stream string, id int64) error {
	return s.Update(stream, id, Fields{"is_active": false})
}

// Activate sets is_active to true.
func (s *Sim) Activate(stream string, id int64) error {
	return s.Update(stream, id, Fields{"is_active": true})
}

// StartTimer starts a new running entry of a user, on what the user last worked on, and stops the one that ran; its id.
func (s *Sim) StartTimer(user int64) (int64, error) {
	s.enter()
	defer s.mu.Unlock()
	return s.startTimer(user)
}

func (s *Sim) startTimer(user int64) (int64, error) {
	project, task := s.workOf(user, 0)
	if project == 0 {
		return 0, &Refusal{422, "user has no project"}
	}
	k := s.kind["time_entries"]
	id := s.reserve(k)
	return id, s.do(func(t *tx) error {
		return t.create(k, id, 0, Fields{"user_id": user, "project_id": project, "task_id": task, "hours": nil})
	})
}

// workOf is the n-th latest project a user is assigned to, round and round, and a task of it; zero if there is none.
func (s *Sim) workOf(user int64, n int) (project, task int64) {
	k, tasks := s.kind["user_assignments"], s.kind["task_assignments"]
	var projects []int64
	for _, a := range slices.Backward(k.byID) {
		if a.vals[k.slot("user")].int() == user && len(tasks.kids[a.parent]) > 0 {
			projects = append(projects, a.parent)
		}
	}
	if len(projects) == 0 {
		return 0, 0
	}
	project = projects[n%len(projects)]
	jobs := tasks.kids[project]
	return project, jobs[n%len(jobs)].vals[tasks.slot("task")].int()
}

// StopTimer stops the user's running entry; its id. With SilentStop its updated_at stays.
func (s *Sim) StopTimer(user int64) (int64, error) {
	s.enter()
	defer s.mu.Unlock()
	id := s.runningOf(user)
	if id == 0 {
		return 0, &Refusal{422, "no timer is running"}
	}
	return id, s.do(func(t *tx) error { t.stopRunning(user, t.silent(SilentStop)); return nil })
}

// Running are the ids of running entries, ascending.
func (s *Sim) Running() []int64 {
	s.enter()
	defer s.mu.Unlock()
	return s.runningIDs()
}

func (s *Sim) runningIDs() []int64 { return slices.Sorted(maps.Keys(s.timers)) }

// runningOf is the user's running entry, 0 if there is none. Only a restore can leave more than one: then it is the oldest.
func (s *Sim) runningOf(user int64) int64 {
	for _, id := range s.runningIDs() {
		if s.timers[id] == user {
			return id
		}
	}
	return 0
}

// RecordPayment pays an amount of an invoice (0: all that is due); the payment's id.
func (s *Sim) RecordPayment(invoice int64, amount float64) (int64, error) {
	return s.Create("invoice_payments", invoice, Fields{"amount": amount})
}

// Send mails an invoice or estimate: a message, sent_at, updated_at and, of a draft, the state; the message's id.
func (s *Sim) Send(stream string, id int64) (int64, error) {
	return s.Create(map[string]string{"invoices": "invoice_messages", "estimates": "estimate_messages"}[stream], id, Fields{})
}

// AddRate adds a rate to user_billable_rates or user_cost_rates: it ends the one before; without a start (YYYY-MM-DD), or
// with an earlier one, it replaces those after it, whose ids vanish.
func (s *Sim) AddRate(stream string, user int64, amount float64, start string) (int64, error) {
	f := Fields{"amount": amount}
	if start != "" {
		f["start_date"] = start
	}
	return s.Create(stream, user, f)
}

// InvoiceTime makes an invoice of a client's unbilled time; the entries' and the client's updated_at move with it.
func (s *Sim) InvoiceTime(client int64) (int64, error) {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind["invoices"]
	id := s.reserve(k)
	return id, s.do(func(t *tx) error { return t.invoiceTime(k, id, client) })
}

func (t *tx) invoiceTime(k *kind, id, client int64) error {
	s := t.s
	entries := s.kind["time_entries"]
	var lines []Fields
	var billed []*row
	for _, p := range s.kind["projects"].kids[client] {
		var sum int64
		for _, e := range entries.kids[p.id] {
			if _, running := s.running(e); !running && !e.vals[entries.slot("invoice")].set() && e.vals[entries.slot("billable")] == tagTrue && len(billed) < 500 {
				billed = append(billed, e)
				sum += e.vals[s.te.hours].hundredths()
			}
		}
		if sum > 0 {
			lines = append(lines, Fields{"kind": "Service", "description": "Time", "quantity": cents(sum), "unit_price": 100, "taxed": false, "taxed2": false,
				"project_id": p.id})
		}
	}
	if len(lines) == 0 {
		return &Refusal{422, "nothing to invoice"}
	}
	if err := t.create(k, id, 0, Fields{"client_id": client, "line_items": lines}); err != nil {
		return err
	}
	for _, e := range billed {
		t.edit(entries, e.id, false, func(e *row) { e.vals[entries.slot("invoice")] = integer(id) })
	}
	t.edit(s.kind["clients"], client, false, func(*row) {})
	return nil
}

// Approve approves every entry and expense of the days from..to (YYYY-MM-DD, inclusive) in one second; how many.
func (s *Sim) Approve(from, to string) int {
	s.enter()
	defer s.mu.Unlock()
	first, last := s.stringValue("spent_date", from).int(), s.stringValue("spent_date", to).int()
	n := 0
	_ = s.do(func(t *tx) error {
		for _, name := range []string{"time_entries", "expenses"} {
			k := s.kind[name]
			lo, hi := k.window(k.byDate, first, last)
			for _, r := range slices.Clone(k.byDate[lo:hi]) {
				if !s.approved(k, r) {
					t.edit(k, r.id, false, func(r *row) { r.vals[k.slot("approval_status")] = s.words.approved })
					n++
				}
			}
		}
		return nil
	})
	return n
}

// Restore is the vendor's restore: rows are as they were at that moment, updated_at included, and deleted ones return
// (unless what they belong to is gone). Without ids it is the whole stream. It says how many rows changed.
func (s *Sim) Restore(stream string, at time.Time, ids ...int64) int {
	n := 0
	_ = s.change(stream, func(t *tx, k *kind) error {
		then := s.past(at)
		t.restore = true
		if len(ids) == 0 {
			for _, r := range then.rows(k) {
				ids = append(ids, r.id)
			}
		}
		for _, id := range ids {
			if old := then.get(k, id); old != nil && old != k.get(id) && t.canReturn(k, old) {
				t.put(k, old.copy())
				n++
			}
		}
		return nil
	})
	return n
}

// canReturn says whether everything a row cannot be without is there.
func (t *tx) canReturn(k *kind, r *row) bool {
	if k.parent != "" && t.s.kind[k.parent].get(r.parent) == nil {
		return false
	}
	for _, name := range []string{"client", "project", "user", "task"} {
		if k.has(name) && r.vals[k.slot(name)].set() && t.s.kind[referenced[name]].get(r.vals[k.slot(name)].int()) == nil {
			return false
		}
	}
	return true
}
