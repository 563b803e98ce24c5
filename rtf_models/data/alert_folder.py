"""Folders of alert packets: which object is in which files, and its source out of them."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..classes import APPLECIDER, ClassScheme, scheme_of
from ..errors import DataError, NoData
from .alerts import source_from_alerts
from .folder import Broken
from .input_files import InputState
from .npz_member import open_npz, read_member
from .packets import NPY, SUFFIXES, parquet_ids, read_packets
from .source import Source
from .splits import is_plain_name, read_splits, stratified_split, temporal_split
from .stamp import packet_stamps
from .writing import Job, Loaded, Outcome


@dataclass(frozen=True)
class AlertObject:
    """Reads one object's packets out of its files; calling it gives the source.

    Attributes:
        files: that hold packets of it; of shared files only its own packets are taken.
        label, use_history, keep_negative, images: as for `source_from_alerts`.
    """

    object_id: str
    files: tuple[Path, ...]
    label: int = -1
    use_history: bool = True
    keep_negative: bool = False
    images: bool = True

    def state(self) -> InputState:
        """What its files are now: another state asks for the source to be written again."""
        return InputState.of(self.label, self.files)

    def packets(self) -> list[dict]:
        """In the order of the files."""
        found = ((_by_object(path), _key(path, self.object_id)) for path in self.files)
        return [packet for packets, key in found for packet in packets.get(key, ())]

    def stamps(self, number: int) -> np.ndarray:
        """(3, 63, 63) of packet `number`; reads the files again."""
        return packet_stamps(self.packets()[number])

    def source(self, notes: Counter | None = None, *, keep_stamps: bool = False) -> Source:
        """The light curve; its stamps stay in memory, compressed, or are read again when they are asked for."""
        return source_from_alerts(self.object_id, self.packets(), use_history=self.use_history, label=self.label,
                                  keep_negative=self.keep_negative, images=self.images, notes=notes,
                                  stamps=None if keep_stamps else self.stamps)

    def __call__(self) -> Loaded:
        notes: Counter = Counter()
        return Loaded(self.source(notes, keep_stamps=True), notes)


def _key(path: Path, object_id: str) -> str:
    return "" if path.suffix == ".npy" else object_id


def _by_object(path: Path) -> dict[str, list[dict]]:
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror})", "a file of alert packets") from error
    return _packets_by_object(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=2)
def _packets_by_object(path: Path, *state) -> dict[str, list[dict]]:
    """The packets of a file by objectId; of alerts.npy, whose folder names the object, all under "".

    The last files stay in memory until they change: a file may hold many objects.
    """
    found: dict[str, list[dict]] = {}
    for packet in read_packets(path):
        found.setdefault(_key(path, str(packet.get("objectId"))), []).append(packet)
    return found


def index_alerts(alert_dir: str | Path, *, progress: bool = False) -> tuple[dict[str, tuple[Path, ...]], list[Broken]]:
    """Which files hold packets of which object, and the files that cannot be read.

    `<alert_dir>/<object>/alerts.npy` belongs to that object; *.avro and *.parquet files, anywhere below, to the objects
    that their packets name. Symbolic links are followed.

    Raises:
        NoData: no such folder, or no packet file in it.
    """
    folder = Path(alert_dir)
    if not folder.is_dir():
        raise NoData(folder, None, "no such folder", "a folder of alert packets")
    files = packet_files(folder)
    if not files:
        raise NoData(folder, None, "no packets in it", f"<object>/{NPY}, *.avro or *.parquet")
    found: dict[str, list[Path]] = {}
    broken = []
    for path in _shown(files, progress, "looking for objects"):
        try:
            ids = _ids(path)
        except DataError as error:
            broken.append(Broken(path, str(error)))
            continue
        for object_id in dict.fromkeys(ids):
            if is_plain_name(object_id):
                found.setdefault(object_id, []).append(path)
            else:
                broken.append(Broken(path, f"objectId {object_id!r:.60} cannot be a file's name"))
    return {key: tuple(found[key]) for key in sorted(found)}, broken


def packet_files(folder: Path) -> list[Path]:
    """The packet files anywhere below a folder, sorted; links are followed, to each real file and folder once.

    So a folder made of links works, one that links to its own parent ends, and two names of one object are one object
    (the real one before a link's).
    """
    starts, seen, found = [folder], set(), {}
    for start in starts:  # grows by the links to folders that are met
        for root, folders, names in os.walk(start):
            state = os.stat(root)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders.sort()
            starts += [Path(root, name) for name in folders if os.path.islink(os.path.join(root, name))]
            for path in (Path(root, name) for name in sorted(names)):
                if path.name == NPY or path.suffix in SUFFIXES:
                    real = os.path.realpath(path)
                    found[real] = found.get(real, path) if path.is_symlink() else path
    return sorted(found.values())


def _ids(path: Path) -> list[str]:
    if path.suffix == ".npy":
        return [path.parent.name]
    if path.suffix == ".parquet":
        return parquet_ids(path)
    return [str(packet.get("objectId")) for packet in read_packets(path)]


def _shown(items: Sequence, progress: bool, what: str):
    if not progress:
        return items
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="file", leave=False)


def read_label(labels_dir: str | Path, split: str, object_id: str) -> int:
    """The fine id in `<labels_dir>/<split>/<object_id>.npz`, key 'label'. DataError where there is none."""
    path = Path(labels_dir) / split / f"{object_id}.npz"
    if not path.is_file():
        raise DataError(path, None, "no such file", "an npz file with the key 'label'")
    with open_npz(path) as archive:
        label = read_member(path, archive, "label")
    if label.size != 1 or label.dtype.kind not in "iu":
        raise DataError(path, "label", f"shape {label.shape}, {label.dtype}", "one whole number")
    return int(label.item())


def alert_jobs(alert_dir: str | Path, *, splits_path: str | Path | None = None, labels_dir: str | Path | None = None,
               known_splits: Mapping[str, str] | None = None, earlier: Mapping[str, InputState] | None = None,
               seed: int = 0, temporal: bool = False, use_history: bool = True, keep_negative: bool = False,
               scheme: ClassScheme = APPLECIDER, notes: Counter | None = None,
               progress: bool = True) -> tuple[list[Job], list[Outcome]]:
    """One job an object, and what is left out already: broken files, split entries without packets or labels.

    Args:
        known_splits: of an earlier run without a splits file; objects stay where they are, new ones are split alike.
        earlier: what the sources of an earlier run were written from. An object of this folder is read from its earlier
            files too, where these are still there: packets in several folders make one light curve.

    Raises:
        DataError: no packets, a splits file that cannot be read, or new objects for a split by time.
    """
    notes = Counter() if notes is None else notes
    files, broken = index_alerts(alert_dir, progress=progress)
    files = {key: _with_earlier(paths, (earlier or {}).get(key)) for key, paths in files.items()}
    left_out = [Outcome(str(x.path), "", "left out", x.reason) for x in broken]
    options = {"use_history": use_history, "keep_negative": keep_negative}
    if splits_path is None:
        objects = [AlertObject(object_id, paths, **options) for object_id, paths in files.items()]
        splits = _assign(objects, dict(known_splits or {}), seed, temporal, alert_dir)
        return _ordered([Job(x.object_id, splits[x.object_id], x, x.state()) for x in objects]), left_out
    wanted = read_splits(splits_path)
    if extra := len(set(files) - set(wanted)):
        notes["objects with packets that are in no split"] += extra
    jobs = []
    for object_id, split in wanted.items():
        if object_id not in files:
            left_out.append(Outcome(object_id, split, "left out", "no alert packets"))
            continue
        try:
            label = -1 if labels_dir is None else read_label(labels_dir, split, object_id)
        except DataError as error:
            left_out.append(Outcome(object_id, split, "left out", str(error)))
            continue
        if label != -1 and scheme.coarse_id(label) < 0:
            left_out.append(Outcome(object_id, split, "left out", f"label {label} is no class of '{scheme.name}'"))
            continue
        item = AlertObject(object_id, files[object_id], label, **options)
        jobs.append(Job(object_id, split, item, item.state()))
    return _ordered(jobs), left_out


def _with_earlier(paths: tuple[Path, ...], earlier: InputState | None) -> tuple[Path, ...]:
    if earlier is None:
        return paths
    real = {os.path.realpath(path) for path in paths}
    return (*paths, *(path for path in earlier.present() if str(path) not in real))


def _assign(objects: Sequence[AlertObject], known: dict[str, str], seed: int, temporal: bool, folder) -> dict[str, str]:
    """The split of each object; one that has a split keeps it, or it could be in two."""
    new = [x for x in objects if x.object_id not in known]
    if known and new and temporal:
        raise DataError(folder, None, f"{len(new)} objects more than in the earlier run",
                        "the same ones, as they were split by time (or another output folder, or a splits file)")
    names = temporal_split([_first_time(x) for x in new]) if temporal else stratified_split([-1] * len(new), seed)
    return known | {x.object_id: str(name) for x, name in zip(new, names, strict=True)}


def _ordered(jobs: list[Job]) -> list[Job]:
    """By file, so that a file of many objects is read once."""
    return sorted(jobs, key=lambda job: (str(job.load.files[0]), job.object_id))


def _first_time(item: AlertObject) -> float:
    """Time of the earliest alert; of an object whose files are broken, the end of time (it is left out later)."""
    try:
        times = [x["candidate"].get("jd") for x in item.packets()]
        return min((float(x) for x in times if isinstance(x, int | float)), default=np.inf)
    except DataError:
        return np.inf


class AlertFolder(Sequence):
    """The sources of one split of a folder of alert packets, in memory without their stamps.

    Attributes:
        scheme, broken: list of Broken; object_ids: list of str; labels: (N,) int64; lengths: (N,) int64;
        notes: Counter of what was left out of the sources.
    """

    def __init__(self, objects: Sequence[AlertObject], scheme: ClassScheme, broken: Sequence[Broken], *,
                 horizon: float | None = None, progress: bool = False):
        self.scheme, self.broken, self.notes = scheme, list(broken), Counter()
        self._sources: list[Source] = []
        for item in _shown(objects, progress, "reading alerts"):
            try:
                source = item.source(self.notes)
            except DataError as error:
                self.broken.append(Broken(item.files[0], str(error)))
                continue
            self._sources.append(source if horizon is None else source.within(horizon))
        if not self._sources:
            first = f", the first: {self.broken[0].reason}" if self.broken else ""
            raise NoData("alert packets", None, f"none of {len(objects)} objects can be read{first}", "alert packets")
        self.object_ids = [x.object_id for x in self._sources]
        self.labels = np.array([x.label for x in self._sources], np.int64)
        self.lengths = np.array([len(x) for x in self._sources], np.int64)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index):
        return self._sources[index]


def open_alerts(alert_dir: str | Path, splits_path: str | Path, labels_dir: str | Path | None, split: str, *,
                horizon: float | None = None, use_history: bool = True, keep_negative: bool = False,
                images: bool = False, progress: bool = False) -> AlertFolder:
    """The sources of a split straight from alert packets (preprocessing once and `open_split` is much faster).

    Args:
        labels_dir: `<split>/<object>.npz` with the key 'label'; its classes.json names the scheme. None: all unknown.
        images: whether sources have stamps; these are decoded once now and again when they are asked for.

    Raises:
        NoData: no packets, or none that can be read. DataError: a splits file that cannot be read.
    """
    scheme = APPLECIDER if labels_dir is None else scheme_of(labels_dir)
    jobs, left_out = alert_jobs(alert_dir, splits_path=splits_path, labels_dir=labels_dir, use_history=use_history,
                                keep_negative=keep_negative, scheme=scheme, progress=progress)
    objects = [AlertObject(x.object_id, x.load.files, x.load.label, use_history, keep_negative, images)
               for x in jobs if x.split == split]
    broken = [Broken(Path(x.object_id), x.reason) for x in left_out if x.split in ("", split)]
    return AlertFolder(objects, scheme, broken, horizon=horizon, progress=progress)
