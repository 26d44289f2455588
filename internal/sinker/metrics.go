package sinker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are all of this program's metrics.
type metrics struct {
	registry *prometheus.Registry

	records     *prometheus.CounterVec
	rows        *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	gaps        *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	stopped     *prometheus.GaugeVec
	lag         *prometheus.GaugeVec
}

func newMetrics() *metrics {
	stream := []string{"stream"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "harvest_sinker_" + name, Help: help}, append(stream[:1:1], labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "harvest_sinker_" + name, Help: help}, append(stream[:1:1], "partition"))
	}
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		records:     counter("records_total", "Records applied, tombstones included."),
		rows:        counter("rows_total", "Rows written, by what was done.", "result"),
		deadLetters: counter("dead_letters_total", "Records set aside."),
		gaps:        counter("missing_records_total", "Records missing on the topic, by their numbers."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "harvest_sinker_transaction_seconds", Help: "Time of a transaction.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, stream),
		stopped: gauge("stopped", "1 while the partition is stopped or another sinker has taken it."),
		lag:     gauge("lag_records", "Offsets between what is applied and the topic's end."),
	}
	m.registry.MustRegister(m.records, m.rows, m.deadLetters, m.gaps, m.seconds, m.stopped, m.lag)
	return m
}

// forget ends what is said of a partition that is another's to speak of.
func (m *metrics) forget(stream, number string) {
	m.stopped.DeleteLabelValues(stream, number)
	m.lag.DeleteLabelValues(stream, number)
}

// applied counts a transaction.
func (m *metrics) applied(stream string, records int, b *batch, took time.Duration) {
	m.records.WithLabelValues(stream).Add(float64(records))
	m.rows.WithLabelValues(stream, "inserted").Add(float64(b.inserted))
	m.rows.WithLabelValues(stream, "updated").Add(float64(b.updated))
	m.rows.WithLabelValues(stream, "removed").Add(float64(b.removed))
	m.seconds.WithLabelValues(stream).Observe(took.Seconds())
}
