#!/usr/bin/env bash
# A Python with Confluent's client and its Avro deserializer, for the check that other people's consumers read our topics.
#   python.sh fetch | path
. "$(dirname "$0")/lib.sh"
venv=$REAL_CACHE/python-$CONFLUENT_VERSION
fetch() {
    [ -e "$venv/.complete" ] && return
    need python3
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary=:all: "confluent-kafka[avro,schemaregistry]==$CONFLUENT_VERSION" >&2
    touch "$venv/.complete"
}
case ${1:-} in
fetch) fetch ;;
path) echo "$venv/bin/python" ;;
*) die "python.sh fetch | path" ;;
esac
