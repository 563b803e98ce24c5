"""Alerts out of Kafka topics. The journal's offsets are what counts; those in the broker are for monitoring only.

Partitions are assigned by us and not by the consumer group: a group would hand them to another process, whose journal
knows nothing of what ours has written. To share a topic between processes give each its partitions (--partitions) and
its own output folder.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qsl, unquote, urlsplit

from ..data.stamp import CUTOUTS
from ..errors import require
from .arrival import Arrival
from .avro_packets import BrokenRecord, PacketReader
from .errors import StreamError
from .packets import FIELDS

SCHEME = "kafka"
FETCH = 64  # messages asked for at a time: 64 alerts of 70 kB
METADATA_SECONDS = 60.0  # between looks for new partitions and topics
REPLY_SECONDS = 30.0
FROM = ("earliest", "latest")


@dataclass(frozen=True)
class KafkaAddress:
    """kafka://host[:port][,host:port]/topic[,topic...][?client.setting=value&...]; ^pattern for topics by pattern."""

    servers: str
    topics: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> KafkaAddress:
        """Raises StreamError."""
        parts = urlsplit(text)
        topics = tuple(t for t in unquote(parts.path.lstrip("/")).split(",") if t)
        if parts.scheme != SCHEME or not parts.netloc or not topics:
            raise StreamError(f"{text}: expected kafka://host:port/topic")
        for topic in topics:
            if topic.startswith("^"):
                try:
                    re.compile(topic)
                except re.error as error:
                    raise StreamError(f"{text}: '{topic}' is not a regular expression ({error})") from error
        return cls(parts.netloc, topics, dict(parse_qsl(parts.query)))


def read_settings(path: Path) -> dict[str, str]:
    """Client settings, one `name=value` a line, # comments: passwords stay off the command line. Raises StreamError."""
    settings = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StreamError(f"{path}: cannot be read ({error}); expected a file of Kafka client settings") from error
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise StreamError(f"{path}, line {number}: '{line}'; expected name=value")
            settings[name.strip()] = value.strip()
    return settings


class KafkaStream:
    """The alerts of topics, as they come. Each message is an Avro container (as ZTF sends them).

    Args:
        address: brokers, topics, client settings.
        begin: where partitions begin that the journal does not know: "earliest" or "latest".
        partitions: only these; None: all, also such as are added later.
        skip_lost: go on where the broker has already deleted alerts that the journal has not seen; else that is an
            error. They are in the dead letters.
        settings: further client settings; group.id default "rtf-encode".
        images: hand over the cutouts.
        client: the confluent_kafka module, or something with its interface.
    """

    def __init__(self, address: KafkaAddress, *, begin: str = "earliest", partitions: Sequence[int] | None = None,
                 skip_lost: bool = False, settings: Mapping[str, str] | None = None, images: bool = True,
                 client: ModuleType | None = None):
        if begin not in FROM:
            raise StreamError(f"begin '{begin}': expected one of {', '.join(FROM)}")
        self.address, self.begin, self.skip_lost = address, begin, skip_lost
        self.partitions = None if partitions is None else frozenset(partitions)
        self._client = client or require("confluent_kafka", "kafka")
        own = {"bootstrap.servers": address.servers, "group.id": "rtf-encode"}
        fixed = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error"}
        try:
            self._consumer = self._client.Consumer({**own, **address.settings, **(settings or {}), **fixed})
        except self._client.KafkaException as error:
            raise StreamError(f"{address.servers}: Kafka client cannot be set up ({error})") from error
        self._reader = PacketReader((*FIELDS, *CUTOUTS) if images else FIELDS)
        # (topic, partition) -> [offset of the next message, records already taken of it]
        self._next: dict[tuple[str, int], list[int]] = {}
        self._assigned: set[tuple[str, int]] = set()
        self._messages: deque = deque()
        self._news: deque[Arrival] = deque()
        self._records: deque[dict | BrokenRecord] = deque()  # of the message that is open
        self._key: tuple[str, int] = ("", -1)
        self._asked: dict[tuple[str, int], int] = {}
        self._looked = float("-inf")

    # position

    def resume(self, positions: list[dict]) -> None:
        for position in positions:
            for name, (offset, taken) in position["offsets"].items():
                topic, _, partition = name.rpartition("/")
                self._next[topic, int(partition)] = [offset, taken]
        self._look_for_partitions()

    def whole_position(self) -> dict:
        self._asked = {key: offset for key, (offset, _) in self._next.items()}
        return {"offsets": {f"{topic}/{n}": list(at) for (topic, n), at in sorted(self._next.items())}}

    changed_position = whole_position  # a few numbers

    def note(self) -> str:
        return ", ".join(f"{topic}/{n}@{at[0]}" for (topic, n), at in sorted(self._next.items())[:4])

    def committed(self) -> None:
        """Tells the broker, for whoever watches the group's lag. It matters to nobody if that fails."""
        offsets = [self._client.TopicPartition(t, n, offset) for (t, n), offset in self._asked.items() if offset >= 0]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except self._client.KafkaException as error:
                print(f"note: the broker did not take our offsets ({error}); the journal has them", file=sys.stderr)

    def close(self) -> None:
        self._consumer.close()

    # records

    def take(self, timeout: float) -> Arrival | None:
        deadline = time.monotonic() + timeout
        while True:
            if self._news:
                return self._news.popleft()
            if self._records:
                return self._arrival(self._records.popleft())
            if self._messages:
                self._open(self._messages.popleft())
            else:
                self._look_for_partitions()
                self._fetch(max(0.0, deadline - time.monotonic()))
                if not self._messages and time.monotonic() >= deadline:
                    return None

    def _fetch(self, timeout: float) -> None:
        try:
            self._messages.extend(self._consumer.consume(FETCH, timeout=timeout))
        except self._client.KafkaException as error:
            raise StreamError(f"{self.address.servers}: Kafka client failed ({error})") from error

    def _open(self, message) -> None:
        if (error := message.error()) is not None:
            if error.code() == getattr(self._client.KafkaError, "_PARTITION_EOF", None) or (
                error.retriable() and not error.fatal()
            ):
                return
            raise StreamError(f"{self.address.servers}: {error.str()} ({error.name()})")
        self._key = (message.topic(), message.partition())
        at = self._next.setdefault(self._key, [message.offset(), 0])
        if message.offset() < at[0]:
            return  # before what is committed: the client may repeat itself after an error
        if message.offset() > at[0]:  # holes are normal: transaction markers, compaction
            at[:] = [message.offset(), 0]
        self._records.extend(self._reader.packets(io.BytesIO(message.value() or b""), at[1]))
        self._close_message()

    def _arrival(self, record: dict | BrokenRecord) -> Arrival:
        at = self._next[self._key]
        where = {"topic": self._key[0], "partition": self._key[1], "offset": at[0]}
        broken = isinstance(record, BrokenRecord)
        at[1] += record.count if broken else 1
        self._close_message()
        return Arrival(where, None, record.reason, max(record.count, 1)) if broken else Arrival(where, record)

    def _close_message(self) -> None:
        """The message behind its last record is the next one's beginning."""
        if not self._records:
            self._next[self._key] = [self._next[self._key][0] + 1, 0]

    # partitions

    def _look_for_partitions(self) -> None:
        """Takes up partitions that are new to us: all at the beginning, later such as were added."""
        now = time.monotonic()
        if now - self._looked < METADATA_SECONDS:
            return
        first, self._looked = self._looked == float("-inf"), now
        found = self._found()
        if first and not found:
            only = "" if self.partitions is None else f" with partitions {sorted(self.partitions)}"
            raise StreamError(f"{self.address.servers}: no topic {', '.join(self.address.topics)}{only}; expected one")
        if new := found - self._assigned:
            self._assign(new, self.begin if first else "earliest")

    def _found(self) -> set[tuple[str, int]]:
        try:
            topics = self._consumer.list_topics(timeout=REPLY_SECONDS).topics
        except self._client.KafkaException as error:
            if self._assigned:
                return set()  # the client reconnects by itself
            raise StreamError(f"{self.address.servers}: no answer ({error}); expected a Kafka broker") from error
        names = [name for name in topics for wanted in self.address.topics
                 if name == wanted or (wanted.startswith("^") and re.match(wanted, name))]
        return {(name, n) for name in set(names) for n in topics[name].partitions
                if self.partitions is None or n in self.partitions}

    def _assign(self, new: set[tuple[str, int]], begin: str) -> None:
        """Adds partitions at their places: the journal's, else the beginning or the end of what the broker has."""
        for key in sorted(new):
            low, high = self._ends(key)
            at = self._next.setdefault(key, [low if begin == "earliest" else high, 0])
            if at[0] < low:
                self._lose(key, at, low)
            elif at[0] > high:
                raise StreamError(f"{key[0]}/{key[1]}: the journal is at offset {at[0]}, the broker ends at {high}: "
                                  "the topic was made anew; expected that of the journal, or another output folder")
        self._assigned |= new
        places = [self._client.TopicPartition(*key, self._next[key][0]) for key in sorted(self._assigned)]
        self._messages.clear()  # assigning anew starts every partition at its place
        self._consumer.assign(places)

    def _ends(self, key: tuple[str, int]) -> tuple[int, int]:
        """First offset that the broker still has, and the one that comes next."""
        try:
            return self._consumer.get_watermark_offsets(self._client.TopicPartition(*key), timeout=REPLY_SECONDS)
        except self._client.KafkaException as error:
            raise StreamError(f"{self.address.servers}: no answer on {key[0]}/{key[1]} ({error})") from error

    def _lose(self, key: tuple[str, int], at: list[int], low: int) -> None:
        said = f"{key[0]}/{key[1]}: alerts at offsets {at[0]} to {low - 1} were deleted by the broker before being read"
        if not self.skip_lost:
            raise StreamError(f"{said}; expected them there, or --skip-lost to go on without them")
        print(f"warning: {said}", file=sys.stderr)
        where = {"topic": key[0], "partition": key[1], "offset": at[0]}
        self._news.append(Arrival(where, None, "deleted by the broker before it was read", low - at[0]))
        at[:] = [low, 0]
