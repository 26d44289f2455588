package ops

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Intervals is a duration with exceptions by stream: "15s,time_entries=3s".
type Intervals struct {
	Default time.Duration
	Except  map[string]time.Duration
}

// For returns the interval of a stream.
func (i Intervals) For(stream string) time.Duration {
	if d, ok := i.Except[stream]; ok {
		return d
	}
	return i.Default
}

// UnmarshalText reads the form above. The duration for all others must be there, all must be above zero.
func (i *Intervals) UnmarshalText(text []byte) error {
	*i = Intervals{Except: map[string]time.Duration{}}
	for part := range strings.SplitSeq(string(text), ",") {
		stream, value, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			stream, value = "", stream
		}
		d, err := parseDuration(value)
		if err != nil {
			return err
		}
		if d <= 0 {
			return fmt.Errorf("%q is not above zero", value)
		}
		_, twice := i.Except[stream]
		switch {
		case !named && i.Default != 0:
			return errors.New("has two durations without a stream")
		case named && (twice || stream == ""):
			return fmt.Errorf("%q is empty or there twice", stream)
		case named:
			i.Except[stream] = d
		default:
			i.Default = d
		}
	}
	if i.Default == 0 {
		return errors.New("has none for all other streams; like 15s,time_entries=3s")
	}
	return nil
}

// parseDuration reads a duration and says what form it has.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err == nil:
		return d, nil
	case strings.Contains(err.Error(), "missing unit"):
		return 0, fmt.Errorf("%q has no unit; write it like 90s, 15m or 24h", text)
	}
	return 0, fmt.Errorf("%q is not a duration like 90s, 15m or 24h", text)
}

func anyDuration(text string) (any, error) { return parseDuration(text) }
