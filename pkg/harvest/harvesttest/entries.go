package harvesttest

import "fmt"

// AppendTimeEntry appends the i-th of any number of time entries, as benchmarks read them: every documented member, 1.1 kB like a real one;
// one of some sixty projects, of forty users, noted and timed in its own way, now and then invoiced or from another tool.
func AppendTimeEntry(b []byte, i int) []byte {
	user, day := i*7%40, i/80%28+1
	project := (user*3 + i/40%5*7) % 60
	task := (project + i%4) % 15
	locked, reason, invoice, reference := false, "null", "null", "null"
	if project%3 == 0 {
		locked, reason, invoice = true, `"Item Invoiced"`, fmt.Sprintf(`{"id":%d,"number":"2026-%d"}`, 13_150_378+project, 1000+project)
	}
	if i%50 == 0 {
		reference = fmt.Sprintf(`{"id":"%d","group_id":"board-%d","account_id":"1","permalink":"https://example.com/t/%d","service":"example.com","service_icon_url":null}`, i, project, i)
	}
	const notes = "Second round of the page: draft, review with the client, corrections, and what came up on the phone afterwards"
	b = fmt.Appendf(b, `{"id":%d,"spent_date":"2026-%02d-%02d","hours":%d.%02d,"hours_without_timer":%d.%02d,"rounded_hours":%d.%d,"notes":"%s (%d)",`,
		2_871_330_945+i*3, i%9+1, day, i%9, i%100, i%9, i%100, i%9, i%2*5, notes[:20+i*17%90], i%1000)
	b = fmt.Appendf(b, `"is_locked":%t,"is_explicitly_locked":false,"locked_reason":%s,"approval_status":"unsubmitted","is_closed":%t,"is_billed":%t,`+
		`"timer_started_at":null,"started_time":"%d:%02d","ended_time":"%d:%02d","is_running":false,"billable":%t,"budgeted":true,"billable_rate":%d.0,`+
		`"cost_rate":%d.5,"created_at":"2026-03-%02dT%02d:00:04Z","updated_at":"2026-03-%02dT13:%02d:%02dZ","user":{"id":%d,"name":"User %d"},`,
		locked, reason, locked, locked, 8+i%5, i%60, 13+i%5, i*3%60, task%4 != 0, 90+project, 50+user, day, i%24, day, i/60%60, i%60, 4_417_203+user, user)
	return fmt.Appendf(b, `"client":{"id":%d,"name":"Client %d","currency":"EUR"},"project":{"id":%d,"name":"Project %d","code":"P-%d"},"task":{"id":%d,"name":"Task %d"},`+
		`"user_assignment":{"id":%d,"is_project_manager":%t,"is_active":true,"use_default_rates":true,"budget":null,"created_at":"2025-05-%02dT07:44:10Z",`+
		`"updated_at":"2025-05-%02dT07:44:10Z","hourly_rate":%d.0},"task_assignment":{"id":%d,"billable":%t,"is_active":true,"created_at":"2025-05-%02dT07:44:11Z",`+
		`"updated_at":"2025-05-%02dT07:44:11Z","hourly_rate":null,"budget":null},"invoice":%s,"external_reference":%s}`,
		15_840_122+project%12, project%12, 41_880_233+project, project, project, 22_981_045+task, task, 471_200_881+user*60+project, user%10 == 0, user%28+1, project%28+1, 90+user,
		453_911_274+project*15+task, task%4 != 0, task%28+1, project%28+1, invoice, reference)
}
