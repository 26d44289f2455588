package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// wrong is a value no variable of that name should be accepted with.
var wrong = map[string]string{
	"HARVEST_API_KEY": token + "\x01", "HARVEST_ACCOUNT_ID": "firm", "HARVEST_CONTACT": "Büro", "HARVEST_BASE_URL": "http://user:" + token + "@example.com/v2",
	"HARVEST_ANCHOR_DATE": "31.12.2025", "HARVEST_STREAMS": "timesheets", "HARVEST_OMIT": "users.shoe_size", "HARVEST_POLL_INTERVAL": "15s,timesheets=3s",
	"HARVEST_LOOKBACK": "-5m", "HARVEST_SWEEP_INTERVAL": "0s", "HARVEST_RECENT_SWEEP_INTERVAL": "soon", "HARVEST_PROBE_INTERVAL": "1", "HARVEST_CHILDREN_INTERVAL": "-1s",
	"HARVEST_TIMER_RESOLUTION": "0", "HARVEST_DELETES": "perhaps", "HARVEST_RATE_LIMIT": "5", "HARVEST_CONCURRENCY": "0",
	"KAFKA_BROKERS": "kafka://localhost", "KAFKA_TLS": "sometimes", "KAFKA_CA_FILE": "/nowhere/ca.pem", "KAFKA_CERT_FILE": "/nowhere/cert.pem", "KAFKA_KEY_FILE": "/nowhere/key.pem",
	"KAFKA_SASL_MECHANISM": "GSSAPI", "KAFKA_SASL_USERNAME": "", "KAFKA_SASL_PASSWORD": "", "KAFKA_TOPIC_PREFIX": "harvest/", "KAFKA_PARTITIONS": "0",
	"KAFKA_REPLICATION_FACTOR": "-1", "KAFKA_HISTORY": "for ever", "KAFKA_COMPRESSION": "zip", "SCHEMA_REGISTRY_URL": "registry:8081",
	"SCHEMA_REGISTRY_USERNAME": "somebody", "SCHEMA_REGISTRY_PASSWORD": token,
	"DATABASE_URL": "mysql://user:" + token + "@localhost/x", "SINK_SCHEMA": "pg_catalog", "SINK_DELETE_MODE": "gently", "SINK_GROUP": strings.Repeat("g", 201),
	"REPLICATION_FILE": "/nowhere/replication.yaml", "ADMIN_ADDR": "here", "LOG_LEVEL": "loud", "LOG_FORMAT": "xml",
}

// beside is what makes a value wrong that would be right alone.
var beside = map[string][]string{
	"KAFKA_SASL_USERNAME": {"KAFKA_SASL_MECHANISM=SCRAM-SHA-256", "KAFKA_SASL_PASSWORD=" + token},
	"KAFKA_SASL_PASSWORD": {"KAFKA_SASL_MECHANISM=SCRAM-SHA-256", "KAFKA_SASL_USERNAME=somebody"},
}

// program is one of the two, with what it needs at least and what it knows.
type program struct {
	name      string
	root      func(ops.Env) *cobra.Command
	least     []string
	variables []ops.Variable
}

var programs = []*program{
	{"producer", producer.Command, []string{"HARVEST_API_KEY=" + token, "HARVEST_ACCOUNT_ID=1", "KAFKA_BROKERS=localhost:1", "SCHEMA_REGISTRY_URL=http://localhost:1"},
		ops.Variables[producer.Config]()},
	{"sinker", sinker.Command, []string{"DATABASE_URL=postgres://user:" + token + "@localhost:1/x", "KAFKA_BROKERS=localhost:1", "SCHEMA_REGISTRY_URL=http://localhost:1"},
		ops.Variables[sinker.Config]()},
}

// Every variable with a wrong value, and every required one without any: 78 before anything is connected to, and the variable's name.
func TestWrongVariables(t *testing.T) {
	t.Parallel()
	for _, p := range programs {
		for _, v := range p.variables {
			value, ok := wrong[v.Name]
			if !ok {
				t.Errorf("%s: no wrong value is tried", v.Name)
			}
			p.refuses(t, v.Name, slices.Concat(p.least, beside[v.Name], []string{v.Name + "=" + value}))
			if v.Required {
				p.refuses(t, v.Name, slices.DeleteFunc(slices.Clone(p.least), func(s string) bool { return strings.HasPrefix(s, v.Name+"=") }))
			}
			if v.Secret {
				p.refuses(t, v.Name+"_FILE", append(slices.Clone(p.least), v.Name+"=", v.Name+"_FILE=/nowhere/secret"))
			}
		}
	}
}

// What is wrong in several variables is said in one message, each problem by its variable or its file and line.
func TestWrongTogether(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "choice.yaml")
	if err := os.WriteFile(file, []byte("streams:\n  users:\n    mode: never\n    speed: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	environ := append(slices.Clone(programs[0].least), "HARVEST_BASE_URL=http://api.harvestapp.com/v2", "REPLICATION_FILE="+file, "LOG_LEVEL=loud")
	code := ops.Execute(t.Context(), ops.Env{Environ: environ, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, nil, programs[0].root)
	said := out.String()
	if code != ops.ExitConfig || !strings.HasPrefix(said, "producer: configuration: 4 problems:\n") || strings.Count(said, "configuration") > 1 {
		t.Errorf("exit code %d: %s", code, said)
	}
	for _, want := range []string{"\n  HARVEST_BASE_URL: ", "\n  LOG_LEVEL: ", "choice.yaml:3: mode", "choice.yaml:4: unknown key \"speed\""} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in: %s", want, said)
		}
	}
}

// A variable that nobody knows is named, and said to be misspelt.
func TestMisspeltVariables(t *testing.T) {
	t.Parallel()
	for i, args := range [][]string{{"sweep", "nothing"}, {"status"}} {
		p := programs[i]
		var out bytes.Buffer
		ops.Execute(t.Context(), ops.Env{Environ: append(slices.Clone(p.least), "KAFKA_BROKER=localhost:1"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, args, p.root)
		if said := out.String(); !strings.Contains(said, "misspelt") || !strings.Contains(said, "KAFKA_BROKER\"") {
			t.Errorf("%s: %s", p.name, said)
		}
	}
}

func (p *program) refuses(t *testing.T, variable string, environ []string) {
	t.Helper()
	var out bytes.Buffer
	code := ops.Execute(t.Context(), ops.Env{Environ: environ, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, nil, p.root)
	if code != ops.ExitConfig || !strings.Contains(out.String(), variable) {
		t.Errorf("%s, wrong %s: exit code %d: %s", p.name, variable, code, &out)
	}
	readable(t, out.String())
}

// readable holds what a person may be shown: no stack, no token.
func readable(t *testing.T, said string) {
	t.Helper()
	if strings.Contains(said, token) {
		t.Errorf("the token is shown: %s", said)
	}
	if strings.Contains(said, "goroutine ") || strings.Contains(said, ".go:") || strings.Contains(said, "panic") {
		t.Errorf("a stack is shown: %s", said)
	}
}

var errRefused = errors.New("connection refused")

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefused }

// What the surroundings can do wrong: the exit code, the cause and the remedy.
func TestBadSurroundings(t *testing.T) {
	sync := (*producer.Producer).Sync
	for _, c := range []struct {
		name  string
		code  int
		says  []string
		run   func(w *world) (int, string)
		setup func(w *world)
	}{
		{"producer, no broker", ops.ExitUnavailable, []string{"KAFKA_BROKERS", "localhost:9092"}, func(w *world) (int, string) { return w.try(w.produce(sync)) }, (*world).cutKafka},
		{"sinker, no broker", ops.ExitUnavailable, []string{"KAFKA_BROKERS"}, func(w *world) (int, string) { return w.try(w.apply(drain)) }, (*world).cutKafka},
		{"sinker service, no broker", ops.ExitUnavailable, []string{"KAFKA_BROKERS"}, func(w *world) (int, string) { return w.try(w.apply(sinker.Run)) }, (*world).cutKafka},
		{"producer, no registry", ops.ExitUnavailable, []string{"SCHEMA_REGISTRY_URL"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) { w.registry = refusing{} }},
		{"sinker, no database", ops.ExitUnavailable, []string{"DATABASE_URL"}, func(w *world) (int, string) {
			return w.try(w.apply(drain), "DATABASE_URL=postgres:///x?host=/nowhere&user=postgres&password="+token)
		}, nil},
		{"no Harvest", ops.ExitUnavailable, []string{"api.harvestapp.com"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) { w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoDrop}) }},
		{"Harvest is sick", ops.ExitUnavailable, []string{"503"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) { w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoStatus, Status: 503}) }},
		{"wrong token", ops.ExitPermission, []string{"HARVEST_API_KEY", "401"}, func(w *world) (int, string) { return w.try(w.produce(sync), "HARVEST_API_KEY=x"+token) }, nil},
		{"token revoked under way", ops.ExitPermission, []string{"HARVEST_API_KEY", "401"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) {
				w.sim.Fault(harvesttest.Fault{Match: "projects", Do: harvesttest.DoStatus, Status: 401})
			}},
		{"another account", ops.ExitConfig, []string{"HARVEST_ACCOUNT_ID"}, func(w *world) (int, string) { return w.try(w.produce(sync), "HARVEST_ACCOUNT_ID=1") }, nil},
		{"an account of another product", ops.ExitConfig, []string{"HARVEST_ACCOUNT_ID"}, func(w *world) (int, string) { return w.try(w.produce(sync)) }, func(w *world) {
			for _, path := range []string{"company", "users/me"} {
				w.sim.Fault(harvesttest.Fault{Match: path, Do: harvesttest.DoStatus, Status: 404})
			}
		}},
		{"module off", ops.ExitPermission, []string{"estimate_item_categories", "estimate_feature"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) { w.sim.SwitchModule("estimate_feature", false) }},
		{"a list this role may not read", ops.ExitPermission, []string{"roles", "403"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) {
				w.sim.Fault(harvesttest.Fault{Match: "roles", Do: harvesttest.DoStatus, Status: 403, Body: `{"message":"Not authorized!"}`})
			}},
		{"a login page", ops.ExitData, []string{"HTML", "clients"}, func(w *world) (int, string) { return w.try(w.produce(sync)) }, func(w *world) {
			w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoStatus, Status: 200})
		}},
		{"HTML that calls itself JSON", ops.ExitData, []string{"clients"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) {
				w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoBody, Body: "<html>" + token + "</html>"})
			}},
		{"a body cut short", ops.ExitData, []string{"clients"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) {
				w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte { return b[:len(b)/2] }})
			}},
		{"a connection that ends in mid-body", ops.ExitData, []string{"clients"}, func(w *world) (int, string) { return w.try(w.produce(sync)) },
			func(w *world) { w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoCut, Bytes: 100}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 70}, func(w *world) {
				if c.setup != nil {
					c.setup(w)
				}
				code, said := c.run(w)
				if code != c.code {
					t.Errorf("exit code %d, want %d: %s", code, c.code, said)
				}
				for _, word := range c.says {
					if !strings.Contains(said, word) {
						t.Errorf("%q is not in: %s", word, said)
					}
				}
				t.Log(strings.TrimSpace(said))
				readable(t, said)
				readable(t, w.log.String())
			})
		})
	}
}

func (w *world) cutKafka() {
	w.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
}

// What could be read was published and applied, though a stream was refused (P11).
func TestOthersGoOn(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 71}, func(w *world) {
		w.sim.SwitchModule("estimate_feature", false)
		if code, said := w.try(w.produce((*producer.Producer).Sync)); code != ops.ExitPermission {
			t.Fatalf("exit code %d: %s", code, said)
		}
		if code, said := w.try(w.apply(drain)); code != ops.ExitOK {
			t.Fatalf("exit code %d: %s", code, said)
		}
		for _, st := range schema.All() {
			if st.Module != "estimate_feature" && st.Parent != "estimates" {
				w.equal(harvesttest.Everything, usual, st)
			}
		}
	})
}
