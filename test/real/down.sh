#!/usr/bin/env bash
# Stops what up.sh started, by its pid files. --wipe: and deletes REAL_RUN, all data and logs.
. "$(dirname "$0")/lib.sh"
for part in connect registry postgres kafka; do "$here/$part.sh" stop; done
[ "${1:-}" != --wipe ] || rm -rf "${REAL_RUN:?}"
