//go:build faultpoints

// Package faultpoint has a program of a test build die at a named point. HARVESTSTREAM_FAULT says where: "kp12:3" is a SIGKILL to itself
// when it passes kp12 for the third time, "kp10:2:TERM,kp19:1" a SIGTERM at the second kp10 and the kill at the first kp19.
package faultpoint

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault is one signal to send.
type fault struct {
	point  string
	left   int // passes until then
	signal syscall.Signal
}

var armed struct {
	sync.Mutex
	faults []*fault
}

func init() {
	for spec := range strings.SplitSeq(os.Getenv("HARVESTSTREAM_FAULT"), ",") {
		fields := strings.Split(spec, ":")
		if len(fields) < 2 {
			continue
		}
		f := &fault{point: fields[0], signal: syscall.SIGKILL}
		f.left, _ = strconv.Atoi(fields[1])
		if len(fields) > 2 {
			f.signal = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[fields[2]]
		}
		if f.left < 1 || f.signal == 0 {
			panic(fmt.Sprintf("HARVESTSTREAM_FAULT: %q is not point:n or point:n:TERM", spec))
		}
		armed.faults = append(armed.faults, f)
	}
}

// Pass counts a pass of a point and sends what is due. A killed process does not get out of it.
func Pass(point string) {
	armed.Lock()
	defer armed.Unlock()
	for _, f := range armed.faults {
		if f.point != point {
			continue
		}
		if f.left--; f.left != 0 {
			continue
		}
		fmt.Fprintf(os.Stderr, "faultpoint %s: %s\n", point, f.signal)
		_ = syscall.Kill(os.Getpid(), f.signal)
		if f.signal == syscall.SIGKILL {
			time.Sleep(time.Hour)
		}
	}
}

// Hook is Pass for those that take a function.
var Hook = func(point string) error {
	Pass(point)
	return nil
}

// Transport puts the points of a request around the transport to Harvest.
func Transport(to http.RoundTripper) http.RoundTripper {
	if to == nil {
		plain := http.DefaultTransport.(*http.Transport).Clone()
		plain.DisableCompression = true // as the client's own
		to = plain
	}
	return transport{to}
}

type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { Pass("kp05") }}
	resp, err := t.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), sent)))
	if err == nil {
		Pass("kp06")
		resp.Body = body{resp.Body}
	}
	return resp, err
}

// body passes a point behind each piece that came.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 4096)])
	if n > 0 && err == nil {
		Pass("kp07")
	}
	return n, err
}

// Client adds the points inside a Kafka client to its options.
func Client(opts ...kgo.Opt) []kgo.Opt { return append(opts, kgo.WithHooks(requests{})) }

type requests struct{}

// OnBrokerWrite passes kp14: the end of a transaction is asked for, nobody has answered.
func (requests) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == kmsg.EndTxn.Int16() {
		Pass("kp14")
	}
}
