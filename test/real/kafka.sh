#!/usr/bin/env bash
# Apache Kafka in KRaft mode on loopback, each node broker and controller.
#   kafka.sh fetch | start [NODE] | stop [NODE] | kill [NODE] | brokers
# Without NODE: all REAL_NODES of them. What runs is left alone, what is down comes back on its data. Node i has the ports
# REAL_PORT+10·i (plain text, an administrator's door), +1 (controller), +2 (SASL_SSL: SCRAM, users producer and sinker, nothing
# allowed until an ACL says so). The CA is in $REAL_RUN/kafka/tls/ca.pem.
. "$(dirname "$0")/lib.sh"
shared=$(folder kafka) libs=$REAL_CACHE/kafka-$KAFKA_VERSION
port() { echo $((REAL_PORT + 10 * $1)); }
nodes() { seq "$REAL_NODES"; }
chosen() { if [ -n "${1:-}" ]; then echo "$1"; else nodes; fi; }

fetch() {
    runtime >/dev/null
    [ -e "$libs/.complete" ] && return
    need mvn
    rm -rf "$libs"
    mvn_quiet -P kafka $plugin:copy-dependencies -DoutputDirectory="$libs" -DincludeScope=runtime
    verified kafka "$libs"
}

identity() { head -c 16 /dev/urandom | base64 | tr '+/' 'xy' | cut -c1-22; } # what Kafka calls a uuid

prepare() { # what the nodes share: ids, certificates
    mkdir -p "$shared/tls"
    [ -e "$shared/ids" ] || { echo "cluster=$(identity)"; for i in 1 2 3; do echo "directory$i=$(identity)"; done; } >"$shared/ids"
    [ -e "$shared/tls/server.pem" ] && return
    need openssl
    (cd "$shared/tls"
    quiet() { openssl "$@" 2>>openssl.log; }
    quiet req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=harveststream test" -keyout ca.key -out ca.pem
    quiet req -newkey rsa:2048 -nodes -subj /CN=kafka -keyout server.key -out server.csr
    quiet x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.crt -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
    quiet pkcs8 -topk8 -nocrypt -in server.key | cat - server.crt ca.pem >server.pem) # Kafka reads PKCS#8 only
}

voters() { # how the first controllers find each other; with 1 as ADDRESS only
    local list='' i d
    for i in $(nodes); do
        d=directory$i
        if [ "${1:-}" = 1 ]; then list+=,127.0.0.1:$(($(port "$i") + 1)); else list+=,$i@127.0.0.1:$(($(port "$i") + 1)):${!d}; fi
    done
    echo "${list#,}"
}

properties() { # NODE
    local p replicas=$REAL_NODES insync=$((REAL_NODES > 1 ? 2 : 1)); p=$(port "$1")
    cat <<P
process.roles=broker,controller
node.id=$1
controller.quorum.bootstrap.servers=$(voters 1)
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:$p,CONTROLLER://127.0.0.1:$((p + 1)),SECURE://127.0.0.1:$((p + 2))
advertised.listeners=PLAIN://127.0.0.1:$p,SECURE://127.0.0.1:$((p + 2))
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=$shared/tls/server.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs=$(folder "kafka-$1")/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$insync
offsets.topic.replication.factor=$replicas
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$insync
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$insync
# Small: few internal partitions and threads, a cleaner's buffer that fits the heap.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
# Quick: what a test would otherwise wait for.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.backoff.ms=1000
log.retention.check.interval.ms=5000
broker.heartbeat.interval.ms=500
# After a kill a node waits for its own old session to end.
broker.session.timeout.ms=3000
${KAFKA_EXTRA:-}
P
}

java() { # run a class of Kafka's
    local heap=$1; shift
    printf '%s\n' "$(runtime)" -Xms16m "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
        "-Dlog4j2.configurationFile=file:$here/log4j2.xml" -cp "$libs/*" "$@"
}

start() {
    fetch; prepare
    . "$shared/ids"
    local i name dir command format u
    for i in $(chosen "${1:-}"); do
        name=kafka-$i dir=$(folder "kafka-$i")
        running "$name" >/dev/null && continue
        free "$(port "$i")"
        mkdir -p "$dir"; properties "$i" >"$dir/server.properties"
        if [ ! -e "$dir/data/meta.properties" ]; then
            mapfile -t format < <(java 64m kafka.tools.StorageTool format -t "$cluster" -c "$dir/server.properties" --initial-controllers "$(voters)")
            for u in producer sinker; do format+=(--add-scram "SCRAM-SHA-512=[name=$u,password=$(kafka_password $u)]"); done
            "${format[@]}" >"$dir/format.log" 2>&1 || { tail -n 5 "$dir/format.log" >&2; die "formatting $name"; }
        fi
        mapfile -t command < <(java "$REAL_HEAP" kafka.Kafka "$dir/server.properties")
        launch "$name" "${command[@]}"
    done
    for i in $(chosen "${1:-}"); do # the port opens when the broker is registered, caught up and unfenced
        await "kafka-$i" 180 listens "$(port "$i")"
        say "kafka-$i: Apache Kafka $KAFKA_VERSION, 127.0.0.1:$(port "$i"), TLS and SCRAM :$(($(port "$i") + 2)), pid $(running "kafka-$i")"
    done
}

names() { for i in $(chosen "${1:-}"); do echo "kafka-$i"; done; }
case ${1:-} in
fetch) fetch ;;
start) start "${2:-}" ;;
stop) finish TERM $(names "${2:-}") ;;
kill) finish KILL $(names "${2:-}") ;;
brokers) for i in $(nodes); do printf '127.0.0.1:%s\n' "$(port "$i")"; done | paste -sd, ;;
*) die "kafka.sh fetch | start [NODE] | stop [NODE] | kill [NODE] | brokers" ;;
esac
