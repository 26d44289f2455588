package harvesttest

import (
	"net/http"
	"slices"
)

// seer is somebody who sees a part of the account (harvest-api 4.10).
type seer struct {
	role     Role
	rights   []string
	me       int64
	projects map[int64]bool // managed ones
	clients  map[int64]bool // of those
	users    map[int64]bool // oneself and who works on those
}

func (v *view) newSeer(role Role, me int64) *seer {
	s := v.s
	e := &seer{role: role, rights: s.opts.Rights, me: me, projects: map[int64]bool{}, clients: map[int64]bool{}, users: map[int64]bool{me: true}}
	if e.role != Manager {
		return e
	}
	k, projects := s.kind["user_assignments"], s.kind["projects"]
	for _, a := range v.rows(k) {
		if a.vals[k.slot("user")].int() == me && a.vals[k.slot("is_project_manager")] == tagTrue && a.vals[k.slot("is_active")] == tagTrue {
			e.projects[a.parent] = true
			if p := v.get(projects, a.parent); p != nil {
				e.clients[p.parent] = true
			}
		}
	}
	for _, a := range v.rows(k) {
		if e.projects[a.parent] {
			e.users[a.vals[k.slot("user")].int()] = true
		}
	}
	return e
}

// mayRate says whether a rate field is shown: '$' to those with rate rights, '%' to administrators.
func (e *seer) mayRate(right byte) bool {
	return e == nil || right == '$' && e.may("billable_rates_manager")
}

func (e *seer) may(rights ...string) bool {
	return e.role == Manager && slices.ContainsFunc(rights, func(r string) bool { return slices.Contains(e.rights, r) })
}

// allowed says whether an endpoint is open to the role at all.
func (e *seer) allowed(k *kind) bool {
	if e == nil || k.name == "company" || k.name == "time_entries" || k.name == "expenses" {
		return true
	}
	if e.role == Member {
		return false
	}
	switch k.name {
	case "clients", "contacts", "tasks":
		return e.may("client_and_task_manager")
	case "invoices", "invoice_messages", "invoice_payments", "invoice_item_categories":
		return e.may("managed_projects_invoice_manager", "managed_projects_invoice_drafter")
	case "estimates", "estimate_messages", "estimate_item_categories":
		return e.may("estimates_manager")
	case "user_billable_rates":
		return e.may("billable_rates_manager")
	case "roles", "user_cost_rates":
		return false
	}
	return true
}

// sees says whether a row is shown.
func (v *view) sees(k *kind, r *row) bool {
	e := v.seer
	if e == nil {
		return true
	}
	switch k.name {
	case "time_entries", "expenses":
		return r.vals[k.slots["user"]].int() == e.me || e.projects[r.parent]
	case "users":
		return e.users[r.id]
	case "projects":
		return e.projects[r.id]
	case "user_assignments", "task_assignments":
		return e.projects[r.parent]
	case "invoices", "estimates":
		return e.clients[r.parent]
	}
	return true
}

// barred answers for endpoints that the role or a switched-off module closes.
func (s *Sim) barred(q *req, k *kind) *answer {
	if !q.view.seer.allowed(k) {
		return forbidden()
	}
	company := s.kind["company"]
	if k.module == "" || q.view.get(company, s.opts.Account).vals[company.slot(k.module)] != tagFalse {
		return nil
	}
	switch s.opts.OffAnswer {
	case OffForbidden:
		return forbidden()
	case OffNotFound:
		return notFound()
	}
	q.empty = true
	if len(q.segs)%2 == 0 { // one object
		return notFound()
	}
	return nil
}

func (s *Sim) accessRoles() val {
	names := map[Role]string{Administrator: "administrator", Manager: "manager", Member: "member"}
	vals := []val{s.text(names[s.opts.Role])}
	if s.opts.Role == Manager {
		for _, right := range s.opts.Rights {
			vals = append(vals, s.text(right))
		}
	}
	return s.array(vals)
}

// ChangeRole changes what the token may see, at once.
func (s *Sim) ChangeRole(r Role, rights ...string) {
	s.enter()
	defer s.mu.Unlock()
	s.opts.Role, s.opts.Rights = r, rights
	s.version++
}

// Manage gives a project to the token's user to manage, or takes it away. Its access_roles stay, its lists change (P7).
func (s *Sim) Manage(project int64, on bool) error {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind["user_assignments"]
	for _, a := range k.kids[project] {
		if a.vals[k.slot("user")].int() == s.me {
			return s.do(func(t *tx) error { return t.update(k, a.id, Fields{"is_project_manager": on}, false) })
		}
	}
	id := s.reserve(k)
	return s.do(func(t *tx) error {
		return t.create(k, id, 0, Fields{"project_id": project, "user_id": s.me, "is_project_manager": on})
	})
}

// SwitchModule switches invoice_feature, estimate_feature, expense_feature, team_feature or approval_feature.
func (s *Sim) SwitchModule(feature string, on bool) {
	_ = s.Update("company", 0, Fields{feature: on}) // the company is always there
}

// SetToken replaces the valid token: the old one gets 401.
func (s *Sim) SetToken(token string) {
	s.enter()
	defer s.mu.Unlock()
	s.opts.Token = token
	s.version++
}

// Me is the token's user.
func (s *Sim) Me() int64 { return s.me }

// SetSilent changes which changes leave updated_at alone.
func (s *Sim) SetSilent(what Silent) {
	s.enter()
	defer s.mu.Unlock()
	s.quiet = what
}

// projectAssignments are a user's active assignments with their projects' tasks (harvest-api 3.1).
func (s *Sim) projectAssignments(q *req, user int64) *answer {
	if q.segs[1] == "me" {
		user = s.me
	}
	if q.view.get(s.kind["users"], user) == nil {
		return notFound()
	}
	if q.view.seer != nil && user != s.me {
		return forbidden()
	}
	k := s.kind["user_assignments"]
	l, bad := q.paging(k)
	if bad != nil {
		return bad
	}
	active := func(r *row) bool {
		return r.vals[k.slot("user")].int() == user && r.vals[k.slot("is_active")] == tagTrue
	}
	q.paginate(l, q.view.rows(k), active, q.segs[1] == "me")
	return s.envelope(q, s.kind["project_assignments"], *l)
}

// teammates of the people of a manager: who works on the projects the user manages.
func (s *Sim) teammates(q *req, user int64) *answer {
	users := s.kind["users"]
	if q.view.seer != nil {
		return forbidden()
	}
	r := q.view.get(users, user)
	if r == nil {
		return notFound()
	}
	if !s.isManager(r) {
		return message(http.StatusUnprocessableEntity, "User is not a manager.")
	}
	l, bad := q.paging(users)
	if bad != nil {
		return bad
	}
	mates := q.view.newSeer(Manager, user).users
	q.paginate(l, q.view.rows(users), func(r *row) bool { return r.id != user && mates[r.id] }, false)
	return s.envelope(q, s.kind["teammates"], *l)
}

func (s *Sim) isManager(user *row) bool {
	roles := user.vals[s.kind["users"].slot("access_roles")]
	return roles.tag() == tagArray && slices.Contains(s.arrays[roles.int()], s.text("manager"))
}
