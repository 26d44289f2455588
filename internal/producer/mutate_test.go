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

var (
	mutants = flag.Bool("mutants", false, "break each rule in turn and see the simulation, or a test, fail (minutes)")
	only    = flag.String("only", "", "of these rules, those whose name matches")
)

// TestMutants builds this package's tests with all mutants asleep in the code, wakes them one by one, and prints which seed of the simulation, or else which
// test, catches it: -run TestMutants$ -mutants. What catches it must pass while all sleep; what hangs or panics catches
// nothing.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("SKIPPED, NO RULE WAS BROKEN: -mutants asks for it, and it takes minutes")
	}
	began := time.Now()
	lab := &laboratory{t: t, dir: t.TempDir(), sound: map[string]bool{}}
	lab.build()
	todo := make(chan int)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range todo {
				lab.examine(i)
			}
		})
	}
	wanted, examined := regexp.MustCompile(*only), 0
	for i := range broken {
		if wanted.MatchString(broken[i].name) {
			examined++
			todo <- i
		}
	}
	close(todo)
	workers.Wait()
	fmt.Printf("%d mutants: %d caught by the simulation, %d by other tests, %d survived; took %s\n", examined, lab.seeds, lab.tests,
		examined-lab.seeds-lab.tests, time.Since(began).Round(time.Second))
}

// laboratory is where mutants are made and examined.
type laboratory struct {
	t      *testing.T
	dir    string
	binary string // holds all mutants, asleep

	mu           sync.Mutex
	sound        map[string]bool // what has passed with all asleep
	seeds, tests int
}

// examine breaks one rule and reports what notices.
func (l *laboratory) examine(i int) {
	m := broken[i]
	began := time.Now()
	catchers := [][]string{seedArgs("1", "8"), {"-test.run=^Test", "-test.skip=^TestSimulation$|^TestMutants"}}
	if m.by != "" {
		catchers = append([][]string{catcher(m.by)}, catchers...)
	}
	for _, args := range catchers {
		by, why := l.caught(i, args)
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
	out, err := l.run(-1, catcher(by))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sound[by] = err == nil
	if err != nil {
		l.t.Errorf("%s fails without any mutant: %v\n%s", by, err, out)
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
	oracle     = regexp.MustCompile(`_test\.go:\d+: .*?\b(GAP|TWO|[A-Z]{4,}): `)
)

// caught is which seed or test fails, and what the oracle calls it.
func (l *laboratory) caught(i int, args []string) (by, why string) {
	out, err := l.run(i, append(args, "-test.failfast"))
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

// run runs the tests with one mutant awake; with -1, none.
func (l *laboratory) run(i int, args []string) (string, error) {
	cmd := exec.CommandContext(l.t.Context(), l.binary, append(args, "-test.timeout=5m")...)
	cmd.Env = append(os.Environ(), fmt.Sprint("MUTANT=", i))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// build compiles this package's tests with every mutant in the code, each asleep until its number is in the environment.
func (l *laboratory) build() {
	l.t.Helper()
	replaced := map[string]string{}
	for i, m := range broken {
		path, err := filepath.Abs(filepath.Join("..", "..", m.file))
		if err != nil {
			l.t.Fatal(err)
		}
		if replaced[path] == "" {
			replaced[path] = source(l.t, m.file)
			replaced[filepath.Join(filepath.Dir(path), "mutants_awake.go")] = awake(filepath.Base(filepath.Dir(path)))
		}
		replaced[path] = strings.Replace(replaced[path], m.old, sleeper.ReplaceAllString(m.new, fmt.Sprint("mutant", i)), 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range replaced {
		file := filepath.Join(l.dir, fmt.Sprint(len(overlay.Replace), ".go"))
		overlay.Replace[path] = file
		l.write(file, []byte(text))
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(filepath.Join(l.dir, "overlay.json"), list)
	l.binary = filepath.Join(l.dir, "mutants.test")
	cmd := exec.CommandContext(l.t.Context(), "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(l.dir, "overlay.json"), "-o", l.binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("the mutants do not build: %v\n%s", err, out)
	}
}

func (l *laboratory) write(file string, text []byte) {
	l.t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

var sleeper = regexp.MustCompile(`\bmutant\b`)

// awake is a file that says, in one of the packages, which mutant is awake.
func awake(pkg string) string {
	text := "package " + pkg + "\n\nimport \"os\"\n\n"
	for i := range broken {
		text += fmt.Sprintf("var mutant%d = os.Getenv(\"MUTANT\") == \"%d\"\n", i, i)
	}
	return text
}
