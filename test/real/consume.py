"""Reads topics to their ends as docs/CONSUMERS.md tells a Python consumer to, and prints what lives: a JSON object a row.

consume.py BROKERS REGISTRY USER:PASSWORD TOPIC...
"""

import datetime
import decimal
import json
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def plain(value):
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    raise TypeError(type(value))


def read(consumer, decode, topic):
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    ends, rows, records = set(), {}, 0
    while len(ends) < len(partitions):
        for message in consumer.consume(1000, 1.0):
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise SystemExit(message.error())
                ends.add(message.partition())
                continue
            records += 1
            key = decode(message.key(), SerializationContext(topic, MessageField.KEY))
            key = (key["account_id"], key["id"])
            if message.value() is None:
                rows.pop(key, None)
            else:
                rows[key] = decode(message.value(), SerializationContext(topic, MessageField.VALUE))
    return rows, records


def main(brokers, registry, login, *topics):
    decode = AvroDeserializer(SchemaRegistryClient({"url": registry, "basic.auth.user.info": login}))
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "unused",  # must be set, although no group is joined
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })
    for topic in topics:
        rows, records = read(consumer, decode, topic)
        for row in rows.values():
            print(json.dumps({"topic": topic, "row": row}, default=plain))
        print(json.dumps({"topic": topic, "records": records}))


main(*sys.argv[1:])
