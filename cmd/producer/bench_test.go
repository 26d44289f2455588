package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/harvest/harvesttest"
)

// benchRows is the account of the benchmarks: a million time entries.
const benchRows = 1_000_000

// spent is what a finished or running process has used.
type spent struct {
	cpu  time.Duration // user and system
	peak float64       // resident memory, MB
}

// run runs a command of the producer to its end.
func (w *world) run(args ...string) spent {
	w.tb.Helper()
	c := w.command(args)
	if err := c.Run(); err != nil {
		w.tb.Fatalf("producer %s: %v", strings.Join(args, " "), err)
	}
	u, _ := c.ProcessState.SysUsage().(*syscall.Rusage)
	return spent{cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime(), peak: float64(u.Maxrss) / 1000}
}

// tokenising is the processor time that merely reading the tokens of so many rows takes, with the library that the producer uses: the
// yardstick, for machines differ.
func tokenising(b *testing.B, rows int) time.Duration {
	b.Helper()
	var page []byte
	for i := range pageRows {
		page = harvesttest.AppendTimeEntry(page, i)
	}
	const times = 50
	began := self(b)
	for range times {
		dec := jsontext.NewDecoder(bytes.NewBuffer(page), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
	return (self(b) - began) * time.Duration(rows) / (times * pageRows)
}

func self(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, name string, rows int, took time.Duration) {
	b.Helper()
	b.ReportMetric(float64(rows)/took.Seconds(), name+"/s-core")
	b.ReportMetric(tokenising(b, rows).Seconds()/took.Seconds(), name+"×tokenising")
}

// BenchmarkCommands measures the built program by its own processor time (system time included: sockets to an account, a broker and a
// registry in another process) and its peak of resident memory: a first read of a million rows, a start that rebuilds their index from
// the topic and finds nothing new, and the same with a sweep of all rows, each of which is decoded and none published.
func BenchmarkCommands(b *testing.B) {
	w := newWorld(b, benchRows)
	for b.Loop() {
		topics := fmt.Sprintf("KAFKA_TOPIC_PREFIX=b%d.", time.Now().UnixNano())
		w.env = append(w.env, topics)
		first := w.run("sync")
		second := w.run("sync")
		swept := w.run("sweep", "time_entries")
		report(b, "first-read", benchRows, first.cpu)
		report(b, "index", benchRows, second.cpu)
		report(b, "sweep", benchRows, swept.cpu-second.cpu)
		b.ReportMetric(first.peak, "first-read-MB")
		b.ReportMetric(second.peak, "start-MB")
		b.ReportMetric(swept.peak, "sweep-MB")
	}
}

// BenchmarkService measures a service at its second sweep of an unchanged million, a minute after the first: by then it knows the rows.
func BenchmarkService(b *testing.B) {
	w := newWorld(b, benchRows)
	w.run("sync")
	const perSweep = benchRows / pageRows
	for b.Loop() {
		c := w.command([]string{"run"}, "HARVEST_LOOKBACK=1s", "HARVEST_SWEEP_INTERVAL=1s", "HARVEST_POLL_INTERVAL=1h", "HARVEST_PROBE_INTERVAL=1h", "HARVEST_RECENT_SWEEP_INTERVAL=1h")
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		w.await(w.pages()+perSweep, ended)
		before := of(b, c.Process.Pid)
		w.await(w.pages()+perSweep, ended)
		after := of(b, c.Process.Pid)
		report(b, "sweep", benchRows, after.cpu-before.cpu)
		b.ReportMetric(after.peak, "MB")
		if err := errors.Join(c.Process.Signal(syscall.SIGTERM), <-ended); err != nil {
			b.Fatal(err)
		}
	}
}

// await waits until so many pages were served.
func (w *world) await(pages int, ended <-chan error) {
	w.tb.Helper()
	for w.pages() < pages {
		select {
		case err := <-ended:
			w.tb.Fatal("the service ended: ", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	time.Sleep(time.Second) // for the last of them to be read
}

// of reads what a running process has used.
func of(b *testing.B, pid int) (s spent) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("this system does not tell what a process uses: ", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):])) // from the third on
	var user, system int64
	if _, err := fmt.Sscan(fields[12]+" "+fields[13], &user, &system); err != nil {
		b.Fatal(err)
	}
	s.cpu = time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(after, &s.peak)
		s.peak /= 1000
	}
	return s
}
