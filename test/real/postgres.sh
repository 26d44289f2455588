#!/usr/bin/env bash
# PostgreSQL on loopback, from the machine's own package (PGBIN: where its programs are).
#   postgres.sh fetch | start | stop | quit | kill | url
# quit is an immediate shutdown: sessions end at once, the next start recovers from the log.
# fsync is off: that survives a kill of the server, not of the machine. synchronous_commit stays on: off loses commits in a kill.
. "$(dirname "$0")/lib.sh"
port=$((REAL_PORT + 60)) dir=$(folder postgres)

programs() {
    local found
    for found in "${PGBIN:-}" /usr/lib/postgresql/*/bin "$(dirname "$(command -v postgres || echo /nowhere/postgres)")"; do
        [ -x "$found/initdb" ] && [ -x "$found/postgres" ] && { echo "$found"; return; }
    done
    die "no PostgreSQL server found: install the package postgresql, or set PGBIN"
}

as_owner() { # PostgreSQL refuses to run as root
    if [ "$(id -u)" = 0 ]; then setpriv --reuid="$(owner)" --regid="$(id -g "$(owner)")" --clear-groups "$@"; else "$@"; fi
}
owner() { id -un postgres 2>/dev/null || echo nobody; }

start() {
    local bin data=$dir/data old; bin=$(programs)
    if ! running postgres >/dev/null; then
        free $port
        if [ ! -e "$data/PG_VERSION" ]; then
            mkdir -p "$data"; chmod 700 "$data"
            [ "$(id -u)" != 0 ] || chown "$(owner)" "$data"
            (cd "$data" && as_owner "$bin/initdb" -D "$data" -U harvest --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync) >"$dir/initdb.log" 2>&1 ||
                { cat "$dir/initdb.log" >&2; die "initdb"; }
        fi
        # After a kill: a dead postmaster that nobody has reaped yet counts as a running one, and its children need a moment to go.
        if old=$(head -n 1 "$data/postmaster.pid" 2>/dev/null); then
            for _ in $(seq 100); do [ -e "/proc/$old" ] || break; sleep 0.1; done
        fi
        cd "$data"
        for _ in $(seq 50); do
            : >"$dir/out.log"
            if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid="$(owner)" --regid="$(id -g "$(owner)")" --clear-groups; else set --; fi
            launch postgres "$@" "$bin/postgres" -D "$data" -p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
                -c shared_buffers=64MB -c max_connections=100 -c fsync=off -c full_page_writes=off
            until "$bin/pg_isready" -q -h 127.0.0.1 -p $port -U harvest -d postgres; do running postgres >/dev/null || break; sleep 0.1; done
            running postgres >/dev/null && break
            grep -q 'shared memory block' "$dir/out.log" || break
            sleep 0.1
        done
        await postgres 180 "$bin/pg_isready" -q -h 127.0.0.1 -p $port -U harvest -d postgres
    fi
    say "postgres: $("$bin/postgres" --version), $(url), pid $(running postgres)"
}
url() { echo "postgres://harvest@127.0.0.1:$port/postgres?sslmode=disable"; }

case ${1:-} in
fetch) programs >/dev/null ;;
start) start ;;
stop) finish INT postgres ;;
quit) finish QUIT postgres ;;
kill) finish KILL postgres ;;
url) url ;;
*) die "postgres.sh fetch | start | stop | quit | kill | url" ;;
esac
