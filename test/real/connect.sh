#!/usr/bin/env bash
# One worker of Kafka Connect on loopback, with Debezium's JDBC sink and Apicurio's Avro converter.
#   connect.sh fetch | start | stop | url
. "$(dirname "$0")/lib.sh"
port=$((REAL_PORT + 55)) dir=$(folder connect) libs=$REAL_CACHE/connect-$KAFKA_VERSION plugins=$REAL_CACHE/plugins
url=http://127.0.0.1:$port

fetch() {
    local sink=$plugins/debezium-jdbc-$DEBEZIUM_VERSION converter=$plugins/apicurio-converter-$CONVERTER_VERSION
    runtime >/dev/null
    need mvn
    [ -e "$libs/.complete" ] || {
        rm -rf "$libs"
        mvn_quiet -P connect $plugin:copy-dependencies -DoutputDirectory="$libs" -DincludeScope=runtime
        verified connect "$libs"
    }
    [ -e "$converter/.complete" ] || {
        rm -rf "$converter"
        mvn_quiet -P converter $plugin:copy-dependencies -DoutputDirectory="$converter" -DincludeScope=runtime
        verified converter "$converter"
    }
    [ -e "$sink/.complete" ] || {
        rm -rf "$sink" && mkdir -p "$sink"
        mvn_quiet $plugin:copy -Dartifact="io.debezium:debezium-connector-jdbc:$DEBEZIUM_VERSION:tar.gz:plugin" -DoutputDirectory="$sink/archive"
        verified debezium "$sink/archive"
        tar xzf "$sink"/archive/*.tar.gz -C "$sink"
        rm -rf "$sink/archive"
        touch "$sink/.complete"
    }
}

properties() {
    cat <<P
bootstrap.servers=$("$here/kafka.sh" brokers)
group.id=connect
listeners=$url
rest.advertised.host.name=127.0.0.1
plugin.path=$plugins
config.storage.topic=_connect-configs
offset.storage.topic=_connect-offsets
status.storage.topic=_connect-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
# Connect's own default also reads what was rolled back.
consumer.isolation.level=read_committed
consumer.auto.offset.reset=earliest
task.shutdown.graceful.timeout.ms=3000
scheduled.rebalance.max.delay.ms=0
P
}

start() {
    fetch
    if ! running connect >/dev/null; then
        free $port
        mkdir -p "$dir/tmp"
        properties >"$dir/worker.properties"
        launch connect "$(runtime)" -Djava.io.tmpdir="$dir/tmp" -Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
            "-Dlog4j2.configurationFile=file:$here/log4j2.xml" -cp "$libs/*" org.apache.kafka.connect.cli.ConnectDistributed "$dir/worker.properties"
        need curl
        await connect 300 curl -sf -o "$dir/connectors" "$url/connectors"
    fi
    say "connect: Kafka Connect $KAFKA_VERSION, Debezium JDBC sink $DEBEZIUM_VERSION, Apicurio converter $CONVERTER_VERSION, $url, pid $(running connect)"
}

case ${1:-} in
fetch) fetch ;;
start) start ;;
stop) finish TERM connect ;;
url) echo "$url" ;;
*) die "connect.sh fetch | start | stop | url" ;;
esac
