package ops

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

const maxSecret = 64 << 10 // bytes of a secret's file

// secret returns the value of a secret variable, given by itself or in a file, "" where neither is set.
func (l *loader) secret(name string) (string, error) {
	value, path := l.values[name], l.values[name+"_FILE"]
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("is set and so is %s: give one of them", name)
	}
	return readSecret(path)
}

// readSecret reads a secret's file. Editors leave a byte order mark and a line break behind: both are cut.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%q cannot be read: %w", path, errors.Unwrap(err))
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%q is no regular file", path)
	case info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows":
		return "", fmt.Errorf("%q can be read by everyone: make its mode 0640 or less", path)
	case info.Size() > maxSecret:
		return "", fmt.Errorf("%q has %d bytes, too many for a secret", path, info.Size())
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%q cannot be read: %w", path, errors.Unwrap(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return "", fmt.Errorf("%q cannot be read: %w", path, errors.Unwrap(err))
	}
	value := strings.TrimRight(strings.TrimPrefix(string(text), "\ufeff"), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%q is empty", path)
	}
	return value, nil
}
