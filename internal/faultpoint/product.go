//go:build !faultpoints

// Package faultpoint names the places where a test has a program die. Programs built without the tag faultpoints, which is every
// program that is shipped, contain nothing of it: the functions are empty, and inlined.
package faultpoint

import (
	"net/http"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Pass is called where a program passes a named point.
func Pass(string) {}

// Hook is Pass for those that take a function; nil: none.
var Hook func(point string) error

// Transport puts the points of a request around the transport to Harvest.
func Transport(to http.RoundTripper) http.RoundTripper { return to }

// Client adds the points inside a Kafka client to its options.
func Client(opts ...kgo.Opt) []kgo.Opt { return opts }
