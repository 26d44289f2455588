package harvesttest

import "strconv"

// calculation writes a value that is computed when it is read.
type calculation func(v *view, k *kind, r *row, dst []byte) []byte

// calculations are the computed fields, by kind and field.
var calculations = map[string]calculation{
	"users.name":                           userName,
	"users.roles":                          userRoles,
	"time_entries.hours":                   hours,
	"time_entries.hours_without_timer":     baseHours,
	"time_entries.rounded_hours":           roundedHours,
	"time_entries.is_running":              isRunning,
	"time_entries.timer_started_at":        timerStarted,
	"time_entries.client":                  projectClient,
	"time_entries.is_locked":               isLocked,
	"time_entries.is_closed":               isClosed,
	"time_entries.is_billed":               isBilled,
	"time_entries.locked_reason":           lockedReason,
	"expenses.client":                      projectClient,
	"expenses.is_locked":                   isLocked,
	"expenses.is_closed":                   isClosed,
	"expenses.is_billed":                   isBilled,
	"expenses.locked_reason":               lockedReason,
	"expenses.receipt":                     receipt,
	"invoices.retainer":                    retainer,
	"project_assignments.client":           projectClient,
	"project_assignments.task_assignments": projectTasks,
}

func userName(v *view, k *kind, r *row, dst []byte) []byte {
	return append(dst, quote(v.s.userName(r))...)
}

func (s *Sim) userName(r *row) string {
	k := s.kind["users"]
	return s.str(r.vals[k.slots["first_name"]]) + " " + s.str(r.vals[k.slots["last_name"]])
}

// userRoles writes the names of the roles that list the user.
func userRoles(v *view, k *kind, r *row, dst []byte) []byte {
	roles := v.s.kind["roles"]
	var names []val
	for _, role := range v.rows(roles) {
		for _, id := range v.s.ids(role.vals[roles.slots["user_ids"]]) {
			if id == r.id {
				names = append(names, role.vals[roles.slots["name"]])
			}
		}
	}
	return v.appendArray(dst, names)
}

// running is whether a timer runs on an entry, and since when.
func (s *Sim) running(r *row) (since int64, ok bool) {
	x := r.vals[s.te.timer]
	return x.int(), x.tag() == tagTime
}

// hours are an entry's hours in hundredths; those of a running one grow with the clock and with nothing else (P8).
func (v *view) hours(r *row) int64 {
	h := r.vals[v.s.te.hours].hundredths()
	if since, ok := v.s.running(r); ok {
		h += max(0, v.now/1e9-since) * 100 / 3600
	}
	return h
}

func hours(v *view, k *kind, r *row, dst []byte) []byte {
	x := r.vals[v.s.te.hours]
	if _, ok := v.s.running(r); ok {
		v.running, x = true, cents(v.hours(r))
	}
	return v.appendVal(dst, x)
}

func baseHours(v *view, k *kind, r *row, dst []byte) []byte {
	return v.appendVal(dst, r.vals[v.s.te.hours])
}

// roundedHours rounds up to the account's Time Rounding, a setting that no answer shows (harvest-api 4.7).
func roundedHours(v *view, k *kind, r *row, dst []byte) []byte {
	h := v.hours(r)
	if step := v.rounding(); step > 0 {
		h = (h + step - 1) / step * step
	}
	return v.appendVal(dst, cents(h))
}

// rounding is the step of rounded_hours in hundredths.
func (v *view) rounding() int64 {
	if v.round == 0 {
		company := v.s.kind["company"]
		v.round = v.get(company, v.s.opts.Account).vals[company.slots["_rounding"]].int()*100/60 + 1
	}
	return v.round - 1
}

func isRunning(v *view, k *kind, r *row, dst []byte) []byte {
	_, ok := v.s.running(r)
	return v.appendVal(dst, boolean(ok))
}

// timerStarted is filled for duration timers only; with start and end times it is ended_time that is null.
func timerStarted(v *view, k *kind, r *row, dst []byte) []byte {
	if since, ok := v.s.running(r); ok && !v.s.opts.Timestamps {
		return appendInstant(dst, since)
	}
	return append(dst, "null"...)
}

func projectClient(v *view, k *kind, r *row, dst []byte) []byte {
	// the project of an entry, expense or assignment is what groups it
	if p := v.get(v.s.projects, r.parent); p != nil {
		if c := v.get(v.s.clients, p.parent); c != nil {
			return v.appendBrief(dst, v.s.clients, c)
		}
	}
	return append(dst, "null"...)
}

func isClosed(v *view, k *kind, r *row, dst []byte) []byte {
	return v.appendVal(dst, boolean(v.s.approved(k, r)))
}

func isBilled(v *view, k *kind, r *row, dst []byte) []byte {
	return v.appendVal(dst, boolean(r.vals[k.hot.invoice].set()))
}

func isLocked(v *view, k *kind, r *row, dst []byte) []byte {
	return v.appendVal(dst, boolean(v.s.lock(k, r) != ""))
}

func lockedReason(v *view, k *kind, r *row, dst []byte) []byte {
	reason := v.s.lock(k, r)
	if reason == "" {
		return append(dst, "null"...)
	}
	return append(append(append(dst, '"'), reason...), '"')
}

func (s *Sim) approved(k *kind, r *row) bool {
	return r.vals[k.hot.approval] == s.words.approved
}

// lock is why an entry or expense is locked, "" if it is not (texts of harvest-api 2.8 and 2.16).
func (s *Sim) lock(k *kind, r *row) string {
	billed, explicit := r.vals[k.hot.invoice].set(), r.vals[k.hot.explicit] == tagTrue
	approved := s.approved(k, r)
	if k.name == "expenses" {
		switch {
		case billed:
			return "Expense is invoiced."
		case approved || explicit:
			return "The project is locked for this time period."
		}
		return ""
	}
	switch {
	case billed && approved:
		return "Item Invoiced and Approved and Locked for this Time Period"
	case approved:
		return "Item Approved and Locked for this Time Period"
	case billed && explicit:
		return "Item Invoiced and Locked for this Time Period"
	case billed:
		return "Item Invoiced"
	case explicit:
		return "Item Locked for this Time Period"
	}
	return ""
}

func retainer(v *view, k *kind, r *row, dst []byte) []byte {
	x := r.vals[k.slots["_retainer"]]
	if !x.set() {
		return append(dst, "null"...)
	}
	return append(strconv.AppendInt(append(dst, `{"id":`...), x.int(), 10), '}')
}

// receipt is an object made of the size kept in the row.
func receipt(v *view, k *kind, r *row, dst []byte) []byte {
	x := r.vals[k.slots["_receipt"]]
	if !x.set() {
		return append(dst, "null"...)
	}
	id := strconv.FormatInt(r.id, 10)
	dst = append(dst, `{"url":"https://account.harvestapp.com/expenses/`+id+`/receipt","file_name":"receipt-`+id+`.pdf","file_size":`...)
	return append(strconv.AppendInt(dst, x.int(), 10), `,"content_type":"application/pdf"}`...)
}

// projectTasks are the tasks of an assignment's project.
func projectTasks(v *view, k *kind, r *row, dst []byte) []byte {
	tasks, assignments := v.s.kind["tasks"], v.s.kind["task_assignments"]
	dst = append(dst, '[')
	for i, a := range v.kids(assignments, r.parent) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = v.appendFields(append(dst, '{'), assignments.brief, a)
		dst = append(dst, `,"task":`...)
		dst = append(v.appendBrief(dst, tasks, v.get(tasks, a.vals[assignments.slot("task")].int())), '}')
	}
	return append(dst, ']')
}
