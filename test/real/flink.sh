#!/usr/bin/env bash
# Flink SQL in one process, with the connector upsert-kafka and Confluent's Avro format.
#   flink.sh fetch | query FILE
# query runs the statements of FILE and prints what they answer. It needs a JDK on PATH: flink/Query.java is compiled as it starts.
. "$(dirname "$0")/lib.sh"
libs=$REAL_CACHE/flink-$FLINK_VERSION
fetch() {
    [ -e "$libs/.complete" ] && return
    need mvn
    rm -rf "$libs"
    mvn_quiet -P flink $plugin:copy-dependencies -DoutputDirectory="$libs" -DincludeScope=runtime
    verified flink "$libs"
}
query() {
    need java
    java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=file:$here/log4j2.xml" -cp "$libs/*" "$here/flink/Query.java" "$1"
}
case ${1:-} in
fetch) fetch ;;
query) query "$2" ;;
*) die "flink.sh fetch | query FILE" ;;
esac
