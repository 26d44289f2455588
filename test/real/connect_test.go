package real_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// Debezium's JDBC sink makes the same tables of the topics as the sinker: row by row, in every column both have. Arrays of records are
// left out, as it cannot take them.
func TestConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 19})
	if parts.connect == "" {
		t.Skipf("SKIPPED: %s names no connect", variable)
	}
	rng := rand.New(rand.NewPCG(*seed, 19))
	w.pass(eager...)
	w.connector(w.name, w.topics(), 500)
	for range 40 {
		w.sim().Step(rng)
	}
	time.Sleep(2500 * time.Millisecond)
	w.passAllowing()
	var rows, columns int
	var differences []string
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		rows, columns, differences = w.compareWithConnect()
		if len(differences) == 0 || time.Now().After(end) {
			break
		}
	}
	w.refuse("in Connect's tables", differences)
	figure(t, "%d rows of %d tables equal in the %d columns both have", rows, len(schema.All()), columns)
}

// connector has Connect write topics into the schema public of the world's database, these many records at once.
func (w *world) connector(name string, topics []string, batch int) {
	w.t.Helper()
	u, err := url.Parse(databaseURL(w.name))
	if err != nil {
		w.t.Fatal(err)
	}
	config := map[string]string{
		"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": strings.Join(topics, ","),
		"connection.url": "jdbc:postgresql://" + u.Host + u.Path, "connection.username": u.User.Username(), "connection.password": "",
		"insert.mode": "upsert", "primary.key.mode": "record_key", "collection.name.format": "public.${topic}", "delete.enabled": "true", "schema.evolution": "basic",
		"use.reduction.buffer": "true", "batch.size": strconv.Itoa(batch), "use.time.zone": "UTC",
		"consumer.override.isolation.level": "read_committed", "consumer.override.max.poll.records": strconv.Itoa(batch),
		"field.exclude.list": w.arraysOfRecords(),
	}
	native := strings.Replace(parts.registry, "/ccompat/v7", "/registry/v2", 1)
	for _, side := range []string{"key", "value"} {
		converter := side + ".converter"
		config[converter] = "io.apicurio.registry.utils.converter.AvroConverter"
		for name, value := range map[string]string{"registry.url": native, "registry.as-confluent": "true", "registry.use-id": "contentId", "auth.username": registryUser, "auth.password": registryPassword} {
			config[converter+".apicurio."+name] = value
		}
	}
	body, err := json.Marshal(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.connect(http.MethodPut, "/connectors/"+name+"/config", body)
	w.t.Cleanup(func() { w.connect(http.MethodDelete, "/connectors/"+name, nil) })
	for end := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) {
		status := w.connect(http.MethodGet, "/connectors/"+name+"/status", nil)
		switch {
		case strings.Contains(status, "FAILED"), time.Now().After(end):
			w.t.Fatalf("the connector does not run: %s", status)
		case strings.Count(status, "RUNNING") > 1: // itself and its task
			return
		}
	}
}

// connect asks the worker; 404 and 409 are what it says while it makes up its mind.
func (w *world) connect(method, path string, body []byte) string {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) {
		req, err := http.NewRequest(method, parts.connect+path, bytes.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		switch {
		case err == nil && resp.StatusCode < 300:
			return string(answer)
		case resp.StatusCode != 404 && resp.StatusCode != 409 || time.Now().After(end):
			w.t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer)
		}
	}
}

// arraysOfRecords are the fields that stop the task.
func (w *world) arraysOfRecords() string {
	var fields []string
	for _, st := range schema.All() {
		for i := range st.Schema.Fields {
			if f := &st.Schema.Fields[i]; f.Kind == schema.Items {
				fields = append(fields, w.prefix()+st.Name+":"+f.Name)
			}
		}
	}
	return strings.Join(fields, ",")
}

// compareWithConnect holds every table against Connect's, both ways.
func (w *world) compareWithConnect() (rows, columns int, differences []string) {
	w.t.Helper()
	status := w.connect(http.MethodGet, "/connectors/"+w.name+"/status", nil)
	if strings.Contains(status, "FAILED") {
		w.t.Fatalf("the task failed: %s", status)
	}
	for _, st := range schema.All() {
		var ours, theirs []string
		for i := range st.Schema.Fields {
			if o, t := inBoth(&st.Schema.Fields[i]); o != "" {
				ours, theirs = append(ours, o), append(theirs, t)
			}
		}
		columns += len(ours)
		a := fmt.Sprintf("SELECT %s FROM harvest.%q", strings.Join(ours, ", "), st.Name)
		b := fmt.Sprintf("SELECT %s FROM public.%q", strings.Join(theirs, ", "), strings.ReplaceAll(w.prefix(), ".", "_")+st.Name)
		texts, err := w.query(fmt.Sprintf("SELECT 'only ours ' || to_jsonb(d)::text FROM (%[1]s EXCEPT ALL %[2]s) d UNION ALL SELECT 'only theirs ' || to_jsonb(d)::text FROM (%[2]s EXCEPT ALL %[1]s) d", a, b))
		if err != nil {
			texts = []string{err.Error()} // a table comes with its first record
		}
		for _, text := range texts {
			differences = append(differences, st.Name+" "+text)
		}
		rows += w.sim().Count(st.Name)
	}
	return rows, columns, differences
}

// inBoth is a field's column in our table and in Connect's, as the same type; "" for what Connect cannot take.
func inBoth(f *schema.Field) (ours, theirs string) {
	name := fmt.Sprintf("%q", f.Name)
	switch {
	case f.Kind == schema.Items:
		return "", ""
	case f.Name == schema.FieldExtra: // JSON text
		return name, name + "::jsonb AS " + name
	case f.Kind == schema.Timestamp: // theirs have no time zone: they are UTC
		return name, name + " AT TIME ZONE 'UTC' AS " + name
	}
	return name, name
}
