package harvesttest

import (
	"fmt"
	"slices"
)

// entryMaker writes seeded time entries slot by slot.
type entryMaker struct {
	spent, hours, notes, locked, approval, billable, budgeted, rate, cost, external, started, ended int
	user, project, task, userAssignment, taskAssignment                                             int
	k                                                                                               *kind
	words                                                                                           []val
}

func (d *seeder) entryMaker() entryMaker {
	k := d.s.kind["time_entries"]
	m := entryMaker{k: k, spent: k.slot("spent_date"), hours: k.slot("_hours"), notes: k.slot("notes"), locked: k.slot("is_explicitly_locked"),
		approval: k.slot("approval_status"), billable: k.slot("billable"), budgeted: k.slot("budgeted"), rate: k.slot("billable_rate"), cost: k.slot("cost_rate"),
		external: k.slot("external_reference"), started: k.slot("started_time"), ended: k.slot("ended_time"), user: k.slot("user"), project: k.slot("project"),
		task: k.slot("task"), userAssignment: k.slot("user_assignment"), taskAssignment: k.slot("task_assignment")}
	verbs, nouns := []string{"Draft of", "Review of", "Fixes to", "Meeting about", "Notes on", "Tests for"}, []string{"the page", "the report", "the plan", "the layout", "the budget"}
	for i := range 240 {
		m.words = append(m.words, d.s.text(fmt.Sprintf("%s %s %d", verbs[i%6], nouns[i/6%5], i/30+1)))
	}
	return m
}

// timeEntries are written most densely of all: one array for the rows, one for their values.
func (d *seeder) timeEntries() {
	m := d.entryMaker()
	n, k := d.z.TimeEntries, m.k
	team, tasks, projects, users := d.s.kind["user_assignments"], d.s.kind["task_assignments"], d.s.kind["projects"], d.s.kind["users"]
	rate, cost := projects.slot("hourly_rate"), users.slot("cost_rate")
	rows, vals := make([]row, n), make([]val, n*len(k.slots))
	k.byID = make([]*row, n, n+n/16+64)
	for i := range vals {
		vals[i] = tagNull
	}
	start := d.start + (d.end-d.start)/15 // the account was set up by then
	span := d.end - start
	for i := range n {
		r := &rows[i]
		r.vals, vals = vals[:len(k.slots):len(k.slots)], vals[len(k.slots):]
		project := projects.byID[d.rng.IntN(len(projects.byID))]
		mates, jobs := team.kids[project.id], tasks.kids[project.id]
		mate, job := mates[d.rng.IntN(len(mates))], jobs[d.rng.IntN(len(jobs))]
		user := mate.vals[team.slots["user"]]
		r.id, r.parent = d.s.reserve(k), project.id
		r.created = start + int64(float64(span)*float64(i)/float64(n))
		r.updated = r.created
		if d.rng.IntN(5) == 0 {
			r.updated = min(d.end, r.created+d.rng.Int64N(3*86400))
		}
		m.fill(d, r, i)
		r.vals[m.user], r.vals[m.project], r.vals[m.task] = user, integer(project.id), job.vals[tasks.slots["task"]]
		r.vals[m.userAssignment], r.vals[m.taskAssignment] = integer(mate.id), integer(job.id)
		if r.vals[m.billable] == tagTrue {
			r.vals[m.rate] = project.vals[rate]
		}
		r.vals[m.cost] = users.get(user.int()).vals[cost]
		k.byID[i] = r
		k.youngest = r.created
		k.kids[project.id] = append(k.kids[project.id], r)
	}
	k.byDate = append(make([]*row, 0, cap(k.byID)), k.byID...)
	slices.SortFunc(k.byDate, k.compareDated)
}

// fill sets what an entry has by itself.
func (m *entryMaker) fill(d *seeder, r *row, i int) {
	late := int64(0) // most time is logged the same day, some of it much later
	switch x := d.rng.IntN(100); {
	case x >= 98:
		late = d.rng.Int64N(14)
	case x >= 88:
		late = d.rng.Int64N(3)
	}
	hours := 10 + d.rng.Int64N(790)
	r.vals[m.spent], r.vals[m.hours] = day(r.created/86400-late), cents(hours)
	switch d.rng.IntN(10) {
	case 0:
	case 1:
		r.vals[m.notes] = d.s.text("")
	default:
		r.vals[m.notes] = m.words[d.rng.IntN(len(m.words))]
	}
	r.vals[m.locked], r.vals[m.budgeted] = tagFalse, tagTrue
	r.vals[m.billable] = boolean(d.rng.IntN(6) > 0)
	r.vals[m.approval] = d.s.words.unsubmitted
	if age := d.end - r.created; age > 45*86400 {
		r.vals[m.approval] = d.s.words.approved
	} else if age > 10*86400 && i%3 > 0 {
		r.vals[m.approval] = d.s.words.submitted
	}
	if i%40 == 7 {
		id := 1200000 + i
		r.vals[m.external] = d.s.raw(fmt.Sprintf(`{"id":"%d","group_id":"%d","account_id":"9001","permalink":"https://tracker.example.com/t/%d","service":"tracker.example.com",`+
			`"service_icon_url":"https://proxy.harvestfiles.com/platform_icons/tracker.example.com.png"}`, id, 88000+i%50, id))
	}
	if d.s.opts.Timestamps {
		start := 480 + d.rng.Int64N(300)
		r.vals[m.started], r.vals[m.ended] = payload(tagClock, start), payload(tagClock, (start+hours*60/100)%1440)
	}
}
