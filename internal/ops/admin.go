package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin is the HTTP server for operators. Everything on it is read-only, and nothing of it shows configuration:
//
//	/healthz      200, or 503 with the reason
//	/readyz       the same
//	/metrics      Prometheus
//	/streams      one JSON document
type Admin struct {
	Healthy, Ready func() error        // nil: always fine
	Metrics        prometheus.Gatherer // nil: no /metrics
	Streams        func() any          // nil: no /streams
	Log            *slog.Logger
}

// Serve serves on addr until ctx ends, then returns nil; an empty addr serves nothing. An address that cannot be
// listened on is an error at once (69).
func (a Admin) Serve(ctx context.Context, addr string) error {
	if addr == "" {
		<-ctx.Done()
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return Fail(ExitUnavailable, fmt.Errorf("ADMIN_ADDR: listening: %w", err))
	}
	if bound, ok := listener.Addr().(*net.TCPAddr); ok && !bound.IP.IsLoopback() {
		a.Log.Warn("admin server can be reached from other machines and asks for no password", "addr", bound.String())
	}
	server := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", addr, err)
	}
	return nil
}

// Handler is what Serve serves.
func (a Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", probe(a.Healthy))
	mux.Handle("GET /readyz", probe(a.Ready))
	if a.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	}
	if a.Streams != nil {
		mux.HandleFunc("GET /streams", a.serveStreams)
	}
	return mux
}

func (a Admin) serveStreams(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(a.Streams(), "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // the caller has gone; nothing to do about it
}

func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	}
}

// CheckAddr tells what is wrong with an address to listen on; nothing is wrong with an empty one.
func CheckAddr(variable, addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if _, numeric := strconv.ParseUint(port, 10, 16); err != nil || numeric != nil {
		return fmt.Errorf("%s: %q is no address like 127.0.0.1:8080", variable, addr)
	}
	return nil
}
