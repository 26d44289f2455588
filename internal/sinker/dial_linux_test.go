package sinker_test

import (
	"net"
	"syscall"
	"testing"

	"harveststream/internal/sinker"
)

// TestSilence: a connection to a machine that has vanished is given up within half a minute, by the kernel: the settings are there
// (reliability N5; that they work takes a network to cut).
func TestSilence(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := sinker.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{18: 30_000, syscall.TCP_KEEPIDLE: 15, syscall.TCP_KEEPINTVL: 5, syscall.TCP_KEEPCNT: 3} {
			if got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option); err != nil || got != want {
				t.Errorf("option %d is %d, not %d: %v", option, got, want, err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}
