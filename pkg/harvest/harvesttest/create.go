package harvesttest

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// reserve takes the next id of a kind; ids grow with gaps, as in a database many accounts share.
func (s *Sim) reserve(k *kind) int64 {
	k.next += 1 + int64(len(k.name)+int(k.next))%3
	return k.next
}

// create adds a row with the defaults of its kind, f on top, and what else the API does then.
func (t *tx) create(k *kind, id, parent int64, f Fields) error {
	if k.parent != "" && t.s.kind[k.parent].get(parent) == nil {
		return &Refusal{404, "Not Found"}
	}
	r := blank(k)
	r.id, r.parent, r.created, r.updated = id, parent, t.stamp, t.stamp
	all := t.defaults(k, id, f)
	if all == nil {
		all = Fields{}
	}
	maps.Copy(all, f)
	if err := t.apply(k, r, all); err != nil {
		return err
	}
	if finish := finishers[k.name]; finish != nil {
		if err := finish(t, k, r); err != nil {
			return err
		}
	}
	t.put(k, r)
	return nil
}

// defaults are a new row's fields where nothing else was asked for. Empty texts are null in some rows and "" in others,
// as they come from the API or from the pages (harvest-api 4.5).
func (t *tx) defaults(k *kind, id int64, f Fields) Fields {
	n := len(k.byID) + 1
	empty := any(nil)
	if id%2 == 0 {
		empty = ""
	}
	switch k.name {
	case "users":
		return Fields{"first_name": "User", "last_name": strconv.Itoa(n), "email": fmt.Sprintf("user%d@example.com", n), "telephone": "",
			"timezone": "Eastern Time (US & Canada)", "weekly_capacity": 126000, "has_access_to_all_future_projects": false,
			"is_contractor": id%7 == 0, "is_active": true, "calendar_integration_enabled": false, "can_create_projects": false,
			"access_roles": []string{"member"}, "avatar_url": fmt.Sprintf("https://cache.harvestapp.com/assets/profile_images/default.png?%d", t.stamp)}
	case "roles":
		return Fields{"name": fmt.Sprintf("Role %d", n), "user_ids": []int64{}}
	case "clients":
		return Fields{"name": fmt.Sprintf("Client %d", n), "is_active": true, "address": empty, "currency": []string{"EUR", "USD", "GBP"}[id%3],
			"statement_key": t.key(k, id)}
	case "contacts":
		return Fields{"first_name": "Contact", "last_name": strconv.Itoa(n), "email": fmt.Sprintf("contact%d@example.org", n), "phone_office": empty,
			"phone_mobile": "+00 555 " + strconv.Itoa(n), "fax": empty, "invoice_recipient_status": "none"}
	case "tasks":
		return Fields{"name": fmt.Sprintf("Task %d", n), "billable_by_default": true, "is_default": false, "is_active": true}
	case "projects":
		return Fields{"name": fmt.Sprintf("Project %d", n), "code": empty, "is_active": true, "is_billable": true, "is_fixed_fee": false,
			"bill_by": "Project", "budget_by": "none", "budget_is_monthly": false, "notify_when_over_budget": false,
			"over_budget_notification_percentage": 80, "show_budget_to_all": false, "currency": "EUR", "notes": empty,
			"cost_budget_include_expenses": false, "hourly_rate": 80 + n%8*5, "starts_on": t.now()}
	case "user_assignments":
		return Fields{"is_project_manager": false, "is_active": true, "use_default_rates": true}
	case "task_assignments":
		return Fields{"billable": true, "is_active": true}
	case "invoice_item_categories":
		return Fields{"name": fmt.Sprintf("Category %d", n), "use_as_service": false, "use_as_expense": false}
	case "estimate_item_categories":
		return Fields{"name": fmt.Sprintf("Category %d", n)}
	case "expense_categories":
		return Fields{"name": fmt.Sprintf("Category %d", n), "is_active": true}
	case "user_billable_rates", "user_cost_rates":
		return Fields{"amount": 0}
	}
	return t.moreDefaults(k, id, f, empty)
}

// moreDefaults are those of documents and tracked items.
func (t *tx) moreDefaults(k *kind, id int64, f Fields, empty any) Fields {
	me := t.s.kind["users"].get(t.s.me)
	switch k.name {
	case "estimates", "invoices":
		d := Fields{"client_key": t.key(k, id), "number": fmt.Sprintf("%c-%05d", k.name[0]-32, id-k.base), "purchase_order": empty, "tax_amount": 0,
			"tax2_amount": 0, "discount_amount": 0, "subject": "Work", "notes": empty, "state": "draft", "issue_date": t.now(), "currency": "EUR",
			"creator_id": t.s.me, "line_items": []Fields{}}
		if k.name == "invoices" {
			maps.Copy(d, Fields{"due_date": t.now().AddDate(0, 0, 30), "payment_term": "net 30", "payment_options": []string{"credit_card"}})
		}
		return d
	case "invoice_messages", "estimate_messages":
		d := Fields{"sent_by": t.s.userName(me), "sent_by_email": "user@example.com", "sent_from": t.s.userName(me),
			"sent_from_email": "user@example.com", "send_me_a_copy": false, "recipients": []Fields{}}
		if k.name == "invoice_messages" {
			maps.Copy(d, Fields{"include_link_to_client_invoice": false, "thank_you": false, "reminder": false, "attach_pdf": true})
		}
		if f["event_type"] == nil {
			maps.Copy(d, Fields{"subject": "Your document", "body": "Hello,\r\n\r\nplease find it attached.",
				"recipients": []Fields{{"name": fmt.Sprintf("Contact %d", id%97), "email": fmt.Sprintf("contact%d@example.org", id%97)}}})
		}
		return d
	case "invoice_payments":
		return Fields{"paid_at": t.now(), "recorded_by": t.s.userName(me), "recorded_by_email": "user@example.com", "notes": empty,
			"paid_date": t.now(), "payment_gateway": t.s.raw(`{"id":null,"name":null}`)}
	case "expenses":
		return Fields{"spent_date": t.now(), "notes": empty, "units": 1, "total_cost": 10, "billable": true, "is_explicitly_locked": false,
			"reimbursement": false, "approval_status": t.s.words.unsubmitted, "user_id": t.s.me}
	case "time_entries":
		return Fields{"spent_date": t.now(), "notes": empty, "is_explicitly_locked": false, "approval_status": t.s.words.unsubmitted, "billable": true,
			"budgeted": true, "user_id": t.s.me}
	}
	return maps.Clone(k.made)
}

// key is a made-up secret of a public page.
func (t *tx) key(k *kind, id int64) string {
	h := uint64(id)*0x9e3779b97f4a7c15 + uint64(len(k.name)) + t.s.opts.Seed
	h2 := (h ^ h>>31) * 0xbf58476d1ce4e5b9
	return fmt.Sprintf("%016x%016x", h, h2)
}

// finishers complete a new row and do to other rows what the API does (harvest-api 4.3).
var finishers = map[string]func(t *tx, k *kind, r *row) error{
	"contacts": func(t *tx, k *kind, r *row) error {
		return t.need(k, r, "client", func(id int64) { t.edit(t.s.kind["clients"], id, false, func(*row) {}) })
	},
	"projects": func(t *tx, k *kind, r *row) error {
		silent := t.silent(SilentProject)
		return t.need(k, r, "client", func(id int64) {
			if !silent {
				t.edit(t.s.kind["clients"], id, false, func(*row) {})
			}
		})
	},
	"user_assignments": func(t *tx, k *kind, r *row) error { return t.assign(k, r, "user") },
	"task_assignments": func(t *tx, k *kind, r *row) error { return t.assign(k, r, "task") },
	"time_entries":     finishEntry,
	"expenses": func(t *tx, k *kind, r *row) error {
		r.vals[k.slot("user_assignment")] = t.assignment("user_assignments", r.vals[k.slot("project")], "user", r.vals[k.slot("user")])
		return t.need(k, r, "project", nil)
	},
	"invoices":            func(t *tx, k *kind, r *row) error { t.total(k, r); return t.need(k, r, "client", nil) },
	"estimates":           func(t *tx, k *kind, r *row) error { t.total(k, r); return t.need(k, r, "client", nil) },
	"invoice_messages":    finishMessage,
	"estimate_messages":   finishMessage,
	"invoice_payments":    finishPayment,
	"user_billable_rates": finishRate,
	"user_cost_rates":     finishRate,
}

// need refuses a row without a parent it must have.
func (t *tx) need(k *kind, r *row, parent string, then func(id int64)) error {
	x := r.vals[k.slot(parent)]
	if !x.set() {
		return &Refusal{422, parent + " must exist"}
	}
	if then != nil {
		then(x.int())
	}
	return nil
}

func (t *tx) assign(k *kind, r *row, to string) error {
	project := r.vals[k.slot("project")]
	for _, other := range k.kids[project.int()] {
		if other.id != r.id && other.vals[k.slot(to)] == r.vals[k.slot(to)] {
			return &Refusal{422, to + " is already assigned"}
		}
	}
	return t.need(k, r, "project", nil)
}

// assignment is the reference to what assigns a user or task to a project, null if nothing does.
func (t *tx) assignment(name string, project val, to string, id val) val {
	k := t.s.kind[name]
	slot := k.slot(to)
	for _, a := range k.kids[project.int()] {
		if a.vals[slot] == id {
			return integer(a.id)
		}
	}
	return tagNull
}

// finishEntry resolves the assignments and rates of time; without hours its timer runs.
func finishEntry(t *tx, k *kind, r *row) error {
	project, user := r.vals[k.slot("project")], r.vals[k.slot("user")]
	r.vals[k.slot("user_assignment")] = t.assignment("user_assignments", project, "user", user)
	r.vals[k.slot("task_assignment")] = t.assignment("task_assignments", project, "task", r.vals[k.slot("task")])
	if err := t.need(k, r, "task", nil); err != nil {
		return err
	}
	if err := t.need(k, r, "project", nil); err != nil {
		return err
	}
	projects, users := t.s.kind["projects"], t.s.kind["users"]
	if r.vals[k.slot("billable")] == tagTrue && !r.vals[k.slot("billable_rate")].set() {
		r.vals[k.slot("billable_rate")] = projects.get(project.int()).vals[projects.slot("hourly_rate")]
	}
	if !r.vals[k.slot("cost_rate")].set() {
		r.vals[k.slot("cost_rate")] = users.get(user.int()).vals[users.slot("cost_rate")]
	}
	if !r.vals[t.s.te.hours].set() {
		t.stopRunning(user.int(), false)
		r.vals[t.s.te.hours], r.vals[t.s.te.timer] = cents(0), instant(t.stamp)
	}
	if t.s.opts.Timestamps {
		minutes := t.stamp / 60 % 1440
		r.vals[k.slot("started_time")] = payload(tagClock, minutes)
		if _, running := t.s.running(r); !running {
			r.vals[k.slot("ended_time")] = payload(tagClock, (minutes+r.vals[t.s.te.hours].hundredths()*60/100)%1440)
		}
	}
	return nil
}

// total computes the amounts of an invoice or estimate from its lines.
func (t *tx) total(k *kind, r *row) {
	var sum int64
	for _, line := range t.s.rowsOf(r.vals[k.slot("line_items")]) {
		item := t.s.itemKind(line)
		amount := line.vals[item.slot("quantity")].hundredths() * line.vals[item.slot("unit_price")].hundredths() / 100
		line.vals[item.slot("amount")] = cents(amount)
		sum += amount
	}
	if len(t.s.rowsOf(r.vals[k.slot("line_items")])) == 0 {
		sum = r.vals[k.slot("amount")].hundredths()
	}
	discount := sum * r.vals[k.slot("discount")].hundredths() / 10000
	tax := (sum - discount) * r.vals[k.slot("tax")].hundredths() / 10000
	tax2 := (sum - discount) * r.vals[k.slot("tax2")].hundredths() / 10000
	if len(t.s.rowsOf(r.vals[k.slot("line_items")])) > 0 {
		r.vals[k.slot("discount_amount")], r.vals[k.slot("tax_amount")], r.vals[k.slot("tax2_amount")] = cents(discount), cents(tax), cents(tax2)
		sum += tax + tax2 - discount
	}
	r.vals[k.slot("amount")] = cents(sum)
	if k.name == "invoices" {
		paid := int64(0)
		for _, p := range t.s.kind["invoice_payments"].kids[r.id] {
			paid += p.vals[t.s.kind["invoice_payments"].slot("amount")].hundredths()
		}
		r.vals[k.slot("due_amount")] = cents(sum - paid)
	}
}

// finishMessage moves the parent: a mail sets sent_at, an event changes the state.
func finishMessage(t *tx, k *kind, r *row) error {
	parent := t.s.kind[k.parent]
	event := t.s.str(r.vals[k.slot("event_type")])
	silent := event != "" && t.silent(SilentEvent)
	t.edit(parent, r.parent, silent, func(p *row) {
		state, at := "", ""
		switch event {
		case "", "send":
			p.vals[parent.slot("sent_at")] = instant(t.stamp)
			if t.s.str(p.vals[parent.slot("state")]) == "draft" {
				state = map[string]string{"invoices": "open", "estimates": "sent"}[parent.name]
			}
		case "close":
			state, at = "closed", "closed_at"
		case "re-open":
			state = map[string]string{"invoices": "open", "estimates": "sent"}[parent.name]
			for _, name := range []string{"closed_at", "accepted_at", "declined_at"} {
				if parent.has(name) {
					p.vals[parent.slot(name)] = tagNull
				}
			}
		case "draft":
			state = "draft"
		case "accept":
			state, at = "accepted", "accepted_at"
		case "decline":
			state, at = "declined", "declined_at"
		}
		if state != "" {
			p.vals[parent.slot("state")] = t.s.text(state)
		}
		if at != "" && parent.has(at) {
			p.vals[parent.slot(at)] = instant(t.stamp)
		}
	})
	return nil
}

// finishPayment lowers what is due; the invoice's updated_at becomes the payment's created_at.
func finishPayment(t *tx, k *kind, r *row) error {
	invoices := t.s.kind["invoices"]
	inv := invoices.get(r.parent)
	amount := r.vals[k.slot("amount")]
	if !amount.set() || amount.hundredths() == 0 {
		amount = inv.vals[invoices.slot("due_amount")]
		r.vals[k.slot("amount")] = amount
	}
	t.edit(invoices, r.parent, false, func(inv *row) {
		t.settleInvoice(inv, -amount.hundredths(), r.vals[k.slot("paid_date")])
	})
	return nil
}

// settleInvoice changes what is due by cents and the state that follows from it.
func (t *tx) settleInvoice(inv *row, change int64, date val) {
	k := t.s.kind["invoices"]
	due := inv.vals[k.slot("due_amount")].hundredths() + change
	inv.vals[k.slot("due_amount")] = cents(due)
	if due <= 0 {
		inv.vals[k.slot("state")] = t.s.text("paid")
		inv.vals[k.slot("paid_date")] = date
		inv.vals[k.slot("paid_at")] = instant(date.int() * 86400) // midnight UTC of the day (4.8)
		return
	}
	inv.vals[k.slot("state")] = t.s.text("open")
	inv.vals[k.slot("paid_date")], inv.vals[k.slot("paid_at")] = tagNull, tagNull
}

// finishRate ends the rate before, and replaces those from the new one's start on (harvest-api 2.20).
func finishRate(t *tx, k *kind, r *row) error {
	start, end := k.slot("start_date"), k.slot("end_date")
	var replaced []*row
	var before *row
	for _, other := range k.kids[r.parent] {
		if !r.vals[start].set() || other.vals[start].set() && other.vals[start].int() >= r.vals[start].int() {
			replaced = append(replaced, other)
		} else if before == nil || before.vals[start].int() < other.vals[start].int() || !before.vals[start].set() {
			before = other
		}
	}
	t.remove(k, replaced...)
	if before != nil {
		t.edit(k, before.id, false, func(b *row) { b.vals[end] = day(r.vals[start].int() - 1) })
	}
	field := map[string]string{"user_billable_rates": "default_hourly_rate", "user_cost_rates": "cost_rate"}[k.name]
	users := t.s.kind["users"]
	t.edit(users, r.parent, t.silent(SilentRate), func(u *row) { u.vals[users.slot(field)] = r.vals[k.slot("amount")] })
	return nil
}

func (t *tx) silent(what Silent) bool { return t.quiet&what != 0 }

// stopRunning stops a user's timer; at most one runs (harvest-api 4.7).
func (t *tx) stopRunning(user int64, silent bool) {
	id := t.s.runningOf(user)
	if id == 0 {
		return
	}
	k := t.s.kind["time_entries"]
	t.edit(k, id, silent, func(r *row) {
		v := view{s: t.s, pos: len(t.s.log), now: t.stamp * int64(time.Second)}
		r.vals[t.s.te.hours], r.vals[t.s.te.timer] = cents(v.hours(r)), tagNull
		if t.s.opts.Timestamps {
			r.vals[k.slot("ended_time")] = payload(tagClock, t.stamp/60%1440)
		}
	})
}
