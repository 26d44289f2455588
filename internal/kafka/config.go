package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"harveststream/internal/ops"
)

// Config is what the environment says about Kafka and the schema registry (design §7). The last fields are for tests
// and for programs that bring their own network; the environment does not set them.
type Config struct {
	Brokers       []string   `env:"KAFKA_BROKERS,required" doc:"brokers to ask first, host:port, comma-separated"`
	TLS           bool       `env:"KAFKA_TLS" envDefault:"false" doc:"speak TLS to the brokers; on when a CA or a certificate is given"`
	CAFile        string     `env:"KAFKA_CA_FILE" doc:"PEM file of the authorities that sign the brokers' certificates; none: the system's"`
	CertFile      string     `env:"KAFKA_CERT_FILE" doc:"PEM file of the client's certificate (mutual TLS)"`
	KeyFile       string     `env:"KAFKA_KEY_FILE" doc:"PEM file of the client's private key"`
	SASLMechanism Mechanism  `env:"KAFKA_SASL_MECHANISM" doc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM; none: no login"`
	SASLUsername  string     `env:"KAFKA_SASL_USERNAME" doc:"user; with AWS_MSK_IAM the access key's id"`
	SASLPassword  ops.Secret `env:"KAFKA_SASL_PASSWORD" doc:"password; with AWS_MSK_IAM the secret access key"`

	TopicPrefix       string  `env:"KAFKA_TOPIC_PREFIX" envDefault:"harvest." doc:"begins the name of every topic, subject and transactional id; ends in no digit"`
	Partitions        int32   `env:"KAFKA_PARTITIONS" envDefault:"1" doc:"partitions of a new topic; later changes are not taken up"`
	ReplicationFactor int16   `env:"KAFKA_REPLICATION_FACTOR" envDefault:"0" doc:"replicas of a new topic; 0: the broker's default"`
	History           History `env:"KAFKA_HISTORY" envDefault:"720h" doc:"how long a topic keeps every version; all: for ever, 0: only the last"`
	Compression       Codec   `env:"KAFKA_COMPRESSION" envDefault:"zstd" doc:"none, gzip, snappy, lz4 or zstd"`

	RegistryURL      string     `env:"SCHEMA_REGISTRY_URL,required" doc:"base URL of a registry with Confluent's API"`
	RegistryUsername string     `env:"SCHEMA_REGISTRY_USERNAME" doc:"user for basic authentication"`
	RegistryPassword ops.Secret `env:"SCHEMA_REGISTRY_PASSWORD" doc:"password for basic authentication"`

	// Dial replaces the network (kfake.VirtualNetwork); nil: TCP. Not together with TLS.
	Dial func(ctx context.Context, network, host string) (net.Conn, error) `env:"-"`
	// RegistryTransport replaces the registry's HTTP transport; nil: a bounded one.
	RegistryTransport http.RoundTripper `env:"-"`
	// Log takes what the client and the readers have to say (warnings and up); nil: nothing is said.
	Log *slog.Logger `env:"-"`
}

// Mechanism is a SASL mechanism by Kafka's name; empty: no login.
type Mechanism string

// The mechanisms there are.
const (
	Plain     Mechanism = "PLAIN"
	Scram256  Mechanism = "SCRAM-SHA-256"
	Scram512  Mechanism = "SCRAM-SHA-512"
	AWSMSKIAM Mechanism = "AWS_MSK_IAM"
)

// Codec is the compression of what is produced: none, gzip, snappy, lz4, zstd.
type Codec string

// History is how long a topic keeps every version of a key (design §4): min.compaction.lag.ms.
type History time.Duration

// All keeps every version for ever.
const All History = math.MaxInt64

// UnmarshalText reads a duration (720h), 0, or "all".
func (h *History) UnmarshalText(text []byte) error {
	if string(text) == "all" {
		*h = All
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is neither a duration like 720h, nor 0, nor all", text)
	}
	if d < 0 {
		return fmt.Errorf("%s is negative", d)
	}
	*h = History(d)
	return nil
}

// String is the text UnmarshalText reads.
func (h History) String() string {
	if h == All {
		return "all"
	}
	return time.Duration(h).String()
}

// Millis is the setting's value: the largest long for All.
func (h History) Millis() int64 {
	if h == All {
		return math.MaxInt64
	}
	return time.Duration(h).Milliseconds()
}

// Topic is the name of a stream's topic.
func (c Config) Topic(stream string) string { return c.TopicPrefix + stream }

// CheckpointTopic is the name of the checkpoint topic (design §4).
func (c Config) CheckpointTopic() string { return c.TopicPrefix + "_checkpoints" }

// TransactionalID is the account's one writer's (P1). No other prefix and account have it: prefixes end in no digit.
func (c Config) TransactionalID(account int64) string {
	return c.TopicPrefix + strconv.FormatInt(account, 10)
}

// Validate returns every problem, each beginning with its variable's name. Files are read, nothing is connected to.
func (c Config) Validate() []error {
	errs := c.validateBrokers()
	if err := validatePrefix(c.TopicPrefix); err != nil {
		errs = append(errs, fmt.Errorf("KAFKA_TOPIC_PREFIX: %w", err))
	}
	if c.Partitions < 1 || c.Partitions > 1000 {
		errs = append(errs, fmt.Errorf("KAFKA_PARTITIONS: %d is not between 1 and 1000", c.Partitions))
	}
	if c.ReplicationFactor < 0 {
		errs = append(errs, fmt.Errorf("KAFKA_REPLICATION_FACTOR: %d is negative", c.ReplicationFactor))
	}
	if c.History < 0 {
		errs = append(errs, fmt.Errorf("KAFKA_HISTORY: %s is negative", c.History))
	}
	if _, err := c.Compression.codec(); err != nil {
		errs = append(errs, fmt.Errorf("KAFKA_COMPRESSION: %w", err))
	}
	errs = append(errs, c.validateLogin()...)
	if _, err := c.tlsConfig(); err != nil {
		errs = append(errs, err)
	}
	return append(errs, c.validateRegistry()...)
}

// Warnings says what is allowed but seldom meant.
func (c Config) Warnings() []string {
	var warnings []string
	if c.SASLMechanism != "" && !c.tls() {
		warnings = append(warnings, "KAFKA_TLS: off, so everything but the password crosses the network in clear")
	}
	if u, err := url.Parse(c.RegistryURL); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		warnings = append(warnings, "SCHEMA_REGISTRY_URL: http to another machine is neither private nor authentic")
	}
	return warnings
}

func (c Config) validateBrokers() []error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("KAFKA_BROKERS: empty"))
	}
	seen := map[string]bool{}
	for _, b := range c.Brokers {
		switch host, port, err := net.SplitHostPort(b); {
		case strings.Contains(b, "://"):
			errs = append(errs, fmt.Errorf("KAFKA_BROKERS: %q has a scheme; host:port is wanted", b))
		case err != nil || host == "":
			errs = append(errs, fmt.Errorf("KAFKA_BROKERS: %q is not host:port", b))
		case !validPort(port):
			errs = append(errs, fmt.Errorf("KAFKA_BROKERS: %q has no port between 1 and 65535", b))
		case seen[b]:
			errs = append(errs, fmt.Errorf("KAFKA_BROKERS: %q is listed twice", b))
		}
		seen[b] = true
	}
	return errs
}

func (c Config) validateLogin() []error {
	var errs []error
	switch c.SASLMechanism {
	case "":
		if c.SASLUsername != "" || c.SASLPassword != "" {
			errs = append(errs, errors.New("KAFKA_SASL_MECHANISM: empty, though a user or a password is given"))
		}
		return errs
	case Plain, AWSMSKIAM:
		if !c.tls() {
			errs = append(errs, fmt.Errorf("KAFKA_SASL_MECHANISM: %s needs KAFKA_TLS=true", c.SASLMechanism))
		}
	case Scram256, Scram512:
	default:
		errs = append(errs, fmt.Errorf("KAFKA_SASL_MECHANISM: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, AWS_MSK_IAM", string(c.SASLMechanism)))
	}
	if c.SASLUsername == "" {
		errs = append(errs, fmt.Errorf("KAFKA_SASL_USERNAME: empty, though %s needs one", c.SASLMechanism))
	}
	if c.SASLPassword == "" {
		errs = append(errs, fmt.Errorf("KAFKA_SASL_PASSWORD: empty, though %s needs one", c.SASLMechanism))
	}
	return errs
}

func (c Config) validateRegistry() []error {
	var errs []error
	if err := validateURL(c.RegistryURL); err != nil {
		errs = append(errs, fmt.Errorf("SCHEMA_REGISTRY_URL: %w", err))
	}
	if (c.RegistryUsername == "") != (c.RegistryPassword == "") {
		errs = append(errs, errors.New("SCHEMA_REGISTRY_USERNAME, SCHEMA_REGISTRY_PASSWORD: only one of the two is given"))
	}
	return errs
}

// validateURL never repeats the value: it may hold a password.
func validateURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("does not begin with http:// or https://")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("holds a user; use SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("has a query or a fragment")
	}
	return nil
}

// maxPrefix leaves room for the longest stream's name in Kafka's 249 characters.
const maxPrefix = 200

func validatePrefix(prefix string) error {
	switch {
	case prefix == "":
		return errors.New("empty")
	case len(prefix) > maxPrefix:
		return fmt.Errorf("longer than %d characters", maxPrefix)
	case strings.HasPrefix(prefix, "_"):
		return fmt.Errorf("%q begins with _, which marks internal topics", prefix)
	case strings.HasSuffix(prefix, "._"):
		return fmt.Errorf("%q ends in ._, which marks the internal topics of another prefix", prefix)
	case strings.ContainsAny(prefix[len(prefix)-1:], "0123456789"): // harvest.1 and account 2 would write as harvest. and account 12 do
		return fmt.Errorf("%q ends in a digit, which would run into the account's number; let it end in a dot, a dash or an underscore", prefix)
	}
	for _, r := range prefix {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return fmt.Errorf("%q holds %q; a topic's name takes letters, digits, dot, underscore and dash", prefix, r)
		}
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
