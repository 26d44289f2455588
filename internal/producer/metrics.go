package producer

import "github.com/prometheus/client_golang/prometheus"

// metrics are all the producer counts. Labels are few: stream (21 values), class, code, cause, field.
type metrics struct {
	registry *prometheus.Registry

	records   *prometheus.CounterVec
	commits   prometheus.Histogram
	requests  *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	inFlight  prometheus.Gauge
	stale     *prometheus.CounterVec
	unclean   *prometheus.CounterVec
	badValues *prometheus.CounterVec
	probes    *prometheus.CounterVec
	sweeps    *prometheus.CounterVec
	braked    *prometheus.GaugeVec
	blocked   *prometheus.GaugeVec
	restarts  prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "harvest_producer_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "harvest_producer_" + name, Help: help}, labels)
		m.registry.MustRegister(g)
		return g
	}
	m.records = counter("records_total", "Records published.", "stream", "op", "cause")
	m.requests = counter("requests_total", "Requests handed to workers, by order of service (P9).", "class")
	m.attempts = counter("attempts_total", "Requests sent to Harvest, retries included, by status (0: no answer).", "code")
	m.stale = counter("stale_observations_total", "Observations older than what was published, dropped (P5).", "stream")
	m.unclean = counter("unclean_walks_total", "Walks over pages that moved underneath and were walked again (P6).", "stream")
	m.badValues = counter("bad_values_total", "Values that did not fit their field or that no field knows, kept in extra (P14).", "stream", "field")
	m.probes = counter("probes_total", "Totals compared with the index (P12).", "stream")
	m.sweeps = counter("sweeps_total", "Sweeps completed (P7).", "stream")
	m.braked = gauge("stopped_sweep_rows", "Missing rows a stopped sweep waits to be answered for (P7); 0: none.", "stream")
	m.blocked = gauge("blocked", "1 where a stream is not read now (P11).", "stream")
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "harvest_producer_requests_in_flight", Help: "Requests under way."})
	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "harvest_producer_commit_seconds", Help: "Time of a transaction.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)})
	m.restarts = prometheus.NewCounter(prometheus.CounterOpts{Name: "harvest_producer_incarnations_total", Help: "Starts of the writer (P1)."})
	m.registry.MustRegister(m.inFlight, m.commits, m.restarts)
	return m
}
