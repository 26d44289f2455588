package harvesttest

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// act is a kind of random change: how often it happens in everyday life (live), and when everything is tried (any).
type act struct {
	name      string
	live, any int
	do        func(a *actor) error
}

// actor makes one random change. All its draws come from one source, so a seed is a history.
type actor struct {
	*Sim
	rng  *rand.Rand
	said string
}

// Step makes one random change of any kind and describes it. What the documentation leaves open about updated_at is
// drawn too.
func (s *Sim) Step(rng *rand.Rand) string {
	before := s.quietly(Silent(rng.Uint32()))
	defer s.quietly(before)
	return s.act(rng, func(a *act) int { return a.any })
}

// Live makes one believable everyday change and describes it.
func (s *Sim) Live(rng *rand.Rand) string {
	return s.act(rng, func(a *act) int { return a.live })
}

// Odd makes one random change to a value that does not fit its field, or to a field nobody announced (P14), and describes
// it. It is apart from Step because an oracle has to know of it.
func (s *Sim) Odd(rng *rand.Rand) string {
	a := &actor{Sim: s, rng: rng}
	values := []Raw{`"many"`, `{"a":[1,2]}`, "true", "12345678901234567890123456789012345678901234567890", "1.12345678951", "1e400", `"2026-13-45"`, "[]", `"1.5"`, "-0.0"}
	stream := a.of("time_entries", "expenses", "invoices", "projects", "clients", "users")
	field := a.of("updated_by_nobody", "notes", "name", "is_active", "billable", "spent_date", "issue_date", "amount", "total_cost", "hours", "weekly_capacity")
	value := values[rng.IntN(len(values))]
	err := s.update(stream, a.any(stream), Fields{field: value}, rng.IntN(2) == 0)
	return fmt.Sprintf("odd %s%s=%s: %v", a.said, field, value, err)
}

func (s *Sim) quietly(what Silent) (before Silent) {
	s.enter()
	defer s.mu.Unlock()
	before, s.quiet = s.quiet, what
	return before
}

func (s *Sim) act(rng *rand.Rand, weight func(*act) int) string {
	total := 0
	for i := range acts {
		total += weight(&acts[i])
	}
	n := rng.IntN(total)
	for i := range acts {
		if n -= weight(&acts[i]); n < 0 {
			a := &actor{Sim: s, rng: rng}
			if err := acts[i].do(a); err != nil {
				return fmt.Sprintf("%s %s: refused: %v", acts[i].name, a.said, err)
			}
			return acts[i].name + " " + a.said
		}
	}
	panic("unreachable")
}

// any picks a row of a stream, 0 when there is none; say keeps it for the description.
func (a *actor) any(stream string) int64 {
	a.enter()
	defer a.mu.Unlock()
	k := a.kind[stream]
	if len(k.byID) == 0 {
		return 0
	}
	return a.say(stream, k.byID[a.rng.IntN(len(k.byID))].id)
}

// recent picks one of the last rows, where changes are likelier.
func (a *actor) recent(stream string) int64 {
	a.enter()
	defer a.mu.Unlock()
	rows := a.kind[stream].byID
	if len(rows) == 0 {
		return 0
	}
	return a.say(stream, rows[len(rows)-1-a.rng.IntN(min(len(rows), 200))].id)
}

func (a *actor) say(stream string, id int64) int64 {
	a.said += fmt.Sprintf("%s/%d ", stream, id)
	return id
}

func (a *actor) of(streams ...string) string { return streams[a.rng.IntN(len(streams))] }

func (a *actor) create(stream string, parent int64, f Fields) error {
	id, err := a.Create(stream, parent, f)
	a.say(stream, id)
	return err
}

// work is fields of a new entry for somebody who may make it.
func (a *actor) work() Fields {
	user := a.any("users")
	a.enter()
	defer a.mu.Unlock()
	project, task := a.workOf(user, a.rng.IntN(60))
	if project == 0 {
		return Fields{}
	}
	return Fields{"user_id": user, "project_id": project, "task_id": task, "notes": fmt.Sprintf("Note %d", a.rng.IntN(1000)),
		"spent_date": day(a.Sim.now().Unix()/86400 - int64(a.rng.IntN(6)*a.rng.IntN(2)))}
}

func (a *actor) name() string { return fmt.Sprintf("Name %d", a.rng.IntN(100000)) }

func (a *actor) hours() val { return cents(int64(5 + a.rng.IntN(800))) }

var acts = []act{
	{"log time", 30, 12, func(a *actor) error {
		f := a.work()
		f["hours"] = a.hours()
		return a.create("time_entries", 0, f)
	}},
	{"edit time", 20, 8, func(a *actor) error {
		return a.Update("time_entries", a.recent("time_entries"), Fields{"notes": a.name(), "hours": a.hours()})
	}},
	{"edit old time", 0, 4, func(a *actor) error {
		return a.Update("time_entries", a.any("time_entries"), Fields{"notes": a.name()})
	}},
	{"delete time", 2, 5, func(a *actor) error { return a.Delete("time_entries", a.any("time_entries")) }},
	{"start timer", 10, 4, func(a *actor) error { _, err := a.StartTimer(a.any("users")); return err }},
	{"stop timer", 9, 4, func(a *actor) error {
		ids := a.Running()
		if len(ids) == 0 {
			return nil
		}
		id := a.say("time_entries", ids[a.rng.IntN(len(ids))])
		_, err := a.StopTimer(a.userOf(id))
		return err
	}},
	{"log expense", 3, 4, func(a *actor) error {
		f := a.work()
		delete(f, "task_id")
		f["expense_category_id"], f["total_cost"] = a.any("expense_categories"), a.hours()
		return a.create("expenses", 0, f)
	}},
	{"edit expense", 2, 3, func(a *actor) error {
		return a.Update("expenses", a.any("expenses"), Fields{"notes": a.name(), "total_cost": a.hours()})
	}},
	{"delete expense", 1, 3, func(a *actor) error { return a.Delete("expenses", a.any("expenses")) }},
	{"invoice time", 2, 3, func(a *actor) error { _, err := a.InvoiceTime(a.any("clients")); return err }},
	{"write invoice", 1, 3, func(a *actor) error {
		return a.create("invoices", 0, Fields{"client_id": a.any("clients"), "line_items": []Fields{{"kind": "Service", "quantity": a.hours(), "unit_price": 90,
			"taxed": false, "taxed2": false, "project_id": a.any("projects")}}})
	}},
	{"edit invoice", 1, 2, func(a *actor) error { return a.Update("invoices", a.any("invoices"), Fields{"subject": a.name()}) }},
	{"send invoice", 3, 4, func(a *actor) error { _, err := a.Send("invoices", a.recent("invoices")); return err }},
	{"pay invoice", 3, 4, func(a *actor) error { _, err := a.RecordPayment(a.recent("invoices"), 0); return err }},
	{"mark invoice", 0, 2, func(a *actor) error {
		return a.create("invoice_messages", a.any("invoices"), Fields{"event_type": a.of("close", "re-open", "view", "draft")})
	}},
	{"delete invoice", 0, 2, func(a *actor) error { return a.Delete("invoices", a.any("invoices")) }},
	{"delete payment", 0, 2, func(a *actor) error { return a.Delete("invoice_payments", a.any("invoice_payments")) }},
	{"delete message", 0, 2, func(a *actor) error {
		stream := a.of("invoice_messages", "estimate_messages")
		return a.Delete(stream, a.any(stream))
	}},
	{"write estimate", 1, 2, func(a *actor) error {
		f := Fields{"client_id": a.any("clients"), "line_items": []Fields{{"kind": "Service", "quantity": 2, "unit_price": a.hours(), "taxed": false, "taxed2": false}}}
		if a.rng.IntN(8) == 0 {
			f["issue_date"] = nil
		}
		return a.create("estimates", 0, f)
	}},
	{"send estimate", 1, 2, func(a *actor) error { _, err := a.Send("estimates", a.any("estimates")); return err }},
	{"mark estimate", 1, 2, func(a *actor) error {
		return a.create("estimate_messages", a.any("estimates"), Fields{"event_type": a.of("accept", "decline", "re-open", "view")})
	}},
	{"delete estimate", 0, 2, func(a *actor) error { return a.Delete("estimates", a.any("estimates")) }},
	{"new client", 1, 2, func(a *actor) error { return a.create("clients", 0, Fields{}) }},
	{"new contact", 1, 2, func(a *actor) error { return a.create("contacts", 0, Fields{"client_id": a.any("clients")}) }},
	{"new project", 1, 2, (*actor).newProject},
	{"new task", 0, 1, func(a *actor) error { return a.create("tasks", 0, Fields{}) }},
	{"new user", 0, 1, func(a *actor) error { return a.create("users", 0, Fields{}) }},
	{"new role", 0, 1, func(a *actor) error { return a.create("roles", 0, Fields{"user_ids": []int64{a.any("users")}}) }},
	{"new category", 0, 1, func(a *actor) error {
		return a.create(a.of("expense_categories", "invoice_item_categories", "estimate_item_categories"), 0, Fields{})
	}},
	{"assign user", 1, 2, func(a *actor) error {
		return a.create("user_assignments", 0, Fields{"project_id": a.any("projects"), "user_id": a.any("users")})
	}},
	{"assign task", 0, 2, func(a *actor) error {
		return a.create("task_assignments", 0, Fields{"project_id": a.any("projects"), "task_id": a.any("tasks")})
	}},
	{"edit assignment", 0, 2, func(a *actor) error {
		stream := a.of("user_assignments", "task_assignments")
		return a.Update(stream, a.any(stream), Fields{"hourly_rate": a.hours(), "is_active": a.rng.IntN(4) > 0})
	}},
	{"rename", 1, 6, func(a *actor) error {
		stream := a.of("clients", "projects", "tasks", "users", "contacts", "roles", "invoices", "estimates", "expense_categories", "invoice_item_categories",
			"estimate_item_categories")
		return a.Rename(stream, a.any(stream), a.name())
	}},
	{"archive", 0, 2, func(a *actor) error {
		stream := a.of("clients", "projects", "tasks", "users", "expense_categories")
		return a.Archive(stream, a.any(stream))
	}},
	{"activate", 0, 2, func(a *actor) error {
		stream := a.of("clients", "projects", "tasks", "users", "expense_categories")
		return a.Activate(stream, a.any(stream))
	}},
	{"add rate", 0, 3, func(a *actor) error {
		start := ""
		if a.rng.IntN(5) > 0 {
			start = a.Sim.now().AddDate(0, 0, a.rng.IntN(40)-20).UTC().Format(time.DateOnly)
		}
		id, err := a.AddRate(a.of("user_billable_rates", "user_cost_rates"), a.any("users"), float64(30+a.rng.IntN(90)), start)
		a.say("rate", id)
		return err
	}},
	{"approve", 0, 1, func(a *actor) error {
		from := a.Sim.now().AddDate(0, 0, -a.rng.IntN(60)).UTC()
		a.said = fmt.Sprintf("%d rows", a.Approve(from.Format(time.DateOnly), from.AddDate(0, 0, 3).Format(time.DateOnly)))
		return nil
	}},
	{"change roles", 0, 2, func(a *actor) error {
		return a.Update("roles", a.any("roles"), Fields{"user_ids": []int64{a.any("users"), a.any("users")}})
	}},
	{"change company", 0, 1, func(a *actor) error {
		return a.Update("company", 0, Fields{"weekly_capacity": 1800 * (60 + a.rng.IntN(20))})
	}},
	{"change rounding", 0, 1, func(a *actor) error { // moves rounded_hours of every old row, in silence (4.7)
		return a.Touch("company", 0, Fields{"rounding": []int{6, 15, 30}[a.rng.IntN(3)]})
	}},
	{"derive budget", 0, 2, func(a *actor) error { return a.Touch("projects", a.any("projects"), Fields{"budget": a.hours()}) }},
	{"mass update", 0, 1, func(a *actor) error { return a.massUpdate() }},
	{"delete project", 0, 1, func(a *actor) error { return a.Delete("projects", a.any("projects")) }},
	{"delete other", 0, 5, func(a *actor) error {
		stream := a.of("clients", "contacts", "tasks", "users", "roles", "user_assignments", "task_assignments", "invoice_item_categories",
			"estimate_item_categories", "expense_categories")
		return a.Delete(stream, a.any(stream))
	}},
	{"delete and create", 0, 2, func(a *actor) error { // equal totals (P12)
		if err := a.Delete("contacts", a.any("contacts")); err != nil {
			return err
		}
		return a.create("contacts", 0, Fields{"client_id": a.any("clients")})
	}},
	{"restore", 0, 1, func(a *actor) error {
		stream := a.of("time_entries", "clients", "projects", "invoices", "expenses", "contacts")
		n := a.Restore(stream, a.Sim.now().Add(-time.Duration(a.rng.IntN(3600))*time.Second))
		a.said = fmt.Sprintf("%s: %d rows", stream, n)
		return nil
	}},
}

func (a *actor) userOf(entry int64) int64 {
	a.enter()
	defer a.mu.Unlock()
	k := a.kind["time_entries"]
	if r := k.get(entry); r != nil {
		return r.vals[k.slot("user")].int()
	}
	return 0
}

// newProject comes with somebody to work on it and something to do.
func (a *actor) newProject() error {
	id, err := a.Create("projects", 0, Fields{"client_id": a.any("clients")})
	if a.say("projects", id); err != nil {
		return err
	}
	if err := a.create("user_assignments", 0, Fields{"project_id": id, "user_id": a.any("users")}); err != nil {
		return err
	}
	return a.create("task_assignments", 0, Fields{"project_id": id, "task_id": a.any("tasks")})
}

// massUpdate is the vendor's: every user gets the same second (harvest-api 4.3).
func (a *actor) massUpdate() error {
	return a.change("users", func(t *tx, k *kind) error {
		for _, r := range k.byID {
			t.edit(k, r.id, false, func(*row) {})
		}
		return nil
	})
}
