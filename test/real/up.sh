#!/usr/bin/env bash
# Brings everything up, or finds it up, and prints what a shell has to know (eval "$(test/real/up.sh)"). See lib.sh for parameters.
#   up.sh [fetch]: only what has to be downloaded
. "$(dirname "$0")/lib.sh"
part() { "$here/$1.sh" "$2"; }
maven() { part kafka fetch && part registry fetch && { [ -z "$REAL_CONNECT" ] || { part connect fetch && part flink fetch; }; }; } # its repository is for one at a time
java() { part kafka start && { [ -z "$REAL_CONNECT" ] || part connect start; }; }
both() { # A BACKGROUND COMMAND, AND ANOTHER
    local pid
    $1 & pid=$!
    $2 && wait "$pid" || die "not everything is up"
}
rest() { part python fetch && part postgres fetch; }
small() { part registry start && part postgres start; }
runtime >/dev/null
both maven rest
[ "${1:-}" != fetch ] || exit 0
both java small
cat <<P
export HARVESTSTREAM_REAL='kafka=$("$here/kafka.sh" brokers) registry=$("$here/registry.sh" url) postgres=$("$here/postgres.sh" url) python=$("$here/python.sh" path)${REAL_CONNECT:+ connect=$("$here/connect.sh" url) flink=$here/flink.sh}'
export REAL_CACHE='$REAL_CACHE' REAL_RUN='$REAL_RUN' REAL_PORT=$REAL_PORT REAL_NODES=$REAL_NODES REAL_HEAP=$REAL_HEAP REAL_CONNECT=$REAL_CONNECT
P
