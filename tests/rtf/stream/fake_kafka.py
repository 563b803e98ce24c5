"""A broker in memory, and a client with the part of confluent_kafka's interface that the stream uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace


class KafkaException(Exception):
    pass


class KafkaError:
    _PARTITION_EOF = -191

    def __init__(self, code=0, text="", retriable=False, fatal=False):
        self._code, self._text, self._retriable, self._fatal = code, text, retriable, fatal

    def code(self):
        return self._code

    def str(self):
        return self._text

    def name(self):
        return f"E{self._code}"

    def retriable(self):
        return self._retriable

    def fatal(self):
        return self._fatal


@dataclass
class TopicPartition:
    topic: str
    partition: int = -1
    offset: int = -1001


@dataclass
class Message:
    place: tuple[str, int, int]
    content: bytes | None = None
    failure: KafkaError | None = None

    def error(self):
        return self.failure

    def topic(self):
        return self.place[0]

    def partition(self):
        return self.place[1]

    def offset(self):
        return self.place[2]

    def value(self):
        return self.content


@dataclass
class Broker:
    """logs: (topic, partition) -> {offset: message}; low: first offset that is still there."""

    logs: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    low: dict[tuple[str, int], int] = field(default_factory=dict)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    settings: list[dict] = field(default_factory=list)
    failures: list[KafkaError] = field(default_factory=list)
    down: bool = False
    repeat: bool = False  # hand the last message over twice, as after a lost connection

    def put(self, topic: str, partition: int, *messages: bytes, gap: int = 0) -> None:
        log = self.logs.setdefault((topic, partition), {})
        for message in messages:
            log[self.high(topic, partition) + gap] = message

    def high(self, topic: str, partition: int) -> int:
        return max(self.logs.get((topic, partition), {}), default=-1) + 1

    def client(self) -> SimpleNamespace:
        """Stands for the module confluent_kafka."""
        return SimpleNamespace(Consumer=lambda settings: Consumer(self, settings), TopicPartition=TopicPartition,
                               KafkaException=KafkaException, KafkaError=KafkaError)


class Consumer:
    def __init__(self, broker: Broker, settings: dict):
        if "bootstrap.servers" not in settings:
            raise KafkaException("no servers")
        self.broker, self.next, self.closed = broker, {}, False
        broker.settings.append(settings)

    def list_topics(self, topic=None, timeout=-1):
        if self.broker.down:
            raise KafkaException("no connection")
        topics: dict[str, SimpleNamespace] = {}
        for name, partition in self.broker.logs:
            topics.setdefault(name, SimpleNamespace(partitions={})).partitions[partition] = None
        return SimpleNamespace(topics=topics)

    def get_watermark_offsets(self, place, timeout=-1):
        key = (place.topic, place.partition)
        return self.broker.low.get(key, 0), self.broker.high(*key)

    def assign(self, places):
        self.next = {(p.topic, p.partition): p.offset for p in places}

    def consume(self, num_messages=1, timeout=-1):
        if self.broker.failures:
            return [Message(("", -1, -1), failure=self.broker.failures.pop(0))]
        out: list[Message] = []
        for key in sorted(self.next):
            for offset in sorted(self.broker.logs.get(key, {})):
                if offset >= self.next[key] and len(out) < min(num_messages, 5):
                    out.append(Message((*key, offset), self.broker.logs[key][offset]))
                    self.next[key] = offset + 1
        return out + out[-1:] if self.broker.repeat else out

    def commit(self, offsets=None, asynchronous=True):
        if self.broker.down:
            raise KafkaException("no connection")
        assert not asynchronous
        self.broker.committed.update({(p.topic, p.partition): p.offset for p in offsets})

    def close(self):
        self.closed = True
