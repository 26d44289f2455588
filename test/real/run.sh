#!/usr/bin/env bash
# Brings everything up, runs the suite against it, takes it down.
#   run.sh [--ci] [--kill-for 30m] [--nodes 3] [--keep] [-- go test's flags]
# --ci       one node and 45 s of kills, then three nodes and a broker's death: what a change has to pass
# --kill-for how long producer and sinker are killed at random (60s)
# --keep     leaves the parts running
# Parts and programs log below REAL_RUN; lib.sh has the parameters. Stops and deletes only what it started: a folder of its own unless
# REAL_RUN is given.
set -euo pipefail
nodes=1 killing=60s seed=$RANDOM ci='' keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --ci) ci=1 killing=45s ;;
    --kill-for) killing=$2; shift ;;
    --nodes) nodes=$2; shift ;;
    --keep) keep=1 ;;
    --) shift; break ;;
    *) sed -n '2,9s/^# //p' "$0" >&2; exit 64 ;;
    esac
    shift
done
cd "$(dirname "$0")"
began=$SECONDS own=''
[ -n "${REAL_RUN:-}" ] || { own=1; REAL_RUN=$(mktemp -d "${TMPDIR:-/tmp}/harveststream-real.XXXXXX"); chmod 755 "$REAL_RUN"; }
export REAL_RUN REAL_NODES=$nodes

down() {
    status=$?
    [ -n "$keep" ] && return
    if [ $status = 0 ] && [ -n "$own" ]; then ./down.sh --wipe; else ./down.sh; fi
    [ $status = 0 ] || echo "FAILED; logs are below $REAL_RUN" >&2
}
trap down EXIT

suite() { # nodes, tests, flags: brings up what is missing and tests it
    local REAL_NODES=$1 tests=$2 environment; shift 2
    export REAL_NODES
    environment=$(./up.sh)
    eval "$environment"
    go test -count=1 -timeout 60m -run "$tests" -seed="$seed" -killing="$killing" "$@" # without a package, so that it prints while it runs
}

if [ -n "$ci" ]; then
    suite 1 . -skip TestRestartAfterKill "$@"
    ./down.sh && rm -rf "${REAL_RUN:?}"/kafka* "${REAL_RUN:?}"/registry "${REAL_RUN:?}"/postgres
    suite 3 TestBrokerKilled "$@"
else
    suite "$nodes" . "$@"
fi
echo "all checks passed in $((SECONDS - began)) s"
