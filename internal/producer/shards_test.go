package producer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 12, "simulated histories to run")
	first = flag.Uint64("first", 1, "the first of them")
	seed  = flag.Uint64("seed", 0, "run this one only")
)

// perProcess is how many histories one process runs: more are spread over as many processes at a time as there are processors, since with
// one processor each a seed repeats, and no process lives long enough to grow.
const perProcess = 12

// tally is what histories came to.
type tally struct {
	Seeds, Requests, Changes, Records, Lives, Deaths, Rivals, Fenced int
	Virtual                                                          time.Duration
	Faults                                                           map[string]int
}

// add counts one history in.
func (s *tally) add(h *history, took time.Duration) {
	s.Seeds++
	s.Virtual += took
	s.Requests += len(h.sim.Requests())
}

const tallied = "sum of the histories: "

func (s *tally) print() {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and names
	}
	fmt.Printf("%s%s\n", tallied, text)
}

// merge adds another process's sum.
func (s *tally) merge(o tally) {
	s.Seeds, s.Requests, s.Changes, s.Records = s.Seeds+o.Seeds, s.Requests+o.Requests, s.Changes+o.Changes, s.Records+o.Records
	s.Lives, s.Deaths, s.Rivals, s.Fenced = s.Lives+o.Lives, s.Deaths+o.Deaths, s.Rivals+o.Rivals, s.Fenced+o.Fenced
	s.Virtual += o.Virtual
	for name, n := range o.Faults {
		s.Faults[name] += n
	}
}

func (s *tally) String() string {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.Faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.Faults[name]))
	}
	return fmt.Sprintf("%d seeds, %.0f simulated hours: %d requests, %d changes, %d records, %d lives of a producer (%d deaths, %d rivals, %d fenced); faults: %s",
		s.Seeds, s.Virtual.Hours(), s.Requests, s.Changes, s.Records, s.Lives, s.Deaths, s.Rivals, s.Fenced, strings.Join(faults, ", "))
}

// spread runs the histories in processes of this very program and prints what they came to.
func spread(t *testing.T) {
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	blocks := make(chan uint64)
	go func() {
		defer close(blocks)
		for at := *first; at < *first+uint64(*seeds); at += perProcess {
			select {
			case blocks <- at:
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	sum := tally{Faults: map[string]int{}}
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for at := range blocks {
				n := min(perProcess, *first+uint64(*seeds)-at)
				out, err := histories(ctx, os.Args[0], at, n)
				mu.Lock()
				if part, ok := tallyOf(out); err == nil && ok {
					sum.merge(part)
				} else if ctx.Err() == nil {
					t.Errorf("among the seeds from %d: %v\n%s", at, err, out)
					stop() // one is enough
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if sum.Seeds != *seeds {
		t.Errorf("%d of %d seeds ran", sum.Seeds, *seeds)
	}
	fmt.Printf("%s; took %s\n", &sum, time.Since(began).Round(time.Second))
}

// histories runs some seeds in a process of a test binary.
func histories(ctx context.Context, binary string, from, n uint64) ([]byte, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestSimulation$", "-test.timeout=30m", fmt.Sprint("-first=", from), fmt.Sprint("-seeds=", n))
	return cmd.CombinedOutput()
}

func tallyOf(out []byte) (tally, bool) {
	var sum tally
	_, line, found := bytes.Cut(out, []byte(tallied))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	return sum, found && json.Unmarshal(line, &sum) == nil
}
