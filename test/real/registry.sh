#!/usr/bin/env bash
# Apicurio Registry with its Confluent-compatible API on loopback, with a password.
#   registry.sh fetch | start | stop | kill | url
# What it knows is in a file that survives a kill: $REAL_RUN/registry/data.
. "$(dirname "$0")/lib.sh"
port=$((REAL_PORT + 50)) app=$REAL_CACHE/registry-$REGISTRY_VERSION dir=$(folder registry)
url=http://127.0.0.1:$port/apis/ccompat/v7

fetch() {
    runtime >/dev/null
    [ -e "$app/.complete" ] && return
    need mvn
    rm -rf "$app" && mkdir -p "$app"
    mvn_quiet $plugin:copy -Dartifact="io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all" -DoutputDirectory="$app/archive"
    verified registry "$app/archive"
    tar xzf "$app"/archive/*.tar.gz -C "$app"
    rm -rf "$app/archive"
    touch "$app/.complete"
}

properties() {
    cat <<P
quarkus.http.host=127.0.0.1
quarkus.http.port=$port
quarkus.management.host=127.0.0.1
quarkus.management.port=$((port + 1))
quarkus.http.access-log.enabled=false
quarkus.log.level=WARN
apicurio.storage.kind=sql
# Without WRITE_DELAY=0 a kill loses what was registered in the last half second.
apicurio.datasource.url=jdbc:h2:file:$dir/data/registry;WRITE_DELAY=0
apicurio.datasource.jdbc.initial-size=2
apicurio.datasource.jdbc.min-size=2
quarkus.http.auth.basic=true
quarkus.security.users.embedded.plain-text=true
quarkus.security.users.embedded.users.$registry_user=$registry_password
quarkus.security.users.embedded.roles.$registry_user=sr-admin
apicurio.auth.role-based-authorization=true
P
}

start() {
    fetch
    if ! running registry >/dev/null; then
        free $port
        mkdir -p "$dir/tmp" # each start leaves a native library there
        properties >"$dir/application.properties"
        launch registry "$(runtime)" -Djava.io.tmpdir="$dir/tmp" -Xms16m "-Xmx$REAL_HEAP" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
            -Dquarkus.config.locations="$dir/application.properties" -jar "$app/quarkus-run.jar"
        need curl
        await registry 180 curl -sf -o "$dir/subjects" -u "$registry_user:$registry_password" "$url/subjects"
    fi
    say "registry: Apicurio $REGISTRY_VERSION, $url, pid $(running registry)"
}

case ${1:-} in
fetch) fetch ;;
start) start ;;
stop) finish TERM registry ;;
kill) finish KILL registry ;;
url) echo "$url" ;;
*) die "registry.sh fetch | start | stop | kill | url" ;;
esac
