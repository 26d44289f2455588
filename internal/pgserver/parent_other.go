//go:build unix && !linux

package pgserver

import "syscall"

// endWithParent cannot be had here: a server whose parent was killed goes on until it is stopped by hand.
func endWithParent(*syscall.SysProcAttr) {}
