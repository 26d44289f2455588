package kafka_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

func good() kafka.Config {
	return kafka.Config{
		Brokers: []string{"kafka-1:9092", "kafka-2:9092"}, TopicPrefix: "harvest.", Partitions: 1, Compression: "zstd",
		History: kafka.History(time.Hour), RegistryURL: "https://registry.example/apis/ccompat/v7",
	}
}

func TestConfigFromTheEnvironment(t *testing.T) {
	t.Parallel()
	got, err := ops.Load[kafka.Config]([]string{"KAFKA_BROKERS=a:1,b:2", "SCHEMA_REGISTRY_URL=http://registry", "KAFKA_HISTORY=all"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Brokers) != "[a:1 b:2]" || got.TopicPrefix != "harvest." || got.Partitions != 1 || got.ReplicationFactor != 0 ||
		got.History != kafka.All || got.Compression != "zstd" || got.TLS {
		t.Errorf("got %+v", got)
	}
	if got.CheckpointTopic() != "harvest._checkpoints" || got.Topic("users") != "harvest.users" || got.TransactionalID(12) != "harvest.12" {
		t.Errorf("names %s, %s, %s", got.CheckpointTopic(), got.Topic("users"), got.TransactionalID(12))
	}
}

// reliability §3.3: each wrong value is refused by its variable's name, and no password is repeated.
func TestBadConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, cert, key := filepath.Join(dir, "empty.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writePair(t, cert, key)
	for name, c := range map[string]struct {
		variable string
		change   func(*kafka.Config)
	}{
		"no broker":               {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = nil }},
		"broker empty":            {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{""} }},
		"broker with scheme":      {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{"kafka://a:1"} }},
		"broker without port":     {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{"a"} }},
		"broker port 0":           {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{"a:0"} }},
		"broker port too high":    {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{"a:65536"} }},
		"broker twice":            {"KAFKA_BROKERS", func(c *kafka.Config) { c.Brokers = []string{"a:1", "a:1"} }},
		"prefix empty":            {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "" }},
		"prefix internal":         {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "_harvest." }},
		"prefix another's inside": {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "harvest._" }},
		"prefix with a slash":     {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "a/b." }},
		"prefix with an umlaut":   {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "ä." }},
		"prefix ends in a digit":  {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = "harvest.1" }},
		"prefix too long":         {"KAFKA_TOPIC_PREFIX", func(c *kafka.Config) { c.TopicPrefix = strings.Repeat("a", 201) }},
		"no partition":            {"KAFKA_PARTITIONS", func(c *kafka.Config) { c.Partitions = 0 }},
		"replicas negative":       {"KAFKA_REPLICATION_FACTOR", func(c *kafka.Config) { c.ReplicationFactor = -1 }},
		"history negative":        {"KAFKA_HISTORY", func(c *kafka.Config) { c.History = -1 }},
		"codec unknown":           {"KAFKA_COMPRESSION", func(c *kafka.Config) { c.Compression = "brotli" }},
		"mechanism unknown": {"KAFKA_SASL_MECHANISM", func(c *kafka.Config) {
			c.SASLMechanism, c.SASLUsername, c.SASLPassword = "GSSAPI", "u", "canary"
		}},
		"PLAIN without TLS": {"KAFKA_SASL_MECHANISM", func(c *kafka.Config) {
			c.SASLMechanism, c.SASLUsername, c.SASLPassword = kafka.Plain, "u", "canary"
		}},
		"IAM without TLS": {"KAFKA_SASL_MECHANISM", func(c *kafka.Config) {
			c.SASLMechanism, c.SASLUsername, c.SASLPassword = kafka.AWSMSKIAM, "u", "canary"
		}},
		"no user":                  {"KAFKA_SASL_USERNAME", func(c *kafka.Config) { c.SASLMechanism, c.SASLPassword = kafka.Scram256, "canary" }},
		"no password":              {"KAFKA_SASL_PASSWORD", func(c *kafka.Config) { c.SASLMechanism, c.SASLUsername = kafka.Scram512, "u" }},
		"password, no mechanism":   {"KAFKA_SASL_MECHANISM", func(c *kafka.Config) { c.SASLPassword = "canary" }},
		"CA absent":                {"KAFKA_CA_FILE", func(c *kafka.Config) { c.CAFile = filepath.Join(dir, "absent") }},
		"CA without certificate":   {"KAFKA_CA_FILE", func(c *kafka.Config) { c.CAFile = empty }},
		"key without certificate":  {"KAFKA_CERT_FILE", func(c *kafka.Config) { c.KeyFile = key }},
		"certificate without key":  {"KAFKA_CERT_FILE", func(c *kafka.Config) { c.CertFile = cert }},
		"certificate is no such":   {"KAFKA_CERT_FILE", func(c *kafka.Config) { c.CertFile, c.KeyFile = empty, key }},
		"registry empty":           {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "" }},
		"registry without scheme":  {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "registry:8081" }},
		"registry of another kind": {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "ftp://registry" }},
		"registry without host":    {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "http://:8081" }},
		"registry with a user":     {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "https://u:canary@registry" }},
		"registry with a query":    {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "https://registry/?a=canary" }},
		"registry with a fragment": {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "https://registry/#canary" }},
		"registry not a URL":       {"SCHEMA_REGISTRY_URL", func(c *kafka.Config) { c.RegistryURL = "https://u:canary@[" }},
		"registry user alone":      {"SCHEMA_REGISTRY_USERNAME", func(c *kafka.Config) { c.RegistryUsername = "u" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good()
			c.change(&cfg)
			err := errors.Join(cfg.Validate()...)
			if err == nil || !strings.HasPrefix(err.Error(), c.variable) || strings.Contains(err.Error(), "\n") {
				t.Errorf("want one problem with %s, got %v", c.variable, err)
			}
			if strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("a secret is repeated: %v", err)
			}
		})
	}
}

func TestGoodConfigs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key)
	for name, change := range map[string]func(*kafka.Config){
		"plain network": func(*kafka.Config) {},
		"IPv6":          func(c *kafka.Config) { c.Brokers = []string{"[::1]:9092"} },
		"no history":    func(c *kafka.Config) { c.History = 0 },
		"all of it":     func(c *kafka.Config) { c.History = kafka.All },
		"underscores":   func(c *kafka.Config) { c.TopicPrefix = "my_company-harvest_" },
		"mutual TLS":    func(c *kafka.Config) { c.CAFile, c.CertFile, c.KeyFile = cert, cert, key },
		"PLAIN over TLS": func(c *kafka.Config) {
			c.TLS, c.SASLMechanism, c.SASLUsername, c.SASLPassword = true, kafka.Plain, "u", "p"
		},
		"SCRAM": func(c *kafka.Config) {
			c.SASLMechanism, c.SASLUsername, c.SASLPassword = kafka.Scram256, "u", "p"
		},
		"SCRAM over TLS": func(c *kafka.Config) {
			c.TLS, c.SASLMechanism, c.SASLUsername, c.SASLPassword = true, kafka.Scram512, "u", "p"
		},
		"IAM": func(c *kafka.Config) {
			c.TLS, c.SASLMechanism, c.SASLUsername, c.SASLPassword = true, kafka.AWSMSKIAM, "id", "secret"
		},
		"registry login": func(c *kafka.Config) { c.RegistryUsername, c.RegistryPassword = "u", "p" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good()
			change(&cfg)
			if err := errors.Join(cfg.Validate()...); err != nil {
				t.Fatal(err)
			}
			opts, err := cfg.Options()
			if err != nil {
				t.Fatal(err)
			}
			cl, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatal(err)
			}
			cl.Close()
		})
	}
}

func TestConfigWarnings(t *testing.T) {
	t.Parallel()
	cfg := good()
	if w := cfg.Warnings(); len(w) > 0 {
		t.Errorf("nothing to warn of, but %q", w)
	}
	cfg.RegistryURL = "http://localhost:8081"
	if w := cfg.Warnings(); len(w) > 0 {
		t.Errorf("loopback needs no warning, but %q", w)
	}
	cfg.RegistryURL, cfg.SASLMechanism = "http://registry.example", kafka.Scram256
	if w := strings.Join(cfg.Warnings(), "\n"); !strings.Contains(w, "SCHEMA_REGISTRY_URL") || !strings.Contains(w, "KAFKA_TLS") {
		t.Errorf("warnings %q", w)
	}
}

func TestHistoryTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "0s": 0, "720h": 30 * 86_400_000, "all": math.MaxInt64, "1500ms": 1500} {
		var h kafka.History
		if err := h.UnmarshalText([]byte(text)); err != nil || h.Millis() != want {
			t.Errorf("%s is %d ms, want %d; %v", text, h.Millis(), want, err)
		}
		var again kafka.History
		if err := again.UnmarshalText([]byte(h.String())); err != nil || again != h {
			t.Errorf("%s is printed as %s and read as %s; %v", text, h, again, err)
		}
	}
	for _, text := range []string{"", "30", "-1h", "30d", "ALL", "1e9", "forever"} {
		var h kafka.History
		if err := h.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, h)
		}
	}
}

// writePair makes a certificate that signs itself, and its key.
func writePair(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// P1: two accounts, or two prefixes, that are allowed never share a transactional id: their producers would fence each other for ever.
func TestTransactionalIDsDiffer(t *testing.T) {
	t.Parallel()
	of := map[string]string{}
	for _, prefix := range []string{"harvest.", "harvest.1", "harvest.12", "harvest.1.", "harvest-1-", "harvest_", "1", "12", "a", "a1", "a1a"} {
		cfg := good()
		cfg.TopicPrefix = prefix
		if len(cfg.Validate()) > 0 {
			continue
		}
		for account := range int64(300) {
			id, who := cfg.TransactionalID(account+1), fmt.Sprint(prefix, " and account ", account+1)
			if of[id] != "" {
				t.Errorf("%s and %s are both %s", of[id], who, id)
			}
			of[id] = who
		}
	}
	if len(of) < 300*6 {
		t.Errorf("%d ids", len(of))
	}
}
