#!/usr/bin/env bash
# Installs from Debian's packages what the scripts here call and this machine lacks. Without apt-get, or the right to use it, says what.
. "$(dirname "$0")/lib.sh"
lacking=()
want() { # PACKAGE, CHECK...
    local package=$1; shift
    "$@" >/dev/null 2>&1 || lacking+=("$package")
}
want maven command -v mvn
want default-jdk-headless command -v java
want python3-venv python3 -c 'import ensurepip, venv'
want python3-pip python3 -m pip --version
want openssl command -v openssl
want curl command -v curl
want kcat command -v kcat
want postgresql "$here/postgres.sh" fetch
[ ${#lacking[@]} -gt 0 ] || exit 0
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
command -v apt-get >/dev/null || die "needed and not here: ${lacking[*]}"
say "installing ${lacking[*]}"
root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"' sh "${lacking[@]}" >&2
