package harvesttest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// seeder makes the account's past: every kind's rows in the order of their creation, through the same code as any later
// change, but for time entries, of which there can be a million.
type seeder struct {
	*tx
	rng        *rand.Rand
	start, end int64 // unix seconds
	z          Sizes
}

func (s *Sim) seed() {
	now := s.now()
	d := &seeder{tx: &tx{s: s, seeding: true, quiet: s.opts.Silent}, rng: rand.New(rand.NewPCG(s.opts.Seed, 0)), z: s.opts.Sizes,
		start: now.Add(-s.opts.History).Unix(), end: now.Unix() - 60}
	s.born, s.commitTime = now, now.UnixNano()
	d.company()
	d.people()
	d.work()
	d.timeEntries()
	d.documents()
	d.bill()
	d.expenses()
	d.timers()
	d.extras()
	for _, k := range s.kinds {
		for _, r := range k.byID {
			k.oldest, k.newest = min(k.oldest, r.updated), max(k.newest, r.updated)
		}
	}
}

// many makes n rows at moments spread over a part of the past (in hundredths), ascending.
func (d *seeder) many(name string, n, from, to int, f func(i int) (parent int64, f Fields)) {
	k := d.s.kind[name]
	span := (d.end - d.start) / 100
	for i := range n {
		d.stamp = d.start + span*int64(from) + span*int64(to-from)*int64(i)/int64(n) + d.rng.Int64N(60)
		parent, fields := f(i)
		if err := d.create(k, d.s.reserve(k), parent, fields); err != nil {
			panic(fmt.Sprintf("harvesttest: seeding %s: %v", name, err))
		}
	}
}

func (d *seeder) pick(name string) *row {
	k := d.s.kind[name]
	return k.byID[d.rng.IntN(len(k.byID))]
}

func (d *seeder) company() {
	k := d.s.kind["company"]
	d.stamp = d.start
	r := blank(k)
	r.id, r.created, r.updated = d.s.opts.Account, d.stamp, d.stamp
	clock := "24h"
	if d.s.opts.Clock12 {
		clock = "12h"
	}
	err := d.apply(k, r, Fields{"base_uri": "https://account.harvestapp.com", "full_domain": "account.harvestapp.com", "name": "Account", "is_active": true,
		"week_start_day": "Monday", "wants_timestamp_timers": d.s.opts.Timestamps, "time_format": "decimal", "date_format": "%Y-%m-%d",
		"plan_type": "simple-v4", "expense_feature": true, "invoice_feature": true, "estimate_feature": true, "team_feature": true,
		"weekly_capacity": 126000, "approval_feature": true, "clock": clock, "currency": "EUR", "currency_code_display": "iso_code_none",
		"currency_symbol_display": "symbol_before", "decimal_symbol": ".", "thousands_separator": ",", "color_scheme": "orange",
		"saml_sign_in_required": false, "day_entry_notes_required": false, "rounding": d.s.opts.RoundingMin})
	if err != nil {
		panic("harvesttest: seeding company: " + err.Error())
	}
	d.put(k, r)
}

func (d *seeder) people() {
	users := d.s.kind["users"]
	d.many("users", d.z.Users, 0, 2, func(i int) (int64, Fields) {
		f := Fields{"is_active": i%11 != 10}
		switch {
		case i == 0:
			f["access_roles"], f["is_active"] = []string{"administrator"}, true
		case i%6 == 1:
			f["access_roles"] = []string{"manager", "project_creator"}
		}
		return 0, f
	})
	d.s.me = users.byID[0].id
	ids := func(step, rest int) []int64 {
		var ids []int64
		for i, r := range users.byID {
			if i%step == rest {
				ids = append(ids, r.id)
			}
		}
		return ids
	}
	d.many("roles", 5, 2, 3, func(i int) (int64, Fields) { return 0, Fields{"user_ids": ids(5, i)} })
	for _, name := range []string{"user_billable_rates", "user_cost_rates"} {
		n := 0
		d.many(name, d.z.Users*2, 3, 60, func(i int) (int64, Fields) {
			n++
			f := Fields{"amount": 40 + i%13*5}
			if i >= d.z.Users { // everybody's second rate ends the first
				f["start_date"] = day(d.stamp/86400 + 1)
			}
			return users.byID[i%d.z.Users].id, f
		})
	}
}

func (d *seeder) work() {
	d.many("tasks", d.z.Tasks, 0, 2, func(i int) (int64, Fields) { return 0, Fields{"is_default": i < 3, "billable_by_default": i%5 != 4} })
	d.many("clients", d.z.Clients, 1, 2, func(i int) (int64, Fields) { return 0, Fields{"is_active": i%13 != 12} })
	d.many("contacts", d.z.Clients*3/2, 2, 60, func(i int) (int64, Fields) {
		return 0, Fields{"client_id": d.s.kind["clients"].byID[i%d.z.Clients].id, "title": []any{"Owner", nil, "Buyer"}[i%3]}
	})
	clients := d.s.kind["clients"].byID
	d.many("projects", d.z.Projects, 2, 4, func(i int) (int64, Fields) {
		f := Fields{"client_id": clients[i%len(clients)].id, "is_active": i%9 != 8}
		switch i % 4 {
		case 0:
			f["code"] = fmt.Sprintf("P-%d", i+1)
		case 1:
			f["budget"], f["budget_by"] = 100+i%7*20, "project"
		case 2:
			f["is_fixed_fee"], f["fee"], f["hourly_rate"] = true, 10000+i*10, nil
		}
		return 0, f
	})
	projects, users, tasks := d.s.kind["projects"].byID, d.s.kind["users"].byID, d.s.kind["tasks"].byID
	people, kinds := min(4, len(users)), min(4, len(tasks))
	d.many("user_assignments", len(projects)*people, 4, 5, func(i int) (int64, Fields) {
		p := i / people
		return 0, Fields{"project_id": projects[p].id, "user_id": users[(p*3+i%people)%len(users)].id, "is_project_manager": i%people == 0}
	})
	d.many("task_assignments", len(projects)*kinds, 5, 6, func(i int) (int64, Fields) {
		p := i / kinds
		return 0, Fields{"project_id": projects[p].id, "task_id": tasks[(p+i%kinds)%len(tasks)].id, "hourly_rate": []any{nil, 95.5}[i%7/6]}
	})
	d.many("expense_categories", 5, 0, 1, func(i int) (int64, Fields) {
		if i == 4 {
			return 0, Fields{"name": "Mileage", "unit_name": "km", "unit_price": 0.425}
		}
		return 0, Fields{}
	})
	d.many("invoice_item_categories", 4, 0, 1, func(i int) (int64, Fields) {
		return 0, Fields{"use_as_service": i == 0, "use_as_expense": i == 1}
	})
	d.many("estimate_item_categories", 3, 0, 1, func(int) (int64, Fields) { return 0, Fields{} })
}

// documents are invoices and estimates, some mailed, paid, closed, accepted.
func (d *seeder) documents() {
	clients := d.s.kind["clients"].byID
	projects := d.s.kind["projects"]
	d.many("estimates", d.z.Estimates, 10, 99, func(i int) (int64, Fields) {
		f := Fields{"client_id": clients[i%len(clients)].id, "line_items": []Fields{{"kind": "Service", "description": "Phase", "quantity": 1 + i%5, "unit_price": 400,
			"taxed": false, "taxed2": false}}}
		if i%17 == 16 {
			f["issue_date"] = nil // seen in the documentation (4.5)
		}
		return 0, f
	})
	d.many("invoices", d.z.Invoices, 8, 99, func(i int) (int64, Fields) {
		c := clients[i%len(clients)]
		f := Fields{"client_id": c.id, "period_start": day(d.stamp/86400 - 30), "period_end": day(d.stamp / 86400), "tax": []any{nil, 20, 19.5}[i%3],
			"discount": []any{nil, nil, nil, 10}[i%4]}
		var lines []Fields
		for j, p := range projects.kids[c.id] {
			if j < 1+i%3 {
				lines = append(lines, Fields{"kind": "Service", "description": fmt.Sprintf("Work %d", j+1), "quantity": cents(int64(800 + i%40*25)), "unit_price": 100,
					"taxed": i%3 > 0, "taxed2": false, "project_id": p.id})
			}
		}
		f["line_items"] = lines
		if i < d.z.Invoices/8 {
			f["payment_options"], f["recurring_invoice_id"] = tagMissing, tagMissing // older records lack them (4.5)
		}
		return 0, f
	})
	invoices, estimates := d.s.kind["invoices"].byID, d.s.kind["estimates"].byID
	d.follow("invoice_messages", invoices, 8, func(int) Fields { return Fields{} })
	d.follow("invoice_messages", invoices, 1, func(int) Fields { return Fields{"event_type": "view"} })
	d.follow("invoice_payments", invoices, 6, func(i int) Fields {
		if i%9 == 8 {
			return Fields{"amount": 10, "transaction_id": fmt.Sprintf("tx-%d", i)}
		}
		return Fields{}
	})
	d.follow("estimate_messages", estimates, 7, func(int) Fields { return Fields{} })
	d.follow("estimate_messages", estimates, 4, func(i int) Fields { return Fields{"event_type": []string{"accept", "decline"}[i%2]} })
}

// follow adds a child to so many tenths of the parents, some time after each was made.
func (d *seeder) follow(name string, parents []*row, tenths int, f func(i int) Fields) {
	k := d.s.kind[name]
	for i, p := range slices.Clone(parents) {
		if (i*7)%10 >= tenths {
			continue
		}
		d.stamp = min(d.end, max(k.youngest, p.created+3600+d.rng.Int64N(86400)))
		k.youngest = d.stamp
		if err := d.create(k, d.s.reserve(k), p.id, f(i)); err != nil {
			panic(fmt.Sprintf("harvesttest: seeding %s: %v", name, err))
		}
	}
}

func (d *seeder) expenses() {
	projects, assignments := d.s.kind["projects"].byID, d.s.kind["user_assignments"]
	d.many("expenses", d.z.Expenses, 20, 100, func(i int) (int64, Fields) {
		p := projects[d.rng.IntN(len(projects))]
		team := assignments.kids[p.id]
		f := Fields{"project_id": p.id, "user_id": team[i%len(team)].vals[assignments.slot("user")].int(), "expense_category_id": d.pick("expense_categories").id,
			"total_cost": cents(500 + d.rng.Int64N(20000)), "spent_date": day(d.stamp/86400 - d.rng.Int64N(3))}
		if i%3 == 0 {
			f["receipt"] = 20000 + i
		}
		if i%4 == 0 {
			f["notes"] = fmt.Sprintf("Trip %d", i%50)
		}
		return 0, f
	})
}

func (d *seeder) timers() {
	users := d.s.kind["users"].byID
	for i := 0; i < len(users) && d.z.TimeEntries > 0; i += 8 {
		project, task := d.s.workOf(users[i].id, i)
		if project == 0 {
			continue
		}
		k := d.s.kind["time_entries"]
		d.stamp = max(d.end-int64(600*(i+1)), k.youngest)
		f := Fields{"user_id": users[i].id, "project_id": project, "task_id": task, "notes": "Running", "hours": nil}
		if err := d.create(k, d.s.reserve(k), 0, f); err != nil {
			panic("harvesttest: seeding timers: " + err.Error())
		}
	}
}

// bill marks old time as invoiced by an invoice of its client.
func (d *seeder) bill() {
	k, invoices, projects := d.s.kind["time_entries"], d.s.kind["invoices"], d.s.kind["projects"]
	slot, billable := k.slot("invoice"), k.slot("billable")
	before := (d.end - (d.end-d.start)/6) / 86400
	for i, r := range k.byDate {
		if k.date(r) >= before || r.vals[billable] != tagTrue || i%10 >= 6 {
			continue
		}
		bills := invoices.kids[projects.get(r.parent).parent]
		if j, _ := slices.BinarySearchFunc(bills, k.date(r)*86400, func(inv *row, t int64) int { return cmp.Compare(inv.created, t) }); j < len(bills) {
			r.vals[slot] = integer(bills[j].id) // not yet shared with anybody
			r.updated = max(r.updated, bills[j].created)
		}
	}
}
