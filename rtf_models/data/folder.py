"""A split of a data folder as a sequence of sources; broken files are left out and listed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..classes import ClassScheme, scheme_of
from ..errors import DataError, NoData
from .compact import feature_names_of, read_compact
from .feature_stats import STATS_FILE
from .npz_member import keys, open_npz
from .photo_events import read_photo_events
from .source import Source

KINDS = ("compact", "photo_events")
CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Broken:
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class FolderNames:
    """Calling it gives a folder's 114 feature names, looked up when first asked for; None if no file has them."""

    paths: tuple[Path, ...]

    @functools.cached_property
    def _names(self) -> list[str] | None:
        return feature_names_of(self.paths)

    def __call__(self) -> list[str] | None:
        return self._names


class SourceFolder(Sequence):
    """The sources of npz files, in the order of the file names.

    All files are read once when it is made, so what is broken is known then. Photometry, metadata and features stay in
    memory up to `cache_bytes`; beyond that they are read again when asked for. Stamps are always read when
    asked for, and a damaged one is a DataError then.

    Attributes:
        folder, kind ("compact" | "photo_events"), scheme, broken: list of Broken.
        object_ids: list of str; labels: (N,) int64, fine ids, -1 unknown; lengths: (N,) int64, detections.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], kind: str, scheme: ClassScheme, *,
                 cache_bytes: int = CACHE_BYTES, progress: bool = False):
        self.folder, self.kind, self.scheme = folder, kind, scheme
        self.broken: list[Broken] = []
        self.object_ids: list[str] = []
        self._read = _reader(kind, paths)
        self._paths: list[Path] = []
        self._cache: list[Source | None] = []
        labels, lengths, bytes_left = [], [], cache_bytes
        for path in _shown(paths, progress, folder):
            try:
                source = self._read(path)
            except DataError as error:
                self.broken.append(Broken(path, str(error)))
                continue
            bytes_left -= _bytes_of(source)
            self._paths.append(path)
            self._cache.append(source if bytes_left >= 0 else None)
            self.object_ids.append(source.object_id)
            labels.append(source.label if scheme.coarse_id(source.label) >= 0 else -1)
            lengths.append(len(source))
        if not self._paths:
            raise DataError(folder, None, f"all {len(paths)} files are broken, the first: {self.broken[0].reason}",
                            f"npz files of format {kind}")
        self.labels, self.lengths = np.array(labels, np.int64), np.array(lengths, np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        index = range(len(self))[index]
        source = self._cache[index]
        return self._read(self._paths[index]) if source is None else source

    def __repr__(self) -> str:
        left_out = f", {len(self.broken)} broken left out" if self.broken else ""
        return f"<SourceFolder {self.folder}: {len(self)} sources ({self.kind}){left_out}>"


def _reader(kind: str, paths: Sequence[Path]) -> Callable[[Path], Source]:
    if kind == "photo_events":
        return read_photo_events
    return functools.partial(read_compact, names=FolderNames(tuple(paths)))


def _bytes_of(source: Source) -> int:
    arrays = (source.time, source.band, source.mag, source.mag_err, source.metadata, source.features)
    return 2000 + sum(x.nbytes for x in arrays if x is not None)


def _shown(paths, progress: bool, folder: Path):
    if not progress:
        return paths
    from tqdm import tqdm

    return tqdm(paths, desc=f"reading {folder.name}", unit="file", leave=False)


def split_files(folder: Path) -> list[Path]:
    """The npz files of a split folder that may be sources, sorted; the statistics file is none.

    Raises:
        NoData: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise NoData(folder, None, "no such folder", "a split of a data folder (train, val, test) with npz files")
    paths = sorted(x for x in folder.glob("*.npz") if x.name != STATS_FILE and not x.name.startswith("."))
    if not paths:
        raise NoData(folder, None, "no npz files in it", "one a source")
    return paths


def kind_of(paths: Sequence[Path]) -> str:
    """"compact" or "photo_events", by the keys of the first file that can be read."""
    reason = ""
    for path in paths:
        try:
            with open_npz(path) as archive:
                present = set(keys(archive))
        except DataError as error:
            reason = reason or str(error)
            continue
        if "x" in present:
            return "compact"
        if "data" in present:
            return "photo_events"
    found = f"no file of a known format among {len(paths)}" + (reason and f" ({reason})")
    raise DataError(paths[0].parent, None, found, "npz files with 'x' (compact) or 'data' (photo_events)")


def open_split(data_dir: str | Path, split: str, *, kind: str | None = None, cache_bytes: int = CACHE_BYTES,
               progress: bool = False) -> SourceFolder:
    """The sources of `<data_dir>/<split>/*.npz`, compact or photo_events files.

    Args:
        kind: "compact" | "photo_events"; default: what the files are.
        cache_bytes: photometry that stays in memory.
        progress: a bar on stderr.

    Raises:
        NoData: no such folder or nothing in it. DataError: all files are broken, or of no known format.
    """
    if kind is not None and kind not in KINDS:
        raise DataError(data_dir, "kind", repr(kind), " | ".join(KINDS))
    folder = Path(data_dir) / split
    paths = split_files(folder)
    return SourceFolder(folder, paths, kind or kind_of(paths), scheme_of(data_dir), cache_bytes=cache_bytes,
                        progress=progress)
