package real_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// Confluent's Python client reads every topic, tombstones included, and has the account.
func TestPythonConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 14})
	if parts.python == "" {
		t.Skipf("SKIPPED: %s names no python", variable)
	}
	rng := rand.New(rand.NewPCG(*seed, 14))
	w.pass(eager...)
	for range 40 {
		w.sim().Step(rng)
	}
	time.Sleep(2500 * time.Millisecond)
	w.passAllowing()
	var errs bytes.Buffer
	cmd := exec.Command(parts.python, append([]string{"consume.py", parts.kafka, parts.registry, registryUser + ":" + registryPassword}, w.topics()...)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	rows, records, live := map[string][][]byte{}, 0, 0
	for line := range bytes.Lines(out) {
		var l struct {
			Topic   string
			Row     json.RawMessage
			Records int
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if records += l.Records; l.Row != nil {
			rows[l.Topic] = append(rows[l.Topic], l.Row)
			live++
		}
	}
	for _, st := range schema.All() {
		w.refuse("in Python", w.sim().Differences(st, rows[w.prefix()+st.Name], harvesttest.Compared))
	}
	figure(t, "%d rows of %d records, equal to the account", live, records)
}

// kcat sees the wire format's framing, the headers, and tombstones as such.
func TestKcat(t *testing.T) {
	t.Parallel()
	kcat, err := exec.LookPath("kcat")
	w := newWorld(t, harvesttest.Options{Seed: 15})
	if err != nil {
		t.Skip("SKIPPED: there is no kcat on PATH")
	}
	for _, user := range w.sim().IDs("users") {
		_, _ = w.sim().StopTimer(user) // most have none; hours that grow would be further records
	}
	w.pass()
	w.first("time_entries", func(id int64) error { return w.sim().Delete("time_entries", id) })
	time.Sleep(2500 * time.Millisecond)
	w.passAllowing()
	out, err := exec.Command(kcat, "-b", parts.kafka, "-t", w.prefix()+"time_entries", "-C", "-e", "-q", "-X", "isolation.level=read_committed",
		"-s", "key=>bis", "-f", `%k|%S|%h\n`).Output()
	if err != nil {
		t.Fatal(err)
	}
	records, tombstones := 0, 0
	for line := range strings.Lines(string(out)) {
		fields := strings.SplitN(line, "|", 3)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "0") || !strings.Contains(fields[2], "harvest-seq="+strconv.Itoa(records+1)+",") {
			t.Fatalf("record %d: %q", records+1, line)
		}
		if records++; fields[1] == "-1" {
			tombstones++
		}
	}
	if want := w.sim().Count("time_entries") + 2; records != want || tombstones != 1 {
		t.Errorf("%d records, %d tombstones; want %d and 1", records, tombstones, want)
	}
	figure(t, "%d records with framing and headers, %d tombstone", records, tombstones)
}
