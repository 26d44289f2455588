// Package real_test runs the programs as users run them, against Apache Kafka, a schema registry and PostgreSQL, while a simulated account
// changes. run.sh beside it brings the parts up and starts it; plain go test skips it.
package real_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What run.sh's flags set.
var (
	killing = flag.Duration("killing", time.Minute, "how long TestKills kills")
	rounds  = flag.Int("rounds", 3, "how often TestPoints kills at each point")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano())%1e6, "of what is random")
)

const variable = "HARVESTSTREAM_REAL"

// parts are the real systems, as HARVESTSTREAM_REAL names them, and the programs under test.
var parts struct {
	kafka, registry, postgres string // host:port,…; URL; URL
	python                    string // with Confluent's client; may be missing
	connect                   string // URL of a worker; may be missing
	flink                     string // script that runs SQL; may be missing
	programs                  string // folder with producer and sinker; in armed/ those that die at named points
	logs                      string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/real:", err)
		code = 1
	}
	os.Exit(code)
}

func prepared(m *testing.M) (int, error) {
	if os.Getenv(variable) == "" {
		return m.Run(), nil // every test says that it is skipped
	}
	for part := range strings.FieldsSeq(os.Getenv(variable)) {
		name, value, _ := strings.Cut(part, "=")
		field := map[string]*string{"kafka": &parts.kafka, "registry": &parts.registry, "postgres": &parts.postgres, "python": &parts.python, "connect": &parts.connect, "flink": &parts.flink}[name]
		if field == nil {
			return 0, fmt.Errorf("%s: there is no part %q", variable, name)
		}
		*field = value
	}
	if parts.kafka == "" || parts.registry == "" || parts.postgres == "" {
		return 0, fmt.Errorf("%s: wants kafka=… registry=… postgres=…", variable)
	}
	dir, err := os.MkdirTemp("", "harveststream-programs-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	parts.programs, parts.logs = dir, filepath.Join(os.Getenv("REAL_RUN"), "programs")
	if err := os.MkdirAll(parts.logs, 0o755); err != nil {
		return 0, err
	}
	for to, tags := range map[string]string{dir: "", filepath.Join(dir, "armed"): "faultpoints"} {
		build := exec.Command("go", "build", "-tags", tags, "-o", to+"/", "./cmd/producer", "./cmd/sinker")
		build.Dir, build.Stderr = "../..", os.Stderr
		if err := build.Run(); err != nil {
			return 0, fmt.Errorf("building the programs: %w", err)
		}
	}
	fmt.Printf("seed %d\n", *seed)
	return m.Run(), nil
}

// needReal skips a test where there is nothing real.
func needReal(t testing.TB) {
	t.Helper()
	if os.Getenv(variable) == "" {
		t.Skipf("SKIPPED, NOTHING REAL WAS TESTED: %s does not name Kafka, a registry and PostgreSQL; run test/real/run.sh", variable)
	}
}

// script has one of the scripts beside this file do something to a part: start, stop, kill.
func script(t testing.TB, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./"+name, args...)
	cmd.WaitDelay = time.Second // what it starts keeps no pipe of ours open
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// The login of the registry that registry.sh starts.
const registryUser, registryPassword = "harvest", "registry-secret"

// figure prints what a check found, for people who read a log.
func figure(t testing.TB, format string, args ...any) {
	t.Helper()
	fmt.Printf("check %-28s %s\n", strings.TrimPrefix(t.Name(), "Test"), fmt.Sprintf(format, args...))
}

// databaseURL is the URL of one of the server's databases.
func databaseURL(name string) string {
	u, _ := url.Parse(parts.postgres)
	u.Path = "/" + name
	return u.String()
}
