#!/usr/bin/env bash
# Brings everything up, or finds it up, and prints what a shell has to know (eval "$(test/real/up.sh)"). See lib.sh for parameters.
. "$(dirname "$0")/lib.sh"
for part in kafka registry postgres python; do "$here/$part.sh" fetch; done
for part in kafka registry postgres; do "$here/$part.sh" start & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || die "not everything is up"; done
cat <<P
export HARVESTSTREAM_REAL='kafka=$("$here/kafka.sh" brokers) registry=$("$here/registry.sh" url) postgres=$("$here/postgres.sh" url) python=$("$here/python.sh" path)'
export REAL_CACHE='$REAL_CACHE' REAL_RUN='$REAL_RUN' REAL_PORT=$REAL_PORT REAL_NODES=$REAL_NODES REAL_HEAP=$REAL_HEAP
P
