//go:build race

package producer_test

// The race detector makes every goroutine dear, and a simulated history has a hundred thousand.
func init() { *seeds = 2 }
