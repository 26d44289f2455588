package producer_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// P7: two sweeps at once find a deleted project and its entries. Whichever is first, the project explains the entries: nobody is asked.
func TestP7ProjectAndItsRowsFoundAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, []byte("defaults: {mode: full-refresh}\nstreams: {projects: , time_entries: , expenses: }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	latency := func(*http.Request) (there, back time.Duration) { return 50 * time.Millisecond, 50 * time.Millisecond }
	bubble(t, harvesttest.Options{Seed: 21, Latency: latency, Limit: 1 << 20}, func(w *world) {
		w.env = append(w.env, "REPLICATION_FILE="+file, "HARVEST_RATE_LIMIT=30000")
		w.sync()
		owned := map[int64]int{}
		for _, o := range w.sim.Truth("time_entries") {
			var entry struct{ Project struct{ ID int64 } }
			if err := json.Unmarshal(o.JSON, &entry); err != nil {
				t.Fatal(err)
			}
			owned[entry.Project.ID]++
		}
		project := slices.MaxFunc(w.sim.IDs("projects"), func(a, b int64) int { return owned[a] - owned[b] })
		if owned[project] <= 20 {
			t.Fatalf("only %d entries hang on the project: this proves nothing", owned[project])
		}
		if err := w.sim.Delete("projects", project); err != nil {
			t.Fatal(err)
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitOK)
		w.equal("projects", "time_entries", "expenses")
	})
}
