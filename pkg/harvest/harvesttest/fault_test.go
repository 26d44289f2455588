package harvesttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

func latency(*http.Request) (there, back time.Duration) { return time.Second, 2 * time.Second }

func TestFaults(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-Test": {"yes"}}
	for _, c := range []struct {
		name  string
		fault harvesttest.Fault
		check func(r response) bool
	}{
		{"html 502", harvesttest.Fault{Do: harvesttest.DoStatus, Status: 502}, func(r response) bool {
			return r.status == 502 && strings.HasPrefix(r.body, "<!DOCTYPE html>") && strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
		}},
		{"json 500", harvesttest.Fault{Do: harvesttest.DoStatus, Status: 500, Body: "{}", Header: header}, func(r response) bool {
			return r.status == 500 && r.body == "{}" && r.header.Get("X-Test") == "yes"
		}},
		{"html 200", harvesttest.Fault{Do: harvesttest.DoBody, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}}, func(r response) bool {
			return r.status == 200 && r.body == "<html>" && r.header.Get("Content-Type") == "text/html"
		}},
		{"nothing", harvesttest.Fault{Do: harvesttest.DoBody}, func(r response) bool { return r.status == 200 && r.body == "" }},
		{"cut", harvesttest.Fault{Do: harvesttest.DoCut, Bytes: -1}, func(r response) bool {
			return errors.Is(r.err, io.ErrUnexpectedEOF) && strings.HasSuffix(r.body, `ref=last"}`)
		}},
		{"drop", harvesttest.Fault{Do: harvesttest.DoDrop}, func(r response) bool { return r.err != nil && r.status == 0 }},
		{"429 header", harvesttest.Fault{Do: harvesttest.DoThrottle, Delay: 7 * time.Second}, func(r response) bool {
			return r.status == 429 && r.header.Get("Retry-After") == "7"
		}},
		{"429 nothing", harvesttest.Fault{Do: harvesttest.DoThrottle, Throttle: harvesttest.RetryNothing}, func(r response) bool {
			return r.status == 429 && r.header.Get("Retry-After") == "" && r.body == "" && r.header.Get("Content-Type") == "text/html"
		}},
		{"429 body", harvesttest.Fault{Do: harvesttest.DoThrottle, Throttle: harvesttest.RetryBody, Delay: time.Second}, func(r response) bool {
			return r.body == `{"message":"This request has been throttled.","retry_after":1}`
		}},
		{"429 date", harvesttest.Fault{Do: harvesttest.DoThrottle, Throttle: harvesttest.RetryDate, Delay: time.Second}, func(r response) bool {
			at, err := http.ParseTime(r.header.Get("Retry-After"))
			return err == nil && at.After(newClock().now())
		}},
		{"429 junk", harvesttest.Fault{Do: harvesttest.DoThrottle, Throttle: harvesttest.RetryJunk}, func(r response) bool { return r.header.Get("Retry-After") == "abc" }},
		{"empty", harvesttest.Fault{Do: harvesttest.DoEmpty}, func(r response) bool { return strings.HasPrefix(r.body, `{"tasks":[],`) }},
		{"hostile link", harvesttest.Fault{Do: harvesttest.DoLink, Link: "https://evil.example/v2/tasks"}, func(r response) bool {
			return strings.Contains(r.body, `"next":"https://evil.example/v2/tasks"`)
		}},
		{"loop", harvesttest.Fault{Do: harvesttest.DoLink, Link: "self"}, func(r response) bool {
			return strings.Contains(r.body, `"next":"https://api.harvestapp.com/v2/tasks?per_page=2"`)
		}},
		{"no link", harvesttest.Fault{Do: harvesttest.DoLink}, func(r response) bool { return strings.Contains(r.body, `"next":null`) }},
		{"date", harvesttest.Fault{Do: harvesttest.DoDate, Delay: time.Hour}, func(r response) bool {
			return r.header.Get("Date") == newClock().now().Add(time.Hour).Format(http.TimeFormat)
		}},
		{"no date", harvesttest.Fault{Do: harvesttest.DoNoDate}, func(r response) bool { return r.header.Get("Date") == "" }},
		{"header", harvesttest.Fault{Do: harvesttest.DoHeader, Header: header}, func(r response) bool { return r.status == 200 && r.header.Get("X-Test") == "yes" }},
		{"rewrite", harvesttest.Fault{Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte { return []byte(strings.ToUpper(string(b))) }},
			func(r response) bool { return strings.HasPrefix(r.body, `{"TASKS"`) }},
		{"unknown field", harvesttest.Fault{Do: harvesttest.DoUnknown}, func(r response) bool { return strings.Count(r.body, `"unannounced":`) == 2 }},
	} {
		w := setup(t, harvesttest.Options{})
		c.fault.Match = "tasks"
		remove := w.Fault(c.fault)
		if r := w.send("GET", "tasks?per_page=2", ""); !c.check(r) {
			t.Errorf("%s: %+v", c.name, r)
		}
		same(t, c.name+" elsewhere", w.send("GET", "clients", "").status, 200)
		same(t, c.name+" struck", remove(), 1)
		same(t, c.name+" over", len(w.list("tasks").rows), 5)
	}
}

func TestFaultsAreScripted(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	broken := func(f harvesttest.Fault, path string) string {
		f.Do, f.Status = harvesttest.DoStatus, 503
		remove := w.Fault(f)
		defer remove()
		text := ""
		for range 6 {
			text += fmt.Sprint(w.send("GET", path, "").status / 100 % 5) // 2 is fine, 0 is struck
			w.clock.pass(time.Second)
		}
		return text
	}
	invoice := w.IDs("invoices")[0]
	same(t, "nth", broken(harvesttest.Fault{Nth: 3, Count: 2}, "tasks"), "220022")
	same(t, "pattern", broken(harvesttest.Fault{Match: "invoices/*/messages"}, fmt.Sprintf("invoices/%d/messages", invoice)), "000000")
	same(t, "other path", broken(harvesttest.Fault{Match: "invoices/*/messages"}, fmt.Sprintf("invoices/%d/payments", invoice)), "222222")
	same(t, "query", broken(harvesttest.Fault{Query: "page=2"}, "tasks"), "222222")
	same(t, "span", broken(harvesttest.Fault{Until: w.clock.now().Add(3 * time.Second)}, "tasks"), "000222")
	half := strings.Count(broken(harvesttest.Fault{Probability: 0.5}, "tasks")+broken(harvesttest.Fault{Probability: 0.5}, "tasks"), "0")
	same(t, "probability", half > 0 && half < 12, true)
}

func TestShuffleAndCutOverSockets(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	role := w.made("roles", 0, harvesttest.Fields{"user_ids": w.IDs("users")[:3]})
	before := w.object("roles", role)["user_ids"].([]any)
	remove := w.Fault(harvesttest.Fault{Do: harvesttest.DoShuffle})
	after := decode(t, []byte(w.send("GET", fmt.Sprint("roles/", role), "").body))["user_ids"].([]any)
	remove()
	same(t, "turned", fmt.Sprint(after), fmt.Sprint([]any{before[2], before[0], before[1]}))

	srv := httptest.NewServer(w)
	defer srv.Close()
	for _, do := range []harvesttest.Do{harvesttest.DoCut, harvesttest.DoDrop, harvesttest.DoHang} {
		remove := w.Fault(harvesttest.Fault{Do: do, Bytes: 10})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v2/tasks?access_token=test-token&account_id=482913", nil)
		resp, err := srv.Client().Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("fault %d: no error", do)
		}
		cancel()
		remove()
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		w := setup(t, harvesttest.Options{Limit: 10, ReportLimit: 2, FixedWindow: fixed})
		w.clock.t = w.clock.t.Truncate(15 * time.Second).Add(8 * time.Second)
		start := w.clock.now()
		for i := range 12 {
			r := w.send("GET", "company", "")
			same(t, fmt.Sprint("request ", i), r.status, map[bool]int{true: 200, false: 429}[i < 10])
			if r.status == 429 {
				same(t, "wait", r.header.Get("Retry-After"), map[bool]string{true: "7", false: "15"}[fixed])
			}
		}
		same(t, "other bucket", w.send("GET", "reports/time/clients?from=20260101&to=20260131", "").status, 200)
		same(t, "other bucket", w.send("GET", "reports/time/team", "").status, 200)
		same(t, "other bucket full", w.send("GET", "reports/time/team", "").status, 429)
		w.clock.t = start.Add(7 * time.Second)
		same(t, "a window later", w.send("GET", "company", "").status, map[bool]int{true: 200, false: 429}[fixed])
		w.clock.t = start.Add(15 * time.Second)
		same(t, "15 s later", w.send("GET", "company", "").status, 200)
		same(t, "worst", w.WorstWindow(15*time.Second), 13)
		w.SetLimit(1)
		same(t, "halved", w.send("GET", "company", "").status, 429)
		log := w.Requests()
		same(t, "log", words(len(log), log[0].Path, log[0].Status, log[12].Path), "18 company 200 reports/time/clients")
	}
}

// Roles: members see their own time, managers their projects; a project taken away shrinks lists (P7).
func TestRoles(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	all := w.Count("time_entries")
	me := func() object { return decode(t, []byte(w.send("GET", "users/me", "").body)) }
	status := func(path string) int { return w.send("GET", path, "").status }
	same(t, "administrator", fmt.Sprint(me()["access_roles"]), "[administrator]")

	w.list("time_entries") // what an administrator saw is not kept for the member
	w.ChangeRole(harvesttest.Member)
	own := w.walk("time_entries")
	same(t, "part", len(own) > 0 && len(own) < all, true)
	for _, o := range own {
		same(t, "own", id(o["user"].(object)), w.Me())
		_, rate := o["billable_rate"]
		_, embedded := o["user_assignment"].(object)["hourly_rate"]
		same(t, "rates", rate || embedded, false)
	}
	_, rate := me()["default_hourly_rate"]
	same(t, "own rate", rate, false)
	r := w.send("GET", "clients", "")
	same(t, "forbidden", words(r.status, r.body, r.header.Get("Hint")), `403 {"message":"Not authorized!"} Not authorized!`)
	same(t, "roles", status("roles"), 403)
	same(t, "company", status("company"), 200)

	w.ChangeRole(harvesttest.Manager, "billable_rates_manager")
	before, roles := w.list("time_entries"), fmt.Sprint(me()["access_roles"])
	managed := w.walk("projects")
	same(t, "sees part", before.Total < all && len(managed) > 0, true)
	_, cost := before.rows[0]["cost_rate"]
	_, billable := before.rows[0]["billable_rate"]
	same(t, "rates", words(billable, cost), "true false")
	same(t, "users", len(w.walk("users")) < w.Count("users"), true)
	same(t, "invoices", status("invoices"), 403)
	same(t, "project", status(fmt.Sprint("projects/", id(managed[0]))), 200)
	w.must(w.Manage(id(managed[0]), false))
	same(t, "shrunk", w.list("time_entries").Total < before.Total, true)
	same(t, "roles stay", fmt.Sprint(me()["access_roles"]), roles)
	same(t, "out of sight", status(fmt.Sprint("projects/", id(managed[0]))), 404)
	w.SetToken("other")
	same(t, "revoked", status("users/me"), 401)
}

func TestModulesOff(t *testing.T) {
	t.Parallel()
	for answer, want := range map[harvesttest.Off]int{harvesttest.OffForbidden: 403, harvesttest.OffNotFound: 404, harvesttest.OffEmpty: 200} {
		w := setup(t, harvesttest.Options{OffAnswer: answer})
		message := fmt.Sprintf("invoices/%d/messages", w.IDs("invoices")[0])
		w.SwitchModule("invoice_feature", false)
		for _, path := range []string{"invoices", "invoice_item_categories", message} {
			r := w.send("GET", path, "")
			same(t, path, r.status, want)
			if want == 200 {
				same(t, path+" rows", w.envelope(r.body).Total, 0)
			}
		}
		same(t, "others", w.send("GET", "estimates", "").status, 200)
		same(t, "company", decode(t, []byte(w.send("GET", "company", "").body))["invoice_feature"], any(false))
		w.SwitchModule("invoice_feature", true)
		same(t, "on again", w.list("invoices").Total, w.Count("invoices"))
	}
}
