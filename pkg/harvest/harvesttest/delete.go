package harvesttest

import "slices"

// delete removes a row as DELETE does: guards first (422), then the cascade (harvest-api 4.1). Nothing is left of it.
func (t *tx) delete(k *kind, id int64) error {
	r := k.get(id)
	if r == nil {
		return &Refusal{404, "Not Found"}
	}
	if reason := t.guard(k, r); reason != "" {
		return &Refusal{422, reason}
	}
	s := t.s
	switch k.name {
	case "clients":
		t.remove(s.kind["contacts"], s.kind["contacts"].kids[id]...)
	case "projects":
		for _, name := range []string{"time_entries", "expenses", "user_assignments", "task_assignments"} {
			t.remove(s.kind[name], s.kind[name].kids[id]...)
		}
	case "tasks":
		t.remove(s.kind["task_assignments"], s.referring("task_assignments", "task", id)...)
	case "users":
		t.remove(s.kind["user_assignments"], s.referring("user_assignments", "user", id)...)
		t.remove(s.kind["user_billable_rates"], s.kind["user_billable_rates"].kids[id]...)
		t.remove(s.kind["user_cost_rates"], s.kind["user_cost_rates"].kids[id]...)
		t.unlink(id)
	case "invoices":
		t.remove(s.kind["invoice_messages"], s.kind["invoice_messages"].kids[id]...)
		t.remove(s.kind["invoice_payments"], s.kind["invoice_payments"].kids[id]...)
		for _, name := range []string{"time_entries", "expenses"} {
			for _, e := range s.referring(name, "invoice", id) {
				t.edit(s.kind[name], e.id, t.silent(SilentFree), func(e *row) { e.vals[s.kind[name].slot("invoice")] = tagNull })
			}
		}
	case "estimates":
		t.remove(s.kind["estimate_messages"], s.kind["estimate_messages"].kids[id]...)
	case "invoice_payments":
		amount := r.vals[k.slot("amount")].hundredths()
		t.edit(s.kind["invoices"], r.parent, t.silent(SilentUnpay), func(inv *row) { t.settleInvoice(inv, amount, tagNull) })
	case "invoice_messages", "estimate_messages":
		t.edit(s.kind[k.parent], r.parent, t.silent(SilentUnpay), func(*row) {})
	}
	t.remove(k, r)
	return nil
}

// guard is why a row cannot be deleted, "" if it can.
func (t *tx) guard(k *kind, r *row) string {
	s := t.s
	switch k.name {
	case "company":
		return "The company is not removable."
	case "clients":
		if len(s.kind["projects"].kids[r.id])+len(s.kind["invoices"].kids[r.id])+len(s.kind["estimates"].kids[r.id]) > 0 {
			return "This client is not removable. It still has projects and/or invoices."
		}
	case "tasks":
		if s.anyReferring("time_entries", "task", r.id) {
			return "This task is not removable. It still has time tracked against it."
		}
	case "users":
		if r.id == s.me {
			return "You can not remove yourself."
		}
		if s.anyReferring("time_entries", "user", r.id) || s.anyReferring("expenses", "user", r.id) {
			return "This person is not removable. There are time entries and/or expenses."
		}
	case "user_assignments":
		if s.anyReferring("time_entries", "user_assignment", r.id) || s.anyReferring("expenses", "user_assignment", r.id) {
			return "This assignment is not removable. There are time entries and/or expenses."
		}
	case "task_assignments":
		if s.anyReferring("time_entries", "task_assignment", r.id) {
			return "This assignment is not removable. There are time entries."
		}
	case "expense_categories":
		if s.anyReferring("expenses", "expense_category", r.id) {
			return "This category is not removable. There are expenses."
		}
	case "invoice_item_categories":
		if r.vals[k.slot("use_as_service")] == tagTrue || r.vals[k.slot("use_as_expense")] == tagTrue {
			return "This category is not removable. It is a default."
		}
	case "user_billable_rates", "user_cost_rates":
		return "Rates are not removable."
	case "time_entries":
		return t.guardEntry(k, r)
	}
	return ""
}

func (t *tx) guardEntry(k *kind, r *row) string {
	s := t.s
	if s.approved(k, r) && s.opts.Role != Administrator {
		return "This time entry is closed."
	}
	project := s.kind["projects"].get(r.vals[k.slot("project")].int())
	task := s.kind["tasks"].get(r.vals[k.slot("task")].int())
	if project.vals[s.kind["projects"].slot("is_active")] == tagFalse || task.vals[s.kind["tasks"].slot("is_active")] == tagFalse {
		return "This time entry is archived."
	}
	return ""
}

// referring are the rows of a kind that point to another row.
func (s *Sim) referring(name, to string, id int64) []*row {
	k := s.kind[name]
	slot, want := k.slot(to), integer(id)
	var rows []*row
	for _, r := range k.byID {
		if r.vals[slot] == want {
			rows = append(rows, r)
		}
	}
	return rows
}

func (s *Sim) anyReferring(name, to string, id int64) bool {
	k := s.kind[name]
	slot, want := k.slot(to), integer(id)
	return slices.ContainsFunc(k.byID, func(r *row) bool { return r.vals[slot] == want })
}

// unlink takes a user out of every role.
func (t *tx) unlink(user int64) {
	k := t.s.kind["roles"]
	slot := k.slot("user_ids")
	for _, role := range slices.Clone(k.byID) {
		ids := t.s.ids(role.vals[slot])
		if i := slices.Index(ids, user); i >= 0 {
			t.setMembers(role.id, slices.Delete(ids, i, i+1))
		}
	}
}

func (t *tx) setMembers(role int64, ids []int64) {
	k := t.s.kind["roles"]
	vals := make([]val, len(ids))
	for i, id := range ids {
		vals[i] = integer(id)
	}
	t.edit(k, role, t.silent(SilentMembership), func(r *row) { r.vals[k.slot("user_ids")] = t.s.array(vals) })
}
