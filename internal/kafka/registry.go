package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	registryTimeout = 10 * time.Second // for one request, its body included
	registryBody    = 1 << 20          // bytes of an answer
)

// Registry is a remote schema registry with Confluent's API. Its methods are those of pkg/schema's interface. What it
// once said it is not asked again: ids and schemas never change, and steady state must survive its absence (A2).
type Registry struct {
	client *sr.Client

	mu    sync.Mutex
	ids   map[[2]string]int // subject, text → id
	texts map[int]string
}

// RegistryError is a refusal by the registry itself. A caller that does not import this package recognises the kinds by
// errors.As with an interface of one of its methods.
type RegistryError struct {
	Doing   string // what was asked, with the subject or id
	Status  int    // HTTP
	Code    int    // the registry's own, 0 where it gave none
	Message string
}

func (e *RegistryError) Error() string {
	return fmt.Sprintf("%s: the schema registry answers %d: %.300s", e.Doing, cmp.Or(e.Code, e.Status), e.Message)
}

// Incompatible reports that the subject's compatibility level does not admit the schema.
func (e *RegistryError) Incompatible() bool { return e.Status == http.StatusConflict }

// UnknownID reports that the registry knows for certain of no such schema. A proxy's 404 says nothing of the kind.
func (e *RegistryError) UnknownID() bool { return e.Code == sr.ErrSchemaNotFound.Code }

// Denied reports that the login is missing, wrong or not allowed this.
func (e *RegistryError) Denied() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// NewRegistry makes the client; nothing is connected to yet.
func NewRegistry(c Config) (*Registry, error) {
	transport := c.RegistryTransport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: registryTimeout}).DialContext,
			TLSHandshakeTimeout:    registryTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}
	}
	opts := []sr.ClientOpt{
		sr.URLs(c.RegistryURL),
		sr.UserAgent(clientID),
		sr.HTTPClient(&http.Client{
			Timeout:       registryTimeout,
			Transport:     bounded{transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		}),
	}
	if c.RegistryUsername != "" {
		opts = append(opts, sr.BasicAuth(c.RegistryUsername, c.RegistryPassword.Reveal()))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("SCHEMA_REGISTRY_URL: %w", err)
	}
	return &Registry{client: client, ids: map[[2]string]int{}, texts: map[int]string{}}, nil
}

// Register makes the schema the subject's newest version, unless it is one already, and returns its id. The subject's
// level is set to FULL_TRANSITIVE first (design §4).
func (r *Registry) Register(ctx context.Context, subject, schema string) (int, error) {
	key := [2]string{subject, schema}
	r.mu.Lock()
	id, known := r.ids[key]
	r.mu.Unlock()
	if known {
		return id, nil
	}
	if err := r.setLevel(ctx, subject); err != nil {
		return 0, err
	}
	id, err := r.client.RegisterSchema(ctx, subject, sr.Schema{Schema: schema, Type: sr.TypeAvro}, -1, -1)
	if err == nil && id <= 0 {
		err = errors.New("the answer holds no id")
	}
	if err != nil {
		return 0, refusal("registering a schema under "+subject, err)
	}
	r.mu.Lock()
	r.ids[key] = id
	r.mu.Unlock()
	return id, nil
}

// Check reports what Register would do, without doing anything: nothing (true), or register the schema (false), or, as an
// error, fail because the subject's versions do not admit it.
func (r *Registry) Check(ctx context.Context, subject, schema string) (registered bool, err error) {
	text := sr.Schema{Schema: schema, Type: sr.TypeAvro}
	_, err = r.client.LookupSchema(ctx, subject, text)
	answer, refused := errors.AsType[*sr.ResponseError](err)
	switch {
	case err == nil:
		return true, nil
	case refused && answer.ErrorCode == sr.ErrSubjectNotFound.Code:
		return false, nil
	case !refused || answer.ErrorCode != sr.ErrSchemaNotFound.Code:
		return false, refusal("looking for a schema under "+subject, err)
	}
	const latest = -1
	fits, err := r.client.CheckCompatibility(ctx, subject, latest, text)
	if err != nil {
		return false, refusal("comparing a schema with those of "+subject, err)
	}
	if !fits.Is {
		return false, &RegistryError{Doing: "comparing a schema with those of " + subject, Status: http.StatusConflict, Message: "it is not compatible with the latest"}
	}
	return false, nil
}

func (r *Registry) setLevel(ctx context.Context, subject string) error {
	// Asked first: setting it needs a right that reading does not.
	if r.hasLevel(ctx, subject) {
		return nil
	}
	set := r.client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFullTransitive}, subject)[0]
	// Asked again: of two producers that start together Apicurio refuses one with 409, although both set the same (A8).
	if set.Err != nil && !r.hasLevel(ctx, subject) {
		return refusal("setting FULL_TRANSITIVE on "+subject, set.Err)
	}
	return nil
}

// hasLevel reports whether the subject's level is set. Any error means that it has none of its own yet.
func (r *Registry) hasLevel(ctx context.Context, subject string) bool {
	now := r.client.Compatibility(ctx, subject)[0]
	return now.Err == nil && now.Level == sr.CompatFullTransitive
}

// Schema is the text with an id.
func (r *Registry) Schema(ctx context.Context, id int) (string, error) {
	r.mu.Lock()
	text, known := r.texts[id]
	r.mu.Unlock()
	if known {
		return text, nil
	}
	s, err := r.client.SchemaByID(ctx, id)
	if err == nil && s.Schema == "" {
		err = errors.New("the answer holds no schema")
	}
	if err == nil && s.Type != sr.TypeAvro {
		err = fmt.Errorf("%w but a %s one", ErrNotAvro, s.Type)
	}
	if err != nil {
		return "", refusal(fmt.Sprintf("asking for schema %d", id), err)
	}
	r.mu.Lock()
	r.texts[id] = s.Schema
	r.mu.Unlock()
	return s.Schema, nil
}

func refusal(doing string, err error) error {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return &RegistryError{Doing: doing, Status: answer.StatusCode, Code: answer.ErrorCode, Message: answer.Error()}
}

// ErrNotAvro says that an id is of no Avro schema.
var ErrNotAvro = errors.New("it is no Avro schema")

var (
	errRedirect = errors.New("a schema registry does not redirect; SCHEMA_REGISTRY_URL must be the address that answers")
	errBody     = fmt.Errorf("the answer is longer than %d bytes", registryBody)
)

// bounded ends an answer's body with an error beyond registryBody: sr reads it whole.
type bounded struct{ http.RoundTripper }

// RoundTrip sends the request.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, registryBody}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read reads what is left of the allowance.
func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1] // one more than allowed shows that there is more
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errBody
	}
	return n, err
}
