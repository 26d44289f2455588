package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// clientID names us in the brokers' logs and quotas.
const clientID = "harveststream"

// metadataAge is how old an answer about topics and leaders may be. The client's default of 5 s is how long a new topic
// stays unknown to it, and half of what a transaction has to get over a change of leaders.
const metadataAge = 250 * time.Millisecond

// Options are what every client of these brokers has in common: seeds, network, login, codec. Isolation, transactions
// and topics are added where a client is made.
func (c Config) Options() ([]kgo.Opt, error) {
	codec, err := c.Compression.codec()
	if err != nil {
		return nil, fmt.Errorf("KAFKA_COMPRESSION: %w", err)
	}
	unpack, err := newDecompressor()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(clientID),
		kgo.SoftwareNameAndVersion(clientID, "1"),
		kgo.MetadataMinAge(metadataAge),
		kgo.ProducerBatchCompression(codec),
		kgo.WithDecompressor(unpack),
	}
	if c.Log != nil {
		opts = append(opts, kgo.WithLogger(&logger{to: c.Log, said: map[string]time.Time{}}))
	}
	if c.Dial != nil {
		opts = append(opts, kgo.Dialer(c.Dial))
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		opts = append(opts, kgo.DialTLSConfig(tlsConfig))
	}
	if c.SASLMechanism != "" {
		login, err := c.login()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(login))
	}
	return opts, nil
}

func (c Config) tls() bool { return c.TLS || c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" }

// tlsConfig is nil without TLS. Host names are checked against the certificate; kgo fills in each broker's.
func (c Config) tlsConfig() (*tls.Config, error) {
	if !c.tls() {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("KAFKA_CA_FILE: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("KAFKA_CA_FILE: %s holds no certificate", c.CAFile)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("KAFKA_CERT_FILE, KAFKA_KEY_FILE: only one of the two is given")
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("KAFKA_CERT_FILE, KAFKA_KEY_FILE: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

func (c Config) login() (sasl.Mechanism, error) {
	user, password := c.SASLUsername, c.SASLPassword.Reveal()
	switch c.SASLMechanism {
	case Plain:
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case Scram256:
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case Scram512:
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case AWSMSKIAM:
		return aws.Auth{AccessKey: user, SecretKey: password}.AsManagedStreamingIAMMechanism(), nil
	}
	return nil, fmt.Errorf("KAFKA_SASL_MECHANISM: %q is unknown", string(c.SASLMechanism))
}

func (c Codec) codec() (kgo.CompressionCodec, error) {
	switch c {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("%q is none of none, gzip, snappy, lz4, zstd", string(c))
}

// maxUnpacked bounds what one batch may grow to (a broker's batch is at most some MiB; a bomb is not).
const maxUnpacked = 256 << 20

// decompressor is the client's own save for zstd: kgo's pooled zstd decoders have goroutines and finalizers, and a
// finalizer that closes a channel of another synctest bubble ends the process. A synchronous decoder has neither.
type decompressor struct {
	kgo.Decompressor
	zstd *zstd.Decoder
}

func newDecompressor() (decompressor, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
	if err != nil {
		return decompressor{}, fmt.Errorf("making a zstd decoder: %w", err)
	}
	return decompressor{kgo.DefaultDecompressor(), d}, nil
}

// Decompress unpacks one batch.
func (d decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecZstd {
		return d.zstd.DecodeAll(src, nil)
	}
	return d.Decompressor.Decompress(src, codec)
}

// logger hands the client's warnings to slog, not every time: while a broker is away the client says so at each of several tries a second.
type logger struct {
	to   *slog.Logger
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	sayAgain = 30 * time.Second // before that, the same words are for debugging
	maxSaid  = 100
)

// Level is what the client may trouble itself to say.
func (l *logger) Level() kgo.LogLevel {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

// Log passes one message on. The client's info is our debug.
func (l *logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level <= kgo.LogLevelWarn && l.isNews(fmt.Sprint(msg, keyvals)) {
		to = slog.LevelWarn
	}
	l.to.Log(context.Background(), to, msg, keyvals...)
}

func (l *logger) isNews(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.said[text]) < sayAgain {
		return false
	}
	if len(l.said) >= maxSaid {
		clear(l.said)
	}
	l.said[text] = now
	return true
}
