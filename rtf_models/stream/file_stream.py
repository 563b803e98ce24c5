"""Alerts out of files: Avro containers and Parquet tables, named, in folders, by patterns, or dropped into a folder."""

from __future__ import annotations

import glob
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.packets import SUFFIXES
from ..data.stamp import CUTOUTS
from ..errors import MissingPackage, require
from .arrival import Arrival, EndOfStream
from .avro_packets import BrokenRecord, PacketReader
from .errors import StreamError
from .packets import FIELDS

PARQUET_ROWS = 64  # decoded at a time; an alert with its stamps is 70 kB
UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")


@dataclass(slots=True)
class Progress:
    """How far a file has been taken: `records` of it, when it had `size` bytes; `done` = to its end."""

    records: int
    size: int
    done: bool


class FileStream:
    """The alerts of files, file by file in the order of the inputs, names sorted within each.

    Args:
        inputs: files, folders (their .avro and .parquet files, at any depth, links followed) and glob patterns.
        watch: do not end: look again for new files every `poll` seconds. A file is taken once its size and time of
            change have stayed the same for `settle` seconds; names that begin with a dot or end in .tmp, .part,
            .partial are writers' business.
        images: hand over the cutouts.
        exclude: a folder that is not looked into: that of the output, should it lie within an input.

    A file that was taken to its end and has grown since is gone on with. One that has shrunk is another file of the
    same name, and read from its beginning.
    """

    def __init__(self, inputs: Sequence[str], *, watch: bool = False, poll: float = 1.0, settle: float = 1.0,
                 images: bool = True, exclude: Path | None = None):
        self.inputs, self.watch, self.poll, self.settle = list(inputs), watch, poll, settle
        self._exclude = None if exclude is None else f"{exclude.resolve()}{os.sep}"
        self._progress: dict[str, Progress] = {}
        self._changed: set[str] = set()
        self._queue: deque[str] = deque()
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._records: Iterator[dict | BrokenRecord] | None = None
        self._current = ""
        self._size = 0
        self._next_look = 0.0
        self._fields = (*FIELDS, *CUTOUTS) if images else FIELDS
        self._reader = PacketReader(self._fields)
        if not watch and not any(True for _ in self._files()):
            raise StreamError(f"{', '.join(self.inputs)}: no alerts there; expected Avro or Parquet files, folders of "
                              "them, patterns like 'night/*.avro', or --watch for files to come")

    # position

    def resume(self, positions: list[dict]) -> None:
        for position in positions:
            self._progress |= {path: Progress(*entry) for path, entry in position["files"].items()}
        self._changed.clear()

    def whole_position(self) -> dict:
        self._forget_missing()
        self._changed.clear()
        return {"files": {path: _entry(p) for path, p in self._progress.items()}}

    def changed_position(self) -> dict:
        changed = {path: _entry(self._progress[path]) for path in self._changed if path in self._progress}
        self._changed.clear()
        return {"files": changed}

    def note(self) -> str:
        if not self._current:
            return ""
        progress = self._progress[self._current]
        return f"{Path(self._current).name}, {'end' if progress.done else f'record {progress.records}'}"

    def committed(self) -> None:
        """Files need no word back."""

    def close(self) -> None:
        self._records = None

    def _forget_missing(self) -> None:
        """A file that is no longer there need not be remembered: memory follows the folder, not its past."""
        for path in [p for p in self._progress if p != self._current and not os.path.exists(p)]:
            del self._progress[path]

    # records

    def take(self, timeout: float) -> Arrival | None:
        deadline = time.monotonic() + timeout
        while True:
            if self._records is not None:
                for record in self._records:
                    return self._arrival(record)
                self._finish()
            elif self._queue:
                if (broken := self._open(self._queue.popleft())) is not None:
                    return broken
            elif not self._look(deadline):
                return None

    def _arrival(self, record: dict | BrokenRecord) -> Arrival:
        progress = self._progress[self._current]
        where = {"file": self._current, "record": progress.records}
        self._changed.add(self._current)
        if not isinstance(record, BrokenRecord):
            progress.records += 1
            return Arrival(where, record)
        progress.records += record.count
        if record.last:  # said now: a commit must not come between this news and the end that it is
            self._finish()
        return Arrival(where, None, record.reason, max(record.count, 1))

    def _finish(self) -> None:
        self._records = None
        progress = self._progress[self._current]
        progress.done, progress.size = True, self._size
        self._changed.add(self._current)

    def _open(self, path: str) -> Arrival | None:
        """Begins a file, or goes on with it; an Arrival if it cannot be read."""
        progress = self._progress.setdefault(path, Progress(0, 0, False))
        self._current = path
        try:
            size = os.path.getsize(path)
        except OSError as error:
            self._progress.pop(path)
            self._current = ""
            return Arrival({"file": path, "record": 0}, None, f"file cannot be read: {error}")
        if size < progress.size:
            progress.records = 0
        self._size = progress.size = size
        progress.done = False
        self._records = self._read(path, progress.records)
        return None

    def _read(self, path: str, skip: int) -> Iterator[dict | BrokenRecord]:
        try:
            if path.endswith(".parquet"):
                yield from _parquet_packets(path, skip, self._fields)
            else:
                with open(path, "rb") as file:
                    yield from self._reader.packets(file, skip)
        except MissingPackage:
            raise
        except Exception as error:  # a damaged file fails in its library's own ways; the stream goes on
            yield BrokenRecord(0, f"file cannot be read: {type(error).__name__}: {error}")

    # which files

    def _look(self, deadline: float) -> bool:
        """Fills the queue. False: nothing came before the deadline. Raises EndOfStream."""
        if not self.watch:
            self._queue = deque(path for path in self._files() if not self._is_done(path))
            if not self._queue:
                raise EndOfStream
            return True
        while True:
            if (now := time.monotonic()) >= self._next_look:
                self._next_look = now + self.poll
                self._queue = deque(self._settled(now))
                if self._queue:
                    return True
            if now >= deadline:
                return False
            time.sleep(max(0.0, min(deadline, self._next_look) - now))

    def _is_done(self, path: str) -> bool:
        progress = self._progress.get(path)
        try:
            return progress is not None and progress.done and progress.size == os.path.getsize(path)
        except OSError:
            return True

    def _settled(self, now: float) -> list[str]:
        """Files to take that have kept their size and time of change for long enough."""
        seen, ready = {}, []
        for path in self._files():
            if self._is_done(path):
                continue
            try:
                status = os.stat(path)
            except OSError:
                continue
            mark = (status.st_size, status.st_mtime_ns)
            known = self._seen.get(path)
            seen[path] = known if known is not None and known[:2] == mark else (*mark, now)
            if now - seen[path][2] >= self.settle:
                ready.append(path)
        self._seen = seen
        return ready

    def _files(self) -> Iterator[str]:
        given: set[str] = set()
        for text in self.inputs:
            for path in _expanded(text, self.watch):
                if path not in given and not (self._exclude and path.startswith(self._exclude)):
                    given.add(path)
                    yield path


def _entry(progress: Progress) -> list:
    return [progress.records, progress.size, progress.done]


def _expanded(text: str, watch: bool) -> list[str]:
    """Absolute paths of an input's files, sorted. Raises StreamError for a file that is not there."""
    if os.path.isdir(text):
        return _inside(text)
    if os.path.isfile(text):
        return [os.path.realpath(text)]
    if glob.has_magic(text):
        found = [p for p in glob.glob(text, recursive=True) if not _unfinished(os.path.basename(p))]
        return sorted(os.path.realpath(p) for p in found if os.path.isfile(p))
    if watch:
        return []
    raise StreamError(f"{text}: no such file or folder; expected alerts in .avro or .parquet")


def _inside(folder: str) -> list[str]:
    """Real paths of the alert files of a folder, sorted. Links are followed; a folder that is met twice (by a link to
    one above it, say) is looked into once.
    """
    found, seen, waiting = set(), set(), [os.path.realpath(folder)]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        try:
            entries = list(os.scandir(here))
        except OSError:  # it went away, or is not ours to read
            continue
        for entry in entries:
            path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if _is(entry.is_dir):
                waiting.append(path)
            elif entry.name.endswith(SUFFIXES) and not _unfinished(entry.name) and _is(entry.is_file):
                found.add(path)
    return sorted(found)


def _is(question: Callable[[], bool]) -> bool:
    """What an entry says of itself; False where its link goes in circles."""
    try:
        return question()
    except OSError:
        return False


def _unfinished(name: str) -> bool:
    return name.startswith(".") or name.endswith(UNFINISHED)


def _parquet_packets(path: str, skip: int, fields: Sequence[str]) -> Iterator[dict]:
    """Rows of a table as packets, a few at a time; those skipped are not decoded, and a bad row is only itself."""
    pq = require("pyarrow.parquet", "rtf")
    with pq.ParquetFile(path) as table:
        columns = [name for name in fields if name in table.schema_arrow.names]
        for batch in table.iter_batches(PARQUET_ROWS, columns=columns):
            if batch.num_rows <= skip:
                skip -= batch.num_rows
                continue
            yield from batch.slice(skip).to_pylist()
            skip = 0
