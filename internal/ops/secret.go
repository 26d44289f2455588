package ops

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

// Secret is a value that must not be shown: every way of printing it gives ***. A variable X of this type may also be
// given as a file, which X_FILE names.
type Secret string

const masked = "***"

// Reveal returns the value itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String returns ***.
func (Secret) String() string { return masked }

// GoString returns ***.
func (Secret) GoString() string { return masked }

// Format prints *** for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue returns ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText returns ***, so that JSON and YAML show no secret either.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// UnmarshalText takes the value. A control character in it is most often a line break pasted along, which no header
// and no password prompt takes; it is refused.
func (s *Secret) UnmarshalText(text []byte) error {
	if strings.ContainsFunc(string(text), unicode.IsControl) {
		return errors.New("contains a control character (a line break?)")
	}
	*s = Secret(text)
	return nil
}
