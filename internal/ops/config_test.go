package ops_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/internal/ops"
)

const canary = "canary-71f3-secret"

// config has what a program's configuration has: a group with its own Validate, secrets, every kind of value.
type config struct {
	Token    ops.Secret    `env:"HARVEST_API_KEY,required" doc:"personal access token"`
	Account  int64         `env:"HARVEST_ACCOUNT_ID,required" doc:"the account's id"`
	Limit    int           `env:"HARVEST_RATE_LIMIT" envDefault:"90" doc:"requests per 15 s"`
	Lookback time.Duration `env:"HARVEST_LOOKBACK" envDefault:"5m" doc:"overlap of polls"`
	Poll     ops.Intervals `env:"HARVEST_POLL_INTERVAL" envDefault:"15s,time_entries=3s" doc:"time between polls"`
	Admin    string        `env:"ADMIN_ADDR" envDefault:"127.0.0.1:8080" empty:"off" doc:"admin server"`
	Broker   broker
	unused   int
}

type broker struct {
	Seeds    []string   `env:"KAFKA_BROKERS,required" doc:"brokers"`
	TLS      bool       `env:"KAFKA_TLS" envDefault:"false" doc:"speak TLS"`
	Password ops.Secret `env:"KAFKA_SASL_PASSWORD" doc:"password | or key"`
	Dial     func()     `env:"-"`
}

func (c config) Validate() []error {
	if c.Limit < 1 {
		return []error{fmt.Errorf("HARVEST_RATE_LIMIT: %d is below 1", c.Limit)}
	}
	return nil
}

func (b broker) Validate() []error {
	for _, seed := range b.Seeds {
		if strings.Contains(seed, "://") {
			return []error{fmt.Errorf("KAFKA_BROKERS: %q has a scheme", seed)}
		}
	}
	return nil
}

var good = []string{"HARVEST_API_KEY=" + canary, "HARVEST_ACCOUNT_ID=42", "KAFKA_BROKERS=a:9092,b:9092"}

func TestLoad(t *testing.T) {
	t.Parallel()
	c, err := ops.Load[config](good, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Token.Reveal() != canary || c.Account != 42 || c.Limit != 90 || c.Lookback != 5*time.Minute || c.unused != 0 {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(c.Broker.Seeds, []string{"a:9092", "b:9092"}) || c.Admin != "127.0.0.1:8080" {
		t.Errorf("got %+v", c)
	}
	if c.Poll.For("time_entries") != 3*time.Second || c.Poll.For("users") != 15*time.Second {
		t.Errorf("intervals: %+v", c.Poll)
	}
}

func TestLoadEmptyMeansUnset(t *testing.T) {
	t.Parallel()
	c, err := ops.Load[config](append(slices.Clone(good), "HARVEST_RATE_LIMIT=", "HARVEST_API_KEY_FILE=", "ADMIN_ADDR="), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Limit != 90 || c.Admin != "" {
		t.Errorf("limit %d, admin %q; want the default and off", c.Limit, c.Admin)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"HARVEST_RATE_LIMIT=1e9":                         `HARVEST_RATE_LIMIT: "1e9" is not a plain number`,
		"HARVEST_RATE_LIMIT=0x10":                        `HARVEST_RATE_LIMIT: "0x10" is not a plain number`,
		"HARVEST_RATE_LIMIT=1_000":                       `HARVEST_RATE_LIMIT: "1_000" is not a plain number`,
		"HARVEST_RATE_LIMIT=0":                           `HARVEST_RATE_LIMIT: 0 is below 1`,
		"HARVEST_ACCOUNT_ID=9223372036854775808":         `is out of range`,
		"HARVEST_ACCOUNT_ID=":                            `HARVEST_ACCOUNT_ID: is required`,
		"HARVEST_API_KEY=":                               `HARVEST_API_KEY: is required, here or in the file that HARVEST_API_KEY_FILE names`,
		"HARVEST_API_KEY=" + canary + "\nX":              `HARVEST_API_KEY: contains a control character`,
		"HARVEST_LOOKBACK=300":                           `HARVEST_LOOKBACK: "300" has no unit`,
		"HARVEST_LOOKBACK=1d":                            `HARVEST_LOOKBACK: "1d" is not a duration`,
		"HARVEST_POLL_INTERVAL=time_entries=3s":          `HARVEST_POLL_INTERVAL: has none for all other streams`,
		"HARVEST_POLL_INTERVAL=15s,3s":                   `two durations`,
		"HARVEST_POLL_INTERVAL=15s,a=1s,a=2s":            `"a" is empty or there twice`,
		"HARVEST_POLL_INTERVAL=0s":                       `is not above zero`,
		"HARVEST_POLL_INTERVAL=15":                       `has no unit`,
		"KAFKA_TLS=maybe":                                `KAFKA_TLS: "maybe" is neither true nor false`,
		"KAFKA_BROKERS=kafka://a:9092":                   `KAFKA_BROKERS: "kafka://a:9092" has a scheme`,
		"HARVEST_API_KEY_FILE=/nonexistent/" + "x":       `HARVEST_API_KEY_FILE: is set and so is HARVEST_API_KEY`,
		"KAFKA_SASL_PASSWORD_FILE=/nonexistent/password": `KAFKA_SASL_PASSWORD_FILE: "/nonexistent/password" cannot be read: no such file`,
	} {
		_, err := ops.Load[config](append(slices.Clone(good), set), "")
		var problems *ops.ConfigError
		if !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want one problem with %q", set, err, want)
			continue
		}
		if ops.ExitCode(err) != ops.ExitConfig || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: code %d, text %q", set, ops.ExitCode(err), err)
		}
	}
}

func TestLoadTellsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ops.Load[config]([]string{"HARVEST_RATE_LIMIT=x", "HARVEST_LOOKBACK=1", "KAFKA_BROKERS=http://a"}, "")
	var problems *ops.ConfigError
	if !errors.As(err, &problems) || len(problems.Problems) != 5 {
		t.Fatalf("got %v, want five problems", err)
	}
	if len(strings.Split(err.Error(), "\n")) != 6 {
		t.Errorf("not a line each: %q", err)
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, text := range map[string]string{
		"plain": canary, "newline": canary + "\n", "crlf": canary + "\r\n", "bom": "\ufeff" + canary + "\r\n",
	} {
		c, err := ops.Load[config]([]string{
			"HARVEST_API_KEY_FILE=" + file(name, text, 0o640), "HARVEST_ACCOUNT_ID=42", "KAFKA_BROKERS=a:9092",
		}, "")
		if err != nil || c.Token.Reveal() != canary {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, path := range map[string]string{
		"is no regular file":       dir,
		"is empty":                 file("empty", "\ufeff\n", 0o600),
		"can be read by everyone":  file("open", canary, 0o644),
		"too many for a secret":    file("long", strings.Repeat("x", 1<<17), 0o600),
		"contains a control char":  file("lines", canary+"\n"+canary, 0o600),
		"cannot be read: no such ": filepath.Join(dir, "missing"),
	} {
		_, err := ops.Load[config](append(slices.Clone(good[1:]), "HARVEST_API_KEY_FILE="+path), "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestDotenv(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeffHARVEST_API_KEY_FILE=/nonexistent\r\nHARVEST_ACCOUNT_ID=1\r\nKAFKA_BROKERS=a:9092\r\nHARVEST_RATE_LIMIT=7\r\nHARVEST_LOKBACK=1m\r\n")
	c, err := ops.Load[config]([]string{"HARVEST_ACCOUNT_ID=42", "HARVEST_API_KEY=" + canary}, path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Account != 42 || c.Limit != 7 || c.Token.Reveal() != canary {
		t.Errorf("got %+v; the environment should win, and a secret replace its file", c)
	}
	unknown := ops.Unknown[config]([]string{"HARVEST_LIMIT=3", "KAFKA_TLS=1", "KAFKA_SASL_PASSWORD_FILE=", "PATH=/"}, path, "HARVEST_", "KAFKA_")
	if !slices.Equal(unknown, []string{"HARVEST_LIMIT", "HARVEST_LOKBACK"}) {
		t.Errorf("unknown: %v", unknown)
	}
	write("HARVEST_API_KEY '" + canary)
	if _, err := ops.Load[config](good, path); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("broken file: got %v", err)
	}
	if _, err := ops.Load[config](good, filepath.Join(path, "none")); err == nil {
		t.Error("a path through a file was taken for a missing file")
	}
}

func TestHelpAndMarkdown(t *testing.T) {
	t.Parallel()
	vars := ops.Variables[config]()
	help, table := ops.HelpText(vars), ops.Markdown(vars)
	for _, v := range vars {
		if !strings.Contains(help, v.Name) || !strings.Contains(help, v.Doc) || !strings.Contains(table, "`"+v.Name+"`") {
			t.Errorf("%s is missing", v.Name)
		}
	}
	for _, want := range []string{
		"HARVEST_API_KEY  (required; or HARVEST_API_KEY_FILE)", "ADMIN_ADDR  (default 127.0.0.1:8080; empty: off)",
		"KAFKA_SASL_PASSWORD  (default none; or KAFKA_SASL_PASSWORD_FILE)",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in\n%s", want, help)
		}
	}
	for _, want := range []string{
		"| `HARVEST_RATE_LIMIT` | `90` | requests per 15 s |\n", `password \| or key`, "`127.0.0.1:8080`; empty: off",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func FuzzIntervals(f *testing.F) {
	f.Add("15s,time_entries=3s")
	f.Add("15s,,=1s")
	f.Add("1h,a=0s")
	f.Fuzz(func(t *testing.T, text string) {
		var i ops.Intervals
		if i.UnmarshalText([]byte(text)) != nil {
			return
		}
		if i.Default <= 0 || i.For("no such stream") != i.Default {
			t.Errorf("%q: default %v", text, i.Default)
		}
		for stream, d := range i.Except {
			if stream == "" || d <= 0 || i.For(stream) != d {
				t.Errorf("%q: %q is %v", text, stream, d)
			}
		}
	})
}
