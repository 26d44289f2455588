package real_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// Flink SQL reads a topic as a changelog, deletes included: its running sum of hours by project ends where PostgreSQL's is.
func TestFlink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 20})
	if parts.flink == "" {
		t.Skipf("SKIPPED: %s names no flink", variable)
	}
	rng := rand.New(rand.NewPCG(*seed, 20))
	w.pass(eager...)
	for range 40 {
		w.sim().Step(rng)
	}
	w.first("time_entries", func(id int64) error { return w.sim().Delete("time_entries", id) })
	time.Sleep(2500 * time.Millisecond)
	w.passAllowing()
	file := filepath.Join(t.TempDir(), "hours.sql")
	if err := os.WriteFile(file, []byte(w.hoursByProject()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(parts.flink, "query", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
	sums, changes := map[string]string{}, 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, "|")
		if len(f) != 6 {
			continue
		}
		switch project := strings.TrimSpace(f[2]); strings.TrimSpace(f[1]) {
		case "+I", "+U":
			sums[project] = strings.TrimSpace(f[3]) + " " + strings.TrimSpace(f[4])
			changes++
		case "-D":
			delete(sums, project)
			changes++
		}
	}
	var got []string
	for project, sum := range sums {
		got = append(got, project+" "+sum)
	}
	slices.Sort(got)
	want := w.rows("SELECT concat_ws(' ', project_id, sum(hours)::numeric(38,9), count(*)) FROM harvest.time_entries GROUP BY project_id")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Flink's sums %q\nPostgreSQL's %q\n%s", got, want, out[max(0, len(out)-2000):])
	}
	figure(t, "%d sums of hours by project equal after %d changes of them", len(got), changes)
}

// hoursByProject is the example of docs/CONSUMERS.md, up to where the topic ends now.
func (w *world) hoursByProject() string {
	format := func(side string) string {
		return fmt.Sprintf(`'%[1]s.format' = 'avro-confluent', '%[1]s.avro-confluent.url' = '%[2]s',
  '%[1]s.avro-confluent.basic-auth.credentials-source' = 'USER_INFO', '%[1]s.avro-confluent.basic-auth.user-info' = '%[3]s:%[4]s'`,
			side, parts.registry, registryUser, registryPassword)
	}
	return fmt.Sprintf(`CREATE TABLE time_entries (
  id BIGINT, account_id BIGINT, spent_date DATE, hours DECIMAL(38, 9), billable BOOLEAN,
  project_id BIGINT, project_name STRING, _seq BIGINT,
  PRIMARY KEY (id, account_id) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'topic' = '%stime_entries', 'properties.bootstrap.servers' = '%s',
  'properties.isolation.level' = 'read_committed', 'scan.bounded.mode' = 'latest-offset',
  %s,
  %s,
  'value.fields-include' = 'ALL'
);
SELECT project_id, SUM(hours), COUNT(*) FROM time_entries GROUP BY project_id;
`, w.prefix(), parts.kafka, format("key"), format("value"))
}
