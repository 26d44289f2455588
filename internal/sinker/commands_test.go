package sinker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// command runs a command line without surroundings.
func command(env []string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = ops.Execute(context.Background(), ops.Env{Version: "test", Environ: env, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}, args, sinker.Command)
	return code, stdout.String(), stderr.String()
}

// TestCommands: wrong command lines and configurations end with their codes and say what is wrong, before anything is connected to.
func TestCommands(t *testing.T) {
	t.Parallel()
	good := []string{"KAFKA_BROKERS=127.0.0.1:1", "SCHEMA_REGISTRY_URL=http://127.0.0.1:1", "DATABASE_URL=postgres://secret-user:secret-word@127.0.0.1:1/x"}
	for _, c := range []struct {
		env  string
		args string
		code int
		says string
	}{
		{"", "nonsense", 64, "nonsense"},
		{"", "drain --until yesterday", 64, "--until"},
		{"", "dead-letters show x", 64, "no number"},
		{"", "dead-letters", 64, "dead-letters"},
		{"", "rebuild", 64, "requires at least 1 arg"},
		{"", "rebuild tasks", 64, "--yes"},
		{"SINK_SCHEMA=pg_catalog", "drain", 78, "SINK_SCHEMA"},
		{"SINK_DELETE_MODE=both", "drain", 78, "SINK_DELETE_MODE"},
		{"HARVEST_STREAMS=nothing", "drain", 78, "HARVEST_STREAMS"},
		{"DATABASE_URL=mysql://secret-word@x", "drain", 78, "DATABASE_URL"},
		{"DATABASE_URL=", "drain", 78, "DATABASE_URL"},
		{"KAFKA_BROKERS=", "drain", 78, "KAFKA_BROKERS"},
		{"LOG_LEVEL=loud", "drain", 78, "LOG_LEVEL"},
		{"REPLICATION_FILE=/does/not/exist", "drain", 78, "REPLICATION_FILE"},
		{"", "status", 69, "127.0.0.1"},
		{"", "check", 69, "see above"},
	} {
		env := good
		if c.env != "" {
			env = append(append([]string{}, good...), c.env)
		}
		code, out, errs := command(env, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s sinker %s: exit %d: %s%s", c.env, c.args, code, errs, out)
		}
		if c.args == "status" && strings.Count(errs, "dial error") != 1 {
			t.Errorf("status says the same twice, or nothing: %s", errs)
		}
		if strings.Contains(errs+out, "secret-word") {
			t.Errorf("%s sinker %s shows the password: %s%s", c.env, c.args, errs, out)
		}
	}
	if code, out, _ := command(nil, "ddl"); code != 0 || strings.Count(out, "CREATE TABLE") != 31 {
		t.Errorf("ddl without a configuration: exit %d, %d tables", code, strings.Count(out, "CREATE TABLE"))
	}
	if code, out, _ := command(nil, "--help"); code != 0 || !strings.Contains(out, "SINK_GROUP") {
		t.Errorf("help: exit %d: %s", code, out)
	}
}

// TestTooEarly: what is asked of a schema that no sinker has made says so.
func TestTooEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, err := range map[string]error{
		"status": sinker.Status(t.Context(), w.cfg, w.deps), "list": sinker.ListDeadLetters(t.Context(), w.cfg, w.deps, 0), "show": sinker.ShowDeadLetter(t.Context(), w.cfg, w.deps, 1),
		"verify": sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}),
	} {
		if ops.ExitCode(err) != ops.ExitConfig || !strings.Contains(fmt.Sprint(err), "sinker drain") {
			t.Errorf("%s: exit %d: %v", name, ops.ExitCode(err), err)
		}
	}
}

// TestReports: status and check speak of a target that works.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	var out bytes.Buffer
	w.deps.Stdout = &out
	if err := sinker.Check(t.Context(), w.cfg, w.deps); err != nil {
		t.Errorf("check before the first run: %v\n%s", err, out.String())
	}
	w.drain()
	if err := sinker.Check(t.Context(), w.cfg, w.deps); err != nil {
		t.Errorf("check: %v\n%s", err, out.String())
	}
	if err := sinker.Status(t.Context(), w.cfg, w.deps); err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		found = found || len(f) == 8 && f[0] == "tasks" && f[2] == "2" && f[3] == "0"
	}
	if !found {
		t.Error(out.String())
	}
	w.sql("UPDATE harvest._offsets SET topic_id = 'other'")
	if err := sinker.Check(t.Context(), w.cfg, w.deps); ops.ExitCode(err) != ops.ExitData {
		t.Errorf("check of a topic made anew: %v", err)
	}
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); ops.ExitCode(err) != ops.ExitData || strings.Count(err.Error(), "stream tasks") != 1 {
		t.Errorf("verify of a topic made anew: %v", err)
	}
	if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
		t.Fatal(err)
	}
	if err := sinker.Check(t.Context(), w.cfg, w.deps); ops.ExitCode(err) != ops.ExitData || !strings.Contains(out.String(), "topic harvest.tasks is gone") {
		t.Errorf("check of a topic that is gone: %v\n%s", err, out.String())
	}
}

// TestVerifyFinds: each kind of damage is found and counted, and nothing is changed; a rebuild mends it (§7; reliability Q15).
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "invoices")
		invoices := stream(t, "invoices")
		for id := range int64(5) {
			w.publish(version{stream: invoices, id: id + 1, row: row{"subject": "s", "extra": `{"a": 1}`, "amount": big.NewRat(5, 2), "line_items": []row{{"id": id, "quantity": big.NewRat(1, 2)}, {"id": id + 100}}}})
		}
		w.publish(version{stream: invoices, id: 5})
		w.drain()
		for damage, says := range map[string]string{
			"DELETE FROM harvest.invoices WHERE id = 1":                                                                                            "1 rows missing, 0 different",
			"INSERT INTO harvest.invoices (id, account_id, _seq, _loaded_at) VALUES (99, 1, 1, now())":                                             "0 rows missing, 0 different, 1 superfluous",
			"UPDATE harvest.invoices SET subject = 'altered' WHERE id = 2":                                                                         "0 rows missing, 1 different, 0 superfluous",
			"UPDATE harvest.invoices SET subject = NULL WHERE id = 2":                                                                              "0 rows missing, 1 different, 0 superfluous",
			"UPDATE harvest.invoices SET _seq = _seq - 1 WHERE id = 2":                                                                             "0 rows missing, 1 different, 0 superfluous",
			"UPDATE harvest.invoices SET _observed_at = _observed_at + interval '1 ms' WHERE id = 2":                                               "0 rows missing, 1 different, 0 superfluous",
			`UPDATE harvest.invoices SET extra = '{"a": 2}' WHERE id = 2`:                                                                          "0 rows missing, 1 different, 0 superfluous",
			"UPDATE harvest.invoices SET amount = 2.500000001 WHERE id = 2":                                                                        "0 rows missing, 1 different, 0 superfluous",
			"UPDATE harvest.invoices SET line_items = NULL WHERE id = 2":                                                                           "0 rows missing, 1 different, 0 superfluous",
			"DELETE FROM harvest.invoice_line_items WHERE invoice_id = 3 AND ordinal = 2":                                                          "1 rows missing, 0 different, 0 superfluous",
			"UPDATE harvest.invoice_line_items SET quantity = 7 WHERE invoice_id = 3 AND ordinal = 1":                                              "0 rows missing, 0 different, 1 superfluous",
			"INSERT INTO harvest.invoice_line_items (invoice_id, account_id, ordinal) SELECT id, account_id, 3 FROM harvest.invoices WHERE id = 1": "0 rows missing, 0 different, 1 superfluous",
		} {
			var out bytes.Buffer
			deps := w.deps
			deps.Stdout = &out
			w.sql(damage)
			before := fmt.Sprint(w.table("harvest.invoices", "id"), w.table("harvest.invoice_line_items", "invoice_id, ordinal"))
			if err := sinker.Verify(t.Context(), w.cfg, deps, []string{"invoices"}); ops.ExitCode(err) != ops.ExitData || !strings.Contains(out.String(), says) {
				t.Errorf("%s: %s: %v: %s", mode, damage, err, out.String())
			}
			if after := fmt.Sprint(w.table("harvest.invoices", "id"), w.table("harvest.invoice_line_items", "invoice_id, ordinal")); after != before {
				t.Errorf("%s: %s: verify changed something", mode, damage)
			}
			if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"invoices"}); err != nil {
				t.Fatal(err)
			}
			if mode == "soft" {
				w.sql("DELETE FROM harvest.invoices WHERE id = 99") // a rebuild has only marked it
			}
			if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"invoices"}); err != nil {
				t.Errorf("%s: %s: after the rebuild: %v", mode, damage, err)
			}
		}
	}
}

// group is the name of the target's consumer group, as check tells it.
func (w *world) group() string {
	w.t.Helper()
	var out bytes.Buffer
	deps := w.deps
	deps.Stdout = &out
	if err := sinker.Check(w.t.Context(), w.cfg, deps); err != nil {
		w.t.Errorf("%v: %s", err, out.String())
	}
	_, name, _ := strings.Cut(out.String(), "to join group ")
	name, _, _ = strings.Cut(name, "\n")
	return name
}

// TestCopiedDatabase: a database that was restored from another's dump does not join its group, or each would get a part of the topics
// (S1).
func TestCopiedDatabase(t *testing.T) {
	t.Parallel()
	first, second := newWorld(t), newWorld(t)
	first.drain()
	second.drain()
	id := one[string](first, "SELECT id FROM harvest._target")
	second.sql("UPDATE harvest._target SET id = $1", id)
	if a, again, b := first.group(), first.group(), second.group(); a != again || a == b || !strings.HasPrefix(a, "harvest-sinker-"+id) {
		t.Errorf("groups %s, %s and %s", a, again, b)
	}
}
