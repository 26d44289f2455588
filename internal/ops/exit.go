package ops

import "errors"

// Exit codes (design §7).
const (
	ExitOK          = 0
	ExitUsage       = 64 // the command line
	ExitData        = 65 // a stopped sweep, a refused answer, too many dead letters
	ExitUnavailable = 69 // something needed does not answer
	ExitInternal    = 70 // a fault of the program's own, or fenced by another one
	ExitPermission  = 77 // 401, a blocked stream
	ExitConfig      = 78 // the configuration, or what it points to is not what it should be
)

// Fail gives err an exit code; nil stays nil. The outermost code counts.
func Fail(code int, err error) error {
	if err == nil {
		return nil
	}
	return &failure{code: code, err: err}
}

type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }
func (f *failure) ExitCode() int { return f.code }

// ExitCode is 0 for nil, else the code of the first error in err's tree with a method ExitCode() int, else 70.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if coded, ok := errors.AsType[interface {
		ExitCode() int
		error
	}](err); ok {
		return coded.ExitCode()
	}
	return ExitInternal
}
