package harvesttest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// history is everything an account shows after n changes of every kind: answers, truth and versions.
func history(t *testing.T, seed uint64, n int) string {
	w := setup(t, harvesttest.Options{Seed: seed})
	w.SetLate(0.2, 10*time.Second)
	w.Fault(harvesttest.Fault{Match: "clients", Probability: 0.3, Do: harvesttest.DoStatus, Status: 502})
	rng := newRand(seed)
	sum := sha256.New()
	for range n {
		w.clock.pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
		fmt.Fprintln(sum, w.Step(rng), w.Live(rng), w.send("GET", "time_entries?per_page=20", ""), w.send("GET", "clients", ""))
	}
	for _, stream := range w.Streams() {
		for _, o := range w.Truth(stream) {
			fmt.Fprintf(sum, "%d %d %s\n", o.ID, o.ParentID, o.JSON)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func TestOneSeedIsOneAccount(t *testing.T) {
	t.Parallel()
	a, b, c := history(t, 3, 150), history(t, 3, 150), history(t, 4, 150)
	same(t, "same seed", a, b)
	same(t, "other seed", a != c, true)
}

// Whatever an administrator is shown was a version, and every past state is the one that was shown then.
func TestVersionsAndReplica(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	rng := newRand(11)
	type moment struct {
		at    time.Time
		truth map[string][]harvesttest.Object
		page  string
	}
	var moments []moment
	for range 25 {
		for range 8 {
			w.Step(rng)
		}
		m := moment{at: w.clock.now(), truth: map[string][]harvesttest.Object{}, page: w.send("GET", "time_entries?per_page=50", "").body}
		for _, stream := range w.Streams() {
			m.truth[stream] = w.Truth(stream)
		}
		moments = append(moments, m)
		w.clock.pass(1500 * time.Millisecond)
	}
	for _, m := range moments {
		for _, stream := range w.Streams() {
			past := w.TruthAt(stream, m.at)
			same(t, stream+" rows", len(past), len(m.truth[stream]))
			for i := range past {
				if !bytes.Equal(past[i].JSON, m.truth[stream][i].JSON) {
					t.Fatalf("%s was\n%s\nand is remembered as\n%s", stream, m.truth[stream][i].JSON, past[i].JSON)
				}
			}
		}
		remove := w.Fault(harvesttest.Fault{Do: harvesttest.DoLag, Delay: w.clock.now().Sub(m.at)})
		same(t, "replica", w.send("GET", "time_entries?per_page=50", "").body, m.page)
		remove()
	}
	for i, m := range moments {
		for _, stream := range w.Streams() {
			for j, o := range m.truth[stream] {
				if (i+j)%13 == 0 && !w.WasVisible(stream, o.ID, o.JSON) {
					t.Fatalf("%s/%d was shown but is no version: %s\n%s", stream, o.ID, o.JSON, dump(w.Versions(stream, o.ID)))
				}
			}
		}
	}
	client := w.made("clients", 0, harvesttest.Fields{"name": "A"})
	shown, _ := w.Object("clients", client)
	same(t, "never", w.WasVisible("clients", client, bytes.Replace(shown.JSON, []byte(`"A"`), []byte(`"B"`), 1)), false)
	w.must(w.Delete("clients", client))
	versions := w.Versions("clients", client)
	same(t, "versions", len(versions) >= 2 && versions[len(versions)-1].Deleted, true)
}

func dump(versions []harvesttest.Version) (text string) {
	for _, v := range versions {
		text += fmt.Sprintf("%s %v %s\n", v.From, v.Deleted, v.JSON)
	}
	return text
}

// A rename is a version of everything that embeds the name, at every depth.
func TestVersionsKnowEmbeddedNames(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	entry := w.IDs("time_entries")[5]
	before, _ := w.Object("time_entries", entry)
	o := w.object("time_entries", entry)
	w.clock.pass(time.Second)
	w.must(w.Rename("clients", id(o["client"].(object)), "Other"))
	after, _ := w.Object("time_entries", entry)
	same(t, "shown", w.object("time_entries", entry)["client"].(object)["name"].(string), "Other")
	versions := w.Versions("time_entries", entry)
	same(t, "versions", len(versions), 2)
	same(t, "first", string(versions[0].JSON), string(before.JSON))
	same(t, "second", string(versions[1].JSON), string(after.JSON))
	same(t, "from", versions[1].From.Equal(w.clock.now()), true)
}

// A late row has the stamp of its making and is seen later (§5.16).
func TestLateRows(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	w.SetLate(1, 10*time.Second)
	stamp := w.clock.stamp()
	contact := w.made("contacts", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0]})
	same(t, "now", w.send("GET", fmt.Sprint("contacts/", contact), "").status, 404)
	w.SetLate(0, 0)
	newer := w.made("contacts", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0]})
	w.clock.pass(10 * time.Second)
	o := w.object("contacts", contact)
	same(t, "stamp", o["updated_at"].(string), stamp)
	same(t, "id below a row seen before", contact < newer, true)
	same(t, "not missed by the log", len(w.list("contacts?updated_since="+stamp).rows), 2)

	w.SetLate(1, 10*time.Second)
	made := w.clock.now()
	contact = w.made("contacts", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0]})
	w.clock.pass(time.Hour) // nobody looked meanwhile
	from := w.Versions("contacts", contact)[0].From
	same(t, "visible from", from.After(made) && from.Before(made.Add(11*time.Second)), true)
}

// A late change that a newer one overtook does not take the stamp back: a database would have kept them in order.
func TestOvertakenStamps(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	task := w.IDs("tasks")[0]
	w.SetLate(1, 10*time.Hour)
	w.must(w.Rename("tasks", task, "late"))
	w.clock.pass(time.Second)
	w.SetLate(0, 0)
	w.must(w.Rename("tasks", task, "newer"))
	stamp := w.clock.stamp()
	w.clock.pass(10 * time.Hour)
	same(t, "both happened", words(w.object("tasks", task)["name"], w.object("tasks", task)["updated_at"] == stamp), "late true")
}

// A vendor's restore takes content and updated_at back; deleted rows return (§5.18).
func TestRestore(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	entries := w.IDs("time_entries")
	before := w.Truth("time_entries")
	at := w.clock.now()
	w.clock.pass(time.Hour)
	w.must(w.Update("time_entries", entries[0], harvesttest.Fields{"notes": "changed"}))
	w.deleteOne("time_entries", w.list("time_entries?is_running=false&per_page=5").rows)
	w.clock.pass(time.Minute)
	same(t, "rows", w.Restore("time_entries", at), 2)
	after := w.Truth("time_entries")
	same(t, "equal", slices.EqualFunc(before, after, func(a, b harvesttest.Object) bool {
		return a.ID == b.ID && (bytes.Equal(a.JSON, b.JSON) || decode(t, a.JSON)["is_running"] == true)
	}), true)
}

// Stamps ahead of the clock do not hide a row from the incremental read.
func TestFutureStamps(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	w.clock.pass(time.Hour)
	task := w.IDs("tasks")[0]
	w.must(w.SetUpdated("tasks", task, w.clock.now().AddDate(970, 0, 0)))
	w.clock.pass(time.Hour)
	same(t, "ahead", w.list("tasks?updated_since="+w.clock.ago(time.Minute)).Total, 1)
	w.must(w.SetUpdated("tasks", task, w.clock.now()))
	same(t, "corrected", w.object("tasks", task)["updated_at"].(string), w.clock.stamp())
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{Now: time.Now, Limit: 1000, Gzip: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rng := newRand(uint64(i))
			for range 40 {
				w.Step(rng)
				w.Live(rng)
				if r := w.send("GET", "time_entries?per_page=100", ""); r.status != 200 {
					t.Error(r.status)
				}
				w.Truth("clients")
				w.Versions("time_entries", w.IDs("time_entries")[0])
				w.WorstWindow(time.Second)
			}
		})
	}
	wg.Wait()
	same(t, "requests", len(w.Requests()), 320)
}

// Latency, slow pages and hanging answers take virtual time only.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := setup(t, harvesttest.Options{Now: time.Now, Latency: latency})
		start := time.Now()
		w.Fault(harvesttest.Fault{Match: "tasks", Count: 1, Do: harvesttest.DoSlow, Delay: time.Minute})
		name := make(chan any)
		go func() { name <- w.list("tasks").rows[0]["name"] }()
		time.Sleep(30 * time.Second)
		tasks := w.IDs("tasks")
		w.must(w.Rename("tasks", tasks[len(tasks)-1], "Renamed meanwhile"))
		same(t, "computed when asked", <-name, any(fmt.Sprint("Task ", len(tasks))))
		same(t, "took", time.Since(start), time.Minute+3*time.Second)
		same(t, "now", w.list("tasks").rows[0]["name"], any("Renamed meanwhile"))
	})
}

// Odd values are versions like any other.
func TestOddValues(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	rng := newRand(5)
	for range 200 {
		w.Odd(rng)
		w.Step(rng)
	}
	odd := 0
	for _, stream := range []string{"time_entries", "expenses", "invoices", "projects", "clients", "users"} {
		for _, o := range w.Truth(stream) {
			if bytes.Contains(o.JSON, []byte(`"updated_by_nobody"`)) {
				odd++
				same(t, "visible", w.WasVisible(stream, o.ID, o.JSON), true)
			}
		}
	}
	same(t, "odd", odd > 5, true)
}
