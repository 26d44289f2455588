package real_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/pkg/harvest/harvesttest"
)

// right is one thing a program may do, as docs/OPERATIONS.md grants it.
type right struct {
	program  string
	kind     string // topic, transactional id, group
	prefix   string
	ops      []kadm.ACLOperation
	optional []kadm.ACLOperation // without it the program says what it cannot know, and goes on
}

func (w *world) rights() []right {
	return []right{
		{program: "producer", kind: "topic", prefix: w.prefix(), ops: []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribe, kadm.OpCreate}, optional: []kadm.ACLOperation{kadm.OpDescribeConfigs}},
		{program: "producer", kind: "transactional id", prefix: w.prefix(), ops: []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}},
		{program: "sinker", kind: "topic", prefix: w.prefix(), ops: []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe}, optional: []kadm.ACLOperation{kadm.OpDescribeConfigs}},
		{program: "sinker", kind: "group", prefix: "harvest-sinker-", ops: []kadm.ACLOperation{kadm.OpRead}},
	}
}

func (r right) acl(ops ...kadm.ACLOperation) *kadm.ACLBuilder {
	b := kadm.NewACLs().Allow("User:" + r.program).AllowHosts("*").ResourcePatternType(kadm.ACLPatternPrefixed).Operations(ops...)
	switch r.kind {
	case "topic":
		return b.Topics(r.prefix)
	case "group":
		return b.Groups(r.prefix)
	}
	return b.TransactionalIDs(r.prefix)
}

func (w *world) grant(r right, ops ...kadm.ACLOperation) {
	w.t.Helper()
	results, err := kadm.NewClient(w.client).CreateACLs(context.Background(), r.acl(ops...))
	for _, result := range results {
		if err == nil {
			err = result.Err
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) revoke(r right, ops ...kadm.ACLOperation) {
	w.t.Helper()
	results, err := kadm.NewClient(w.client).DeleteACLs(context.Background(), r.acl(ops...).DenyHosts())
	for _, result := range results {
		if err == nil {
			err = result.Err
		}
		if len(result.Deleted) == 0 {
			w.t.Fatalf("no right to take away: %+v", result)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// login is how a program reaches the brokers by TLS and SCRAM.
func login(user string) []string {
	var brokers []string
	for b := range strings.SplitSeq(parts.kafka, ",") {
		host, port, _ := net.SplitHostPort(b)
		n, _ := strconv.Atoi(port)
		brokers = append(brokers, net.JoinHostPort(host, strconv.Itoa(n+2)))
	}
	return []string{
		"KAFKA_BROKERS=" + strings.Join(brokers, ","), "KAFKA_TLS=true", "KAFKA_CA_FILE=" + filepath.Join(os.Getenv("REAL_RUN"), "kafka", "tls", "ca.pem"),
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "KAFKA_SASL_USERNAME=" + user, "KAFKA_SASL_PASSWORD=" + user + "-secret",
	}
}

// TLS, SCRAM and exactly the documented rights do; with one less, check names what is missing; a wrong password is 77 everywhere.
func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 12})
	t.Cleanup(func() {
		for _, r := range w.rights() {
			_, _ = kadm.NewClient(w.client).DeleteACLs(context.Background(), r.acl(kadm.OpAny).DenyHosts())
		}
	})
	for _, r := range w.rights() {
		w.grant(r, append(slices.Clone(r.ops), r.optional...)...)
	}
	time.Sleep(time.Second)
	for _, program := range []string{"producer", "sinker"} {
		command := map[string]string{"producer": "sync", "sinker": "drain"}[program]
		w.must(program, []string{command}, login(program)...)
		w.must(program, []string{"check"}, login(program)...)
		for variable, want := range map[string]int{"KAFKA_SASL_PASSWORD=wrong": 77, "SCHEMA_REGISTRY_PASSWORD=wrong": 77} {
			if code, p := w.run(program, []string{"check"}, append(login(program), variable)...); code != want {
				t.Errorf("%s check with %s: %d, want %d: %s", program, variable, code, want, p.said())
			}
		}
	}
	p, s := w.start("producer", nil, login("producer")...), w.start("sinker", nil, login("sinker")...)
	waitFor(t, p, "index rebuilt")
	took := w.arrives(3*time.Minute, p, s)
	p.stop()
	s.stop()
	w.equal(harvesttest.Compared)
	figure(t, "TLS, SCRAM-SHA-512 and the documented rights do: a change is there after %s", took)
	named := 0
	for _, r := range w.rights() {
		for _, op := range r.ops {
			if op == kadm.OpDescribe || op == kadm.OpCreate && r.program == "producer" {
				continue // Read and Write imply Describe; the topics are there
			}
			w.revoke(r, op)
			time.Sleep(500 * time.Millisecond)
			what := fmt.Sprintf("%s without %s on %s %s", r.program, op, r.kind, r.prefix)
			code, c := w.run(r.program, []string{"check"}, login(r.program)...)
			if code != 77 || !c.saidText(op.String()+" on "+r.kind) {
				t.Errorf("%s: check ends with %d, want 77 and its name: %s", what, code, c.said())
			}
			named++
			w.grant(r, op)
		}
	}
	figure(t, "%d rights taken away, each named by check", named)
}
