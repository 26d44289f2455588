package producer_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var mutants = flag.Bool("mutants", false, "break each rule in turn and see the simulation, or a test, fail (minutes)")

// TestMutants builds this package's tests with each mutant in the code's place, and prints which seed of the simulation, or else which
// test, catches it: -run TestMutants$ -mutants. What catches it must pass on the code as it is; what does not build, hangs or panics
// catches nothing.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("SKIPPED, NO RULE WAS BROKEN: -mutants asks for it, and it takes minutes")
	}
	began := time.Now()
	lab := &laboratory{t: t, dir: t.TempDir(), sound: map[string]bool{}}
	lab.control = lab.build("control", "{}")
	if lab.control == "" {
		t.FailNow()
	}
	todo := make(chan int)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range todo {
				lab.examine(i)
			}
		})
	}
	for i := range broken {
		todo <- i
	}
	close(todo)
	workers.Wait()
	fmt.Printf("%d mutants: %d caught by the simulation, %d by other tests, %d survived; took %s\n", len(broken), lab.seeds, lab.tests,
		len(broken)-lab.seeds-lab.tests, time.Since(began).Round(time.Second))
}

// laboratory is where mutants are made and examined.
type laboratory struct {
	t       *testing.T
	dir     string
	control string // the binary of the unbroken code

	mu           sync.Mutex
	sound        map[string]bool // what has passed on the unbroken code
	seeds, tests int
}

// examine breaks one rule and reports what notices.
func (l *laboratory) examine(i int) {
	m := broken[i]
	began := time.Now()
	binary := l.mutate(i)
	if binary == "" {
		return
	}
	defer os.Remove(binary)
	catchers := [][]string{seedArgs("1", "12"), seedArgs("13", "12"), {"-test.run=^Test", "-test.skip=^TestSimulation$|^TestMutants"}}
	if m.by != "" {
		catchers = append([][]string{catcher(m.by)}, catchers...)
	}
	for _, args := range catchers {
		by, why := l.caught(binary, args)
		if by == "" || !l.isSound(by) {
			continue
		}
		l.mu.Lock()
		if strings.HasPrefix(by, "seed") {
			l.seeds++
		} else {
			l.tests++
		}
		fmt.Printf("caught  %-66s by %-30s %-8s %3.0f s\n", m.name, by, why, time.Since(began).Seconds())
		l.mu.Unlock()
		return
	}
	l.t.Errorf("SURVIVED  %s", m.name)
}

// isSound says whether a seed or test passes on the unbroken code.
func (l *laboratory) isSound(by string) bool {
	l.mu.Lock()
	sound, known := l.sound[by]
	l.mu.Unlock()
	if known {
		return sound
	}
	out, err := l.run(l.control, catcher(by))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sound[by] = err == nil
	if err != nil {
		l.t.Errorf("%s fails on the code as it is: %v\n%s", by, err, out)
	}
	return err == nil
}

func seedArgs(first, n string) []string {
	return []string{"-test.run=^TestSimulation$", "-first=" + first, "-seeds=" + n}
}

// catcher are the arguments that run one seed or test.
func catcher(by string) []string {
	if n, seed := strings.CutPrefix(by, "seed "); seed {
		return seedArgs(n, "1")
	}
	return []string{"-test.run=^" + by + "$"}
}

var (
	failedSeed = regexp.MustCompile(`--- FAIL: TestSimulation/seed=(\d+)`)
	failedTest = regexp.MustCompile(`--- FAIL: (Test\w+)`)
	oracle     = regexp.MustCompile(`_test\.go:\d+: .*?\b([A-Z]{3,}): `)
)

// caught is which seed or test fails, and what the oracle calls it.
func (l *laboratory) caught(binary string, args []string) (by, why string) {
	out, err := l.run(binary, append(args, "-test.failfast"))
	if err == nil || strings.Contains(out, "\npanic: ") {
		return "", ""
	}
	if found := oracle.FindStringSubmatch(out); found != nil {
		why = found[1]
	}
	if found := failedSeed.FindStringSubmatch(out); found != nil {
		return "seed " + found[1], why
	}
	if found := failedTest.FindStringSubmatch(out); found != nil {
		return found[1], why
	}
	return "", ""
}

func (l *laboratory) run(binary string, args []string) (string, error) {
	cmd := exec.CommandContext(l.t.Context(), binary, append(args, "-test.timeout=5m")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mutate is the binary of the tests with one piece of the code replaced.
func (l *laboratory) mutate(i int) string {
	m := broken[i]
	replaced := filepath.Join(l.dir, fmt.Sprint(i, ".go"))
	if err := os.WriteFile(replaced, []byte(strings.Replace(source(l.t, m.file), m.old, m.new, 1)), 0o600); err != nil {
		l.t.Error(err)
		return ""
	}
	original, err := filepath.Abs(filepath.Join("..", "..", m.file))
	if err != nil {
		l.t.Error(err)
		return ""
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
	if err != nil {
		l.t.Error(err)
		return ""
	}
	return l.build(fmt.Sprint(i), string(overlay))
}

// build compiles this package's tests; "" where that fails.
func (l *laboratory) build(name, overlay string) string {
	list, binary := filepath.Join(l.dir, name+".json"), filepath.Join(l.dir, name+".test")
	if err := os.WriteFile(list, []byte(overlay), 0o600); err != nil {
		l.t.Error(err)
		return ""
	}
	cmd := exec.CommandContext(l.t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", list, "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Errorf("%s does not build: %v\n%s", name, err, out)
		return ""
	}
	return binary
}
