"""Alert packets out of Avro object containers, one block at a time, with each schema parsed once.

Alerts come one to a container, as a file or as a Kafka message, and each brings its 25 kB of schema: parsing that costs
more than decoding the alert. So the container is read here (magic, metadata, sync marker, then blocks of count, size,
data, sync marker: Apache Avro 1.11 specification, "Object Container Files"), and fastavro decodes the records.
"""

from __future__ import annotations

import io
import json
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import BinaryIO

from ..errors import MissingPackage, require

MAGIC = b"Obj\x01"
SYNC = 16
LARGEST_BLOCK = 1 << 30
KEPT_SCHEMAS = 64


class BrokenRecord:
    """Stands for records that could not be decoded: `count` of them, for one `reason`.

    count 0: nobody knows how many; the rest of the file is lost (`last`), and should it be whole one day, it is read
    from here.
    """

    def __init__(self, count: int, reason: str):
        self.count, self.reason = count, reason

    @property
    def last(self) -> bool:
        return self.count == 0


class PacketReader:
    """Decodes containers; keeps the schemas it has seen last.

    wanted: names of the fields that are asked for; None: all. Fields are decoded in their order up to the last wanted
    one, and the rest of a record is passed over where it is the last of its block (in ZTF's packets forced photometry
    and cutouts come last, and there is one record). A reader's schema, Avro's own way to leave fields out, was measured
    slower than decoding them.
    """

    def __init__(self, wanted: Collection[str] | None = None):
        self.wanted = wanted
        self._fastavro = require("fastavro", "rtf")
        self._schemas: OrderedDict[bytes, tuple] = OrderedDict()

    def packets(self, file: BinaryIO, skip: int = 0) -> Iterator[dict | BrokenRecord]:
        """The records of a container, after the first `skip`.

        A record that cannot be decoded breaks the rest of its block, the stream goes on with the next block; a header
        or a block structure that is damaged ends the container. Each gives one BrokenRecord. Never raises for damaged
        content.
        """
        try:
            meta, sync = _header(file)
            schema = self._parsed(meta)
            codec = meta.get("avro.codec", b"null").decode()
            if codec not in ("null", "deflate"):
                yield from self._by_fastavro(file, skip)
                return
        except MissingPackage:
            raise
        except Exception as error:  # a broken schema fails in fastavro's own ways
            yield BrokenRecord(0, f"no Avro container: {_said(error)}")
            return
        while True:
            try:
                block = _block(file, sync, codec, skip)
            except (ValueError, EOFError, OSError, zlib.error) as error:
                yield BrokenRecord(0, f"container damaged: {_said(error)}")
                return
            if block is None:
                return
            count, data = block
            if count <= skip:
                skip -= count
                continue
            yield from self._records(data, count, skip, schema)
            skip = 0

    def _records(self, data: bytes, count: int, skip: int, schema) -> Iterator[dict | BrokenRecord]:
        decode, stream = self._fastavro.schemaless_reader, io.BytesIO(data)
        whole, beginning = schema
        for number in range(count):
            try:
                packet = decode(stream, beginning if number == count - 1 else whole, None)
            except Exception as error:  # fastavro's C code lets through whatever the bytes provoke
                yield BrokenRecord(count - max(number, skip), f"record cannot be decoded: {_said(error)}")
                return
            if number >= skip:
                yield packet

    def _parsed(self, meta: dict[str, bytes]) -> tuple:
        text = meta["avro.schema"]
        found = self._schemas.get(text)
        if found is None:
            found = (self._fastavro.parse_schema(json.loads(text)),
                     self._fastavro.parse_schema(self._beginning(json.loads(text))))
            self._schemas[text] = found
            if len(self._schemas) > KEPT_SCHEMAS:
                self._schemas.popitem(last=False)
        return found

    def _beginning(self, schema):
        """The schema of a record up to the last wanted field."""
        if self.wanted is None or not isinstance(schema, dict) or schema.get("type") != "record":
            return schema
        last = max((k for k, f in enumerate(schema["fields"]) if f["name"] in self.wanted), default=-1)
        return schema | {"fields": schema["fields"][: last + 1]}

    def _by_fastavro(self, file: BinaryIO, skip: int) -> Iterator[dict | BrokenRecord]:
        """For the codecs that only fastavro knows."""
        file.seek(0)
        try:
            for number, packet in enumerate(self._fastavro.reader(file)):
                if number >= skip:
                    yield packet
        except Exception as error:
            yield BrokenRecord(0, f"container damaged: {_said(error)}")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _header(file: BinaryIO) -> tuple[dict[str, bytes], bytes]:
    """Metadata and sync marker. Raises ValueError, EOFError."""
    if (magic := file.read(4)) != MAGIC:
        raise ValueError(f"begins with {magic!r}, expected {MAGIC!r}")
    meta: dict[str, bytes] = {}
    while count := _long(file):
        if count < 0:  # a negative count is followed by the block's size in bytes
            count = -count
            _long(file)
        for _ in range(count):
            key = _bytes(file).decode()
            meta[key] = _bytes(file)
    return meta, _exactly(file, SYNC)


def _block(file: BinaryIO, sync: bytes, codec: str, skip: int) -> tuple[int, bytes] | None:
    """Count and data of the next block (no data if all of it is to be skipped); None at the end."""
    first = file.read(1)
    if not first:
        return None
    count, size = _long(file, first), _long(file)
    if count < 0 or not 0 <= size <= LARGEST_BLOCK:
        raise ValueError(f"a block of {count} records in {size} bytes")
    data = _exactly(file, size)
    if _exactly(file, SYNC) != sync:
        raise ValueError("a block without its sync marker")
    if count <= skip:
        return count, b""
    return count, zlib.decompress(data, -15) if codec == "deflate" else data


def _long(file: BinaryIO, first: bytes = b"") -> int:
    """A zig-zag number of variable length."""
    value = shift = 0
    while True:
        byte = first or _exactly(file, 1)
        first = b""
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")


def _bytes(file: BinaryIO) -> bytes:
    size = _long(file)
    if not 0 <= size <= LARGEST_BLOCK:
        raise ValueError(f"a string of {size} bytes")
    return _exactly(file, size)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError(f"ends {size - len(data)} bytes early")
    return data

