package pgserver

import "syscall"

// endWithParent has the kernel stop the server when we are killed and cannot.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
