package kafka_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/kafka"
)

const (
	schemaOne = `{"type":"record","name":"One","fields":[{"name":"id","type":"long"}]}`
	schemaTwo = `{"type":"record","name":"One","fields":[{"name":"id","type":"long"},{"name":"x","type":["null","long"],"default":null}]}`
)

// handled answers requests by a handler, without sockets, and keeps what was asked.
type handled struct {
	http.Handler
	asked []string
}

func (h *handled) RoundTrip(req *http.Request) (*http.Response, error) {
	h.asked = append(h.asked, req.Method+" "+req.URL.Path)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func registry(t *testing.T, transport http.RoundTripper) *kafka.Registry {
	t.Helper()
	r, err := kafka.NewRegistry(kafka.Config{RegistryURL: "http://registry/apis/ccompat/v7", RegistryTransport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stripped serves a registry below a path, as Apicurio does.
func stripped(h http.Handler) http.Handler { return http.StripPrefix("/apis/ccompat/v7", h) }

func TestRegistry(t *testing.T) {
	t.Parallel()
	fake := srfake.NewRegistry()
	network := &handled{Handler: stripped(fake.Handler())}
	r := registry(t, network)
	one, err := r.Register(t.Context(), "harvest.users-value", schemaOne)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.Register(t.Context(), "harvest.users-value", schemaTwo)
	if err != nil || two == one {
		t.Fatalf("id %d after %d, %v", two, one, err)
	}
	before := len(network.asked)
	if again, err := r.Register(t.Context(), "harvest.users-value", schemaOne); again != one || err != nil {
		t.Errorf("the same text has id %d, then %d, %v", one, again, err)
	}
	if len(network.asked) != before {
		t.Errorf("asked again: %q", network.asked[before:])
	}
	for range 2 {
		if text, err := r.Schema(t.Context(), two); text != schemaTwo || err != nil {
			t.Errorf("schema %d is %s, %v", two, text, err)
		}
	}
	if asked := len(network.asked) - before; asked != 1 {
		t.Errorf("%d requests for one schema read twice", asked)
	}
	level, err := get(network, "/config/harvest.users-value")
	if err != nil || level["compatibilityLevel"] != "FULL_TRANSITIVE" {
		t.Errorf("the subject's level is %v, %v", level, err)
	}
	puts := strings.Count(strings.Join(network.asked, "\n"), "PUT ")
	if puts != 1 {
		t.Errorf("the level was set %d times", puts)
	}
}

func get(network *handled, path string) (answer map[string]any, err error) {
	req := httptest.NewRequest(http.MethodGet, "http://registry/apis/ccompat/v7"+path, nil)
	resp, err := network.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}

// status answers everything alike.
func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// Of two producers that set a subject's level together, a registry may refuse the later one: the level is set all the same.
func TestRegistryLevelSetByAnother(t *testing.T) {
	t.Parallel()
	inner := stripped(srfake.NewRegistry().Handler())
	r := registry(t, &handled{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			inner.ServeHTTP(httptest.NewRecorder(), req) // the other one's
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error_code":409,"message":"A rule named 'COMPATIBILITY' already exists."}`)
			return
		}
		inner.ServeHTTP(w, req)
	})})
	if _, err := r.Register(t.Context(), "harvest.users-value", schemaOne); err != nil {
		t.Error(err)
	}
}

func TestRegistryRefusals(t *testing.T) {
	t.Parallel()
	type kinds struct{ incompatible, unknown, denied bool }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   kinds
	}{
		"409":              {status(409, `{"error_code":409,"message":"java.lang.Exception: incompatible"}`), kinds{incompatible: true}},
		"40403":            {status(404, `{"error_code":40403,"message":"Schema not found"}`), kinds{unknown: true}},
		"a proxy's 404":    {status(404, `<html>not here</html>`), kinds{}},
		"401":              {status(401, ``), kinds{denied: true}},
		"403":              {status(403, `{"error_code":40301,"message":"no"}`), kinds{denied: true}},
		"500":              {status(500, `{"error_code":50001,"message":"store"}`), kinds{}},
		"html with 200":    {status(200, `<html>sign in</html>`), kinds{}},
		"empty with 200":   {status(200, ``), kinds{}},
		"another type":     {status(200, `{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}`), kinds{}},
		"neither, in JSON": {status(200, `{}`), kinds{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registry(t, &handled{Handler: c.answer})
			_, registering := r.Register(t.Context(), "s-value", schemaOne)
			_, asking := r.Schema(t.Context(), 7)
			for _, err := range []error{registering, asking} {
				if err == nil {
					t.Fatal("no error")
				}
				var got kinds
				if refused, ok := errors.AsType[*kafka.RegistryError](err); ok {
					got = kinds{refused.Incompatible(), refused.UnknownID(), refused.Denied()}
				}
				if got != c.want {
					t.Errorf("%v is %+v, want %+v", err, got, c.want)
				}
			}
			if !strings.Contains(registering.Error(), "s-value") || !strings.Contains(asking.Error(), "schema 7") {
				t.Errorf("not said what was asked: %v; %v", registering, asking)
			}
		})
	}
}

// A6: no answer is read for ever, none is followed elsewhere with the password.
func TestHostileRegistry(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]io.Reader{
		"endless":         endless{},
		"a byte too long": strings.NewReader(`{"schema":"` + strings.Repeat("x", 1<<20-12) + `"}`),
	} {
		r := registry(t, answers(func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}
		}))
		if _, err := r.Schema(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var elsewhere []string
	r := registry(t, answers(func(req *http.Request) *http.Response {
		elsewhere = append(elsewhere, req.URL.Host)
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"http://elsewhere/"}}, Body: http.NoBody}
	}))
	if _, err := r.Schema(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "redirect") || fmt.Sprint(elsewhere) != "[registry]" {
		t.Errorf("asked %v, %v", elsewhere, err)
	}
}

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := a(req)
	resp.Request = req
	return resp, nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestSilentRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry(t, silent{})
		began := time.Now()
		if _, err := r.Schema(t.Context(), 1); err == nil || time.Since(began) > 11*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

type silent struct{}

func (silent) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestRegistryLogin(t *testing.T) {
	t.Parallel()
	var user, password string
	r, err := kafka.NewRegistry(kafka.Config{
		RegistryURL: "http://registry", RegistryUsername: "harvest", RegistryPassword: "canary",
		RegistryTransport: answers(func(req *http.Request) *http.Response {
			user, password, _ = req.BasicAuth()
			return &http.Response{StatusCode: 401, Body: http.NoBody}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Schema(t.Context(), 1)
	if user != "harvest" || password != "canary" {
		t.Errorf("logged in as %s:%s", user, password)
	}
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error is %v", err)
	}
}
