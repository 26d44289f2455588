#!/usr/bin/env bash
# Brings everything up, runs the suite against it, takes it down.
#   run.sh [--ci | --long] [--only 'TestA|TestB'] [--kill-for 30m] [--rounds 50] [--nodes 3] [--keep] [-- more of a test binary's flags]
# --ci       two sets of parts side by side: one node, on which all tests that disturb nobody run together, and three nodes, of which
#            the others take down what they need; each point of death 3 times, random kills for 3 minutes: what a change has to pass
# --long     that with each point 50 times and random kills for 30 minutes
# --only     of these two sets, only these tests
# --kill-for how long producer and sinker are killed at random (60s)
# --rounds   how often each is killed at every point (1)
# --keep     leaves the parts running
# Parts and programs log below REAL_RUN; lib.sh has the parameters. Stops and deletes only what it started: a folder of its own unless
# REAL_RUN is given.
set -euo pipefail
nodes=${REAL_NODES:-1} killing=60s rounds=1 seed=$RANDOM both='' only='' keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --ci) both=1 killing=3m rounds=3 ;;
    --long) both=1 killing=30m rounds=50 ;;
    --only) only=$2; shift ;;
    --kill-for) killing=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    --nodes) nodes=$2; shift ;;
    --keep) keep=1 ;;
    --) shift; break ;;
    *) sed -n '2,14s/^# //p' "$0" >&2; exit 64 ;;
    esac
    shift
done
cd "$(dirname "$0")"
began=$SECONDS own='' base=${REAL_PORT:-21000}
[ -n "${REAL_RUN:-}" ] || { own=1; REAL_RUN=$(mktemp -d "${TMPDIR:-/tmp}/harveststream-real.XXXXXX"); chmod 755 "$REAL_RUN"; }
export REAL_RUN
top=$REAL_RUN disturbing='TestRegistryAway|TestPostgresRestarted|TestBrokerKilled' killed='TestKills|TestPoints'

on() { # SET NODES CONNECT COMMAND...: with the parameters of one set of parts
    local set=$1 nodes=$2 connect=$3; shift 3
    local port=$base; [ "$set" = one ] || port=$((base + 100))
    REAL_RUN=$top/$set REAL_PORT=$port REAL_NODES=$nodes REAL_CONNECT=$connect "$@"
}

down() {
    local status=$? wipe=''
    [ -z "$keep" ] || return
    [ $status != 0 ] || [ -z "$own" ] || wipe=--wipe
    on one "$nodes" 1 ./down.sh $wipe
    [ -z "$both" ] || on three 3 '' ./down.sh $wipe
    if [ -n "$wipe" ]; then rm -rf "${top:?}"; fi
    [ $status = 0 ] || echo "FAILED; logs are below $top" >&2
}
trap down EXIT

suite() { # the tests of one set of parts; flags of the test binary, once for each of its runs side by side
    local environment flags pids=() pid code=0
    mkdir -p "$REAL_RUN"; chmod 755 "$REAL_RUN"
    environment=$(./up.sh) || return 1
    eval "$environment"
    for flags in "$@"; do
        # shellcheck disable=SC2086
        "$top/suite" -test.count=1 -test.timeout=3h -seed="$seed" -killing="$killing" -rounds="$rounds" $flags "${more[@]}" & pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || code=1; done
    return $code
}

chosen() { tr '|' '\n' <<<"$1" | grep -xE "${only:-.*}" | paste -sd '|'; } # TESTS: those of them that --only lets through

more=("$@")
go test -c -o "$top/suite" .
if [ -n "$both" ]; then
    ./install.sh
    on one 1 1 ./up.sh fetch # once, for both
    on three 3 '' suite "-test.run ^($(chosen "$disturbing"))$" >"$top/three.log" 2>&1 & three=$!
    code=0
    on one 1 1 suite "-test.run ^($(chosen "$killed"))$ -test.parallel 8" \
        "-test.run ^(${only:-.*})$ -test.skip ^($disturbing|$killed)$ -test.parallel 4" || code=1
    wait "$three" || code=1
    cat "$top/three.log"
    [ $code = 0 ] || exit 1
else
    on one "$nodes" "${REAL_CONNECT-1}" suite "-test.parallel 4"
fi
echo "all checks passed in $((SECONDS - began)) s"
