#!/usr/bin/env bash
# README's two commands as on a new machine: a clone of what is committed, an empty home (so no module, no build, no database was ever
# fetched), and on PATH nothing but Go. PostgreSQL is out of sight: its usual folder is covered where this user may do that, else
# PGSERVER_VERSION says not to look.
#   fresh.sh [quickstart]: only the first one
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
dir=$(mktemp -d "${TMPDIR:-/tmp}/harveststream-fresh.XXXXXX")
trap 'chmod -R u+w "$dir" && rm -rf "$dir"' EXIT
chmod 755 "$dir" # PostgreSQL runs as another user where this one is root
mkdir -p "$dir/home" "$dir/bin"
ln -s "$(go env GOROOT)/bin/go" "$dir/bin/go"
git clone -q --no-hardlinks . "$dir/clone"

env=(-i "PATH=$dir/bin" "HOME=$dir/home" "TMPDIR=$dir")
for name in GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOTOOLCHAIN HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE; do # how the registries are reached
    [ -z "${!name:-}" ] || env+=("$name=${!name}")
done
covered=''
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then covered=1; else env+=(PGSERVER_VERSION=18); fi

fresh() { # COMMAND...: in the clone
    local began=$SECONDS
    printf '+ %s\n' "$*"
    if [ -n "$covered" ]; then
        # shellcheck disable=SC2016
        unshare -m bash -c 'for d in /usr/lib/postgresql /usr/local/pgsql; do [ ! -d "$d" ] || mount -t tmpfs none "$d"; done; exec "$@"' - env "${env[@]}" "$@"
    else
        env "${env[@]}" "$@"
    fi
    printf '%s: fine on a fresh machine, %d s\n' "$*" $((SECONDS - began))
}

cd "$dir/clone"
go version
fresh "$dir/bin/go" run ./cmd/quickstart --once
fetched=$(find "$dir/home" -type d -name 'postgres*' | head -1)
[ -n "$fetched" ] || find "$dir" -maxdepth 4 -iname '*postgres*' | head -3
[ "$what" = quickstart ] || fresh "$dir/bin/go" test ./...
