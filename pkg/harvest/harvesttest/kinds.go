package harvesttest

import (
	"fmt"
	"slices"
	"strings"
)

// A kind is what harvest-api §2 says of one stream: where it is served, in which order, and its fields as they were
// observed on the wire. The specifications below are lists of field names with these marks:
//
//	client>        the row of kind clients whose id the slot holds, in its short form
//	client>id,name the same with these fields only
//	hours=         computed when read (calc.go)
//	_timer         a hidden slot
//	cost_rate%     for administrators; hourly_rate$ for those with rate rights (harvest-api 4.10)
type kind struct {
	name, path, list string // path: below the base URL; child kinds: the last segment below their parent
	parent           string // kind of the parent in the path
	group            string // slot whose value groups the rows: the path parent of project-wise lists, or the cascade
	of               string // shows rows of this other kind
	dated            string // field that from/to filter and that orders the list, newest first
	since            bool   // updated_since is documented
	active           bool   // is_active is a parameter
	filters          string // other parameters
	short            string // fields of the short form embedded elsewhere
	module           string // company field that switches it
	base             int64  // ids begin here
	spec             string
	made             map[string]any // generic kinds: values of a new row

	fields []field
	brief  []field
	size   int // bytes of a row, as last seen
	slots  map[string]int
	hot    hotSlots
	table
}

// hotSlots are the slots that are needed for every row of a page of time or expenses.
type hotSlots struct{ invoice, approval, explicit int }

type mode uint8

const (
	stored mode = iota
	theID
	theCreated
	theUpdated
	reference
	computed
)

type field struct {
	name  string
	key   string // `"name":`
	mode  mode
	slot  int
	right byte    // 0, '$' rates, '%' administrator
	kind  *kind   // reference
	parts []field // reference: its fields; nil is the kind's short form
	calc  calculation
	owner *kind
}

// page-numbered lists are those with a date (harvest-api 1.6).
func (k *kind) numbered() bool { return k.dated != "" }

func (k *kind) slot(name string) int {
	i, ok := k.slots[name]
	if !ok {
		panic("harvesttest: " + k.name + " has no slot " + name)
	}
	return i
}

func (k *kind) has(name string) bool { _, ok := k.slots[name]; return ok }

// catalogue is in the order of harvest-api §2 but for parents, which come before what embeds them.
func catalogue() []*kind {
	return []*kind{
		{name: "company", path: "company", spec: "base_uri full_domain name is_active week_start_day wants_timestamp_timers time_format date_format plan_type " +
			"expense_feature invoice_feature estimate_feature team_feature weekly_capacity approval_feature clock currency currency_code_display " +
			"currency_symbol_display decimal_symbol thousands_separator color_scheme saml_sign_in_required day_entry_notes_required _rounding"},
		{name: "users", path: "users", since: true, active: true, base: 4417200, short: "id,name=",
			spec: "id first_name last_name employee_id email telephone timezone weekly_capacity has_access_to_all_future_projects is_contractor is_active " +
				"calendar_integration_enabled calendar_integration_source created_at updated_at can_create_projects default_hourly_rate$ cost_rate% roles= " +
				"access_roles avatar_url"},
		{name: "roles", path: "roles", base: 1182000, spec: "id name created_at updated_at user_ids"},
		{name: "clients", path: "clients", since: true, active: true, base: 15840100, short: "id,name,currency",
			spec: "id name is_active address statement_key created_at updated_at currency"},
		{name: "contacts", path: "contacts", since: true, filters: "client_id", group: "client", base: 13022800,
			spec: "id title first_name last_name email phone_office phone_mobile fax invoice_recipient_status created_at updated_at client>id,name"},
		{name: "tasks", path: "tasks", since: true, active: true, base: 22981000, short: "id,name",
			spec: "id name billable_by_default default_hourly_rate$ is_default is_active created_at updated_at"},
		{name: "projects", path: "projects", since: true, active: true, filters: "client_id", group: "client", base: 41880200, short: "id,name,code",
			spec: "id name code is_active is_billable is_fixed_fee bill_by budget budget_by budget_is_monthly notify_when_over_budget " +
				"over_budget_notification_percentage show_budget_to_all created_at updated_at starts_on ends_on over_budget_notification_date currency notes " +
				"cost_budget$ cost_budget_include_expenses hourly_rate$ fee$ client>"},
		{name: "user_assignments", path: "user_assignments", since: true, active: true, filters: "user_id project_id", group: "project", base: 471200800,
			short: "id,is_project_manager,is_active,use_default_rates,budget,created_at,updated_at,hourly_rate$",
			spec:  "id is_project_manager is_active use_default_rates budget created_at updated_at hourly_rate$ project> user>"},
		{name: "task_assignments", path: "task_assignments", since: true, active: true, filters: "project_id", group: "project", base: 453911200,
			short: "id,billable,is_active,created_at,updated_at,hourly_rate$,budget",
			spec:  "id billable is_active created_at updated_at hourly_rate$ budget project> task>"},
		{name: "invoice_item_categories", path: "invoice_item_categories", since: true, module: "invoice_feature", base: 2988100,
			spec: "id name use_as_service use_as_expense created_at updated_at"},
		{name: "estimate_item_categories", path: "estimate_item_categories", since: true, module: "estimate_feature", base: 2850400,
			spec: "id name created_at updated_at"},
		{name: "expense_categories", path: "expense_categories", since: true, active: true, module: "expense_feature", base: 11340000,
			short: "id,name,unit_price,unit_name", spec: "id name unit_name unit_price is_active created_at updated_at"},
		{name: "estimates", path: "estimates", since: true, dated: "issue_date", filters: "client_id state", group: "client", module: "estimate_feature",
			base: 5120400, short: "id",
			spec: "id client_key number purchase_order amount tax tax_amount tax2 tax2_amount discount discount_amount subject notes state issue_date sent_at " +
				"created_at updated_at accepted_at declined_at currency client>id,name creator> line_items"},
		{name: "estimate_messages", path: "messages", list: "estimate_messages", parent: "estimates", since: true, module: "estimate_feature", base: 8810200,
			spec: "id sent_by sent_by_email sent_from sent_from_email send_me_a_copy created_at updated_at recipients event_type subject body"},
		{name: "invoices", path: "invoices", since: true, dated: "issue_date", filters: "client_id project_id state", group: "client",
			module: "invoice_feature", base: 47200300, short: "id,number",
			spec: "id client_key number purchase_order amount due_amount tax tax_amount tax2 tax2_amount discount discount_amount subject notes state " +
				"period_start period_end issue_date due_date payment_term sent_at paid_at closed_at recurring_invoice_id created_at updated_at paid_date " +
				"currency payment_options client>id,name estimate>id retainer= creator> line_items _retainer"},
		{name: "invoice_messages", path: "messages", list: "invoice_messages", parent: "invoices", since: true, module: "invoice_feature", base: 98120400,
			spec: "id sent_by sent_by_email sent_from sent_from_email include_link_to_client_invoice send_me_a_copy thank_you reminder send_reminder_on " +
				"created_at updated_at attach_pdf event_type recipients subject body"},
		{name: "invoice_payments", path: "payments", list: "invoice_payments", parent: "invoices", since: true, module: "invoice_feature", base: 33010900,
			spec: "id amount paid_at recorded_by recorded_by_email notes transaction_id created_at updated_at paid_date payment_gateway"},
		{name: "expenses", path: "expenses", since: true, dated: "spent_date", filters: "user_id client_id project_id is_billed approval_status",
			group: "project", module: "expense_feature", base: 50127700,
			spec: "id spent_date notes total_cost units billable receipt= approval_status is_closed= is_locked= is_explicitly_locked is_billed= locked_reason= " +
				"reimbursement created_at updated_at user> client= project> expense_category> user_assignment> invoice> _receipt"},
		{name: "time_entries", path: "time_entries", since: true, dated: "spent_date", group: "project",
			filters: "user_id client_id project_id task_id external_reference_id is_billed is_running approval_status", base: 2871330900,
			spec: "id spent_date hours= hours_without_timer= rounded_hours= notes is_locked= is_explicitly_locked locked_reason= approval_status is_closed= " +
				"is_billed= timer_started_at= started_time ended_time is_running= billable budgeted billable_rate$ cost_rate% created_at updated_at user> " +
				"client= project> task> user_assignment> task_assignment> invoice> external_reference _hours _timer"},
		{name: "user_billable_rates", path: "billable_rates", list: "billable_rates", parent: "users", base: 2650100,
			spec: "id amount start_date end_date created_at updated_at"},
		{name: "user_cost_rates", path: "cost_rates", list: "cost_rates", parent: "users", base: 1401900,
			spec: "id amount start_date end_date created_at updated_at"},
	}
}

// items are the kinds of objects inside arrays, and of lists that show rows of another stream.
func items() []*kind {
	return []*kind{
		{name: "line_item", base: 201554400, spec: "id kind description quantity unit_price amount taxed taxed2 project>"},
		{name: "estimate_line_item", base: 77120000, spec: "id kind description quantity unit_price amount taxed taxed2"},
		{name: "recipient", spec: "name email"},
		{name: "project_assignments", list: "project_assignments", of: "user_assignments",
			spec: "id is_project_manager is_active use_default_rates budget created_at updated_at hourly_rate$ project>id,name,code,is_billable client= task_assignments="},
		{name: "teammates", list: "teammates", of: "users", spec: "id first_name last_name email"},
	}
}

// referenced are the kinds behind the names of embedded objects.
var referenced = map[string]string{"client": "clients", "user": "users", "creator": "users", "project": "projects", "task": "tasks",
	"expense_category": "expense_categories", "invoice": "invoices", "estimate": "estimates", "user_assignment": "user_assignments",
	"task_assignment": "task_assignments"}

// compile turns the specifications into fields and slots.
func (s *Sim) compile() {
	s.kinds = catalogue()
	for _, st := range s.opts.Extra {
		s.kinds = append(s.kinds, s.generic(st))
	}
	all := append(slices.Clone(s.kinds), items()...)
	s.kind = map[string]*kind{}
	for _, k := range all {
		s.kind[k.name] = k
		if k.list == "" {
			k.list = k.path
		}
		k.slots = map[string]int{}
		k.next = k.base
		k.rows = map[int64]*row{}
		if k.name == "time_entries" {
			k.rows = nil // found by binary search: a map of a million entries would cost as much as a fifth of the rows
		}
		if k.parent != "" || k.group != "" {
			k.kids = map[int64][]*row{}
		}
	}
	s.projects, s.clients = s.kind["projects"], s.kind["clients"]
	for _, k := range all {
		if k.of != "" {
			k.slots = s.kind[k.of].slots
		}
		k.fields = s.parse(k, strings.Fields(k.spec))
		if k.has("approval_status") {
			k.hot = hotSlots{k.slot("invoice"), k.slot("approval_status"), k.slot("is_explicitly_locked")}
		}
		if k.short != "" {
			k.brief = s.parse(k, strings.Split(k.short, ","))
		}
	}
}

func (s *Sim) parse(k *kind, specs []string) []field {
	var fields []field
	for _, spec := range specs {
		name := strings.TrimRight(spec, "$%=")
		name, parts, isRef := strings.Cut(name, ">")
		f := field{name: name, key: `"` + name + `":`, owner: k}
		if last := spec[len(spec)-1]; last == '$' || last == '%' {
			f.right = last
		}
		switch {
		case name == "id":
			f.mode = theID
		case name == "created_at":
			f.mode = theCreated
		case name == "updated_at":
			f.mode = theUpdated
		case strings.HasSuffix(spec, "="):
			f.mode, f.calc = computed, calculations[k.name+"."+name]
			if f.calc == nil {
				panic(fmt.Sprintf("harvesttest: nothing computes %s.%s", k.name, name))
			}
		default:
			f.slot = k.addSlot(name)
		}
		if isRef {
			f.mode, f.kind = reference, s.kind[referenced[name]]
			if parts != "" {
				f.parts = s.parse(f.kind, strings.Split(parts, ","))
			}
		}
		if !strings.HasPrefix(name, "_") {
			fields = append(fields, f)
		}
	}
	return fields
}

func (k *kind) addSlot(name string) int {
	if i, ok := k.slots[name]; ok {
		return i
	}
	i := len(k.slots)
	k.slots[name] = i
	return i
}
