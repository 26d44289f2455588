package producer

import (
	"testing"

	"harveststream/pkg/harvest"
	"harveststream/pkg/harvest/harvesttest"
)

// The client takes a body's buffer back when it has been decoded: what is read later has to be a copy.
func TestRawBodyIsKept(t *testing.T) {
	sim := harvesttest.New(harvesttest.Options{Seed: 4, Sizes: harvesttest.Sizes{TimeEntries: 50}})
	client, err := harvest.New(harvest.Config{Token: "test-token", Account: 482913, UserAgent: "test", Limit: 100, Transport: sim.RoundTripper()})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{client: client, ctx: t.Context()}
	ask := func(path string) *answer {
		a := &answer{call: call{req: harvest.Request{Path: path}, shape: raw}}
		if e.fetch(a); a.err != nil {
			t.Fatal(a.err)
		}
		return a
	}
	company := ask("company")
	before := string(company.res.Body)
	for range 3 {
		ask("roles")
	}
	if string(company.res.Body) != before {
		t.Errorf("company's body has become %.60s", company.res.Body)
	}
}
