"""The original's data sets, by its names and arguments: the same tensors for good files.

Unlike the original's they leave broken files out (listed in `.broken`), never make a labelled sample of them, and give
a source of unknown class the label -1. New code uses `SourceDataset`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from ..classes import APPLECIDER
from ..errors import DataError, NoData
from .alert_folder import index_alerts, read_label
from .compact import CompactFile, StampsOf, open_compact
from .feature_stats import read_feature_stats
from .folder import Broken, FolderNames, split_files
from .inputs import LIMIT, per_sample_scaled
from .metadata import metadata_row
from .packets import read_alerts_npy
from .photo_events import read_events
from .splits import read_splits
from .stamp import EMPTY_STAMP, scaled_stamp


class _FileDataset(Dataset):
    """Good files, checked once when the data set is made."""

    def __init__(self, folder: Path, paths: Sequence[Path], check: Callable[[Path], object]):
        self.paths: list[Path] = []
        self.broken: list[Broken] = []
        for path in paths:
            try:
                check(path)
                self.paths.append(path)
            except DataError as error:
                self.broken.append(Broken(path, str(error)))
        if not self.paths:
            first = f"; the first: {self.broken[0].reason}" if self.broken else ""
            raise NoData(folder, None, f"no good file among {len(paths)}{first}", "one a source")

    def __len__(self) -> int:
        return len(self.paths)


def _item(x: np.ndarray, label: int, object_id: str) -> dict:
    label = label if APPLECIDER.coarse_id(label) >= 0 else -1
    return {"x": torch.from_numpy(np.ascontiguousarray(x, np.float32)), "label_fine": label,
            "label_coarse": APPLECIDER.coarse_id(label), "obj_id": object_id, "seq_len": len(x)}


class PhotoNPZDataset(_FileDataset):
    """photo_events files of one folder: x (L, 7), or (L, 13) with the colour columns.

    Args:
        data_dir: folder of the npz files (the statistics file among them is no source).
        stats_path: feature_stats_day100.npz; without it, or where it does not exist, the channels are not scaled.
        max_len: first events that are used. horizon: days. use_metadata: append columns 8 to 13 (colours).

    Raises:
        NoData (a FileNotFoundError): no good file in the folder.
    """

    def __init__(self, data_dir, stats_path=None, max_len: int = 257, horizon: float = 100.0,
                 use_metadata: bool = False):
        super().__init__(Path(data_dir), split_files(Path(data_dir)), read_events)
        self.max_len, self.horizon, self.use_metadata = max_len, horizon, use_metadata
        self.stats = read_feature_stats(stats_path) if stats_path and Path(stats_path).is_file() else None

    def __getitem__(self, index: int) -> dict:
        path = self.paths[index]
        data, label = read_events(path)
        data = data[data[:, 0] <= self.horizon][: self.max_len]
        base = np.concatenate([np.log1p(data[:, :2]), data[:, 3:5]], axis=1)
        if self.stats is not None:
            mean, std = self.stats
            base = (base - mean) / (std + np.float32(1e-8))
        parts = [base, np.eye(3, dtype=np.float32)[data[:, 2].astype(np.int64)]]
        if self.use_metadata:
            if data.shape[1] < 14:
                raise DataError(path, "data", f"{data.shape[1]} columns", "15, with colours")
            parts.append(np.nan_to_num(data[:, 8:14]))
        return _item(np.concatenate(parts, axis=1), label, path.stem)


class MetaNPZDataset(_FileDataset):
    """Compact files of one folder: x (L, 37), metadata scaled by each sequence's own median and interquartile range.

    Args:
        data_dir: folder of the npz files.
        max_len, max_detections: first detections that are used.
        use_images: "images" (3, 63, 63), the last whole triplet of the window, standardised; zeros where there is none.
        use_gp: "gp_features" (114,), clipped to +-10; zeros where the file has none. They were computed from the whole
            light curve, whatever the window.
        random_truncate: each access draws a prefix of min_detections to all detections (torch's global generator).

    Raises:
        NoData (a FileNotFoundError): no good file in the folder.
    """

    def __init__(self, data_dir, max_len: int = 257, use_images: bool = False, use_gp: bool = False,
                 max_detections: int | None = None, random_truncate: bool = False, min_detections: int = 3):
        paths = split_files(Path(data_dir))
        self._names = FolderNames(tuple(paths))
        super().__init__(Path(data_dir), paths, self._open)
        self.max_len, self.max_detections, self.min_detections = max_len, max_detections, min_detections
        self.use_images, self.use_gp, self.random_truncate = use_images, use_gp, random_truncate

    def _open(self, path: Path) -> CompactFile:
        file = open_compact(path, names=self._names)
        if file.x.shape[1] != 37:
            raise DataError(path, "x", f"{file.x.shape[1]} channels", "37")
        return file

    def _length(self, count: int) -> int:
        count = min(count, self.max_len, count if self.max_detections is None else self.max_detections)
        if self.random_truncate and count > self.min_detections:
            count = int(torch.randint(self.min_detections, count + 1, ()))
        return count

    def __getitem__(self, index: int) -> dict:
        path = self.paths[index]
        file = self._open(path)
        count = self._length(len(file.x))
        x = file.x[:count]
        metadata = per_sample_scaled(np.where(np.isfinite(x[:, 7:]), x[:, 7:], np.float32(0)))
        item = _item(np.concatenate([x[:, :7], metadata], axis=1), file.label, path.stem)
        if self.use_images:
            places = np.flatnonzero(file.has_image[:count])
            stamp = scaled_stamp(StampsOf(path)(int(places[-1]))) if places.size else EMPTY_STAMP.copy()
            item["images"] = torch.from_numpy(stamp)
        if self.use_gp:
            gp = np.zeros(114, np.float32) if file.gp is None else file.gp
            item["gp_features"] = torch.from_numpy(np.clip(gp, -LIMIT, LIMIT))
        return item


class AlertDataset(_FileDataset):
    """Raw alerts, `<data_dir>/<object>/alerts.npy`: x (L, 7), or (L, 37) with unscaled metadata, 0 where missing.

    As in the original every triggered alert is a row, whatever its sign, repeated or not, and nothing else of a packet
    is used; `open_alerts` does better.

    Args:
        data_dir: folder of the objects' folders.
        splits_path: CSV with columns obj_id, split. split: the one to use.
        labels_path: `<labels_path>/<split>/<object>.npz` with the key 'label'; None: all unknown.
        use_metadata: 30 more channels. max_len: first alerts that are used. horizon: days.

    Raises:
        NoData (a FileNotFoundError): no good file of this split. DataError: a splits file that cannot be read.
    """

    def __init__(self, data_dir, splits_path, split: str, labels_path=None, use_metadata: bool = False,
                 max_len: int = 257, horizon: float = 100.0):
        self.split, self.labels_path = split, labels_path
        self.use_metadata, self.max_len, self.horizon = use_metadata, max_len, horizon
        wanted = [key for key, value in read_splits(splits_path).items() if value == split]
        found, unread = index_alerts(data_dir)
        paths = [x for key in wanted for x in found.get(key, ()) if x.suffix == ".npy"]
        super().__init__(Path(data_dir), paths, self._read)
        self.broken = unread + self.broken

    def _read(self, path: Path) -> tuple[np.ndarray, int]:
        """(L, 37) of all alerts, and the label."""
        records = []
        for packet in read_alerts_npy(path):
            record = packet["candidate"]
            try:
                records.append((float(record["jd"]), float(record["magpsf"]), float(record["sigmapsf"]),
                                int(record["fid"]), metadata_row(record)))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(path, "candidate", f"{type(error).__name__}: {error}",
                                "jd, magpsf, sigmapsf, fid") from error
        if not records:
            raise DataError(path, None, "no alerts", "at least one")
        records.sort(key=lambda x: x[0])
        jd, mag, err, fid = (np.array(x) for x in zip(*(x[:4] for x in records), strict=True))
        if not (np.isfinite(jd).all() and np.isfinite(mag).all() and np.isfinite(err).all()):
            raise DataError(path, "candidate", "photometry that is not finite", "finite jd, magpsf, sigmapsf")
        since = np.stack([jd - jd[0], np.diff(jd, prepend=jd[0])], axis=1).astype(np.float32)
        base = np.stack([-0.4 * mag, 0.4 * err], axis=1).astype(np.float32)
        one_hot = np.eye(3, dtype=np.float32)[np.clip(fid - 1, 0, 2)]
        metadata = np.nan_to_num(np.stack([x[4] for x in records]))
        label = -1 if self.labels_path is None else read_label(self.labels_path, self.split, path.parent.name)
        keep = since[:, 0] <= self.horizon
        return np.concatenate([np.log1p(since), base, one_hot, metadata], axis=1)[keep][: self.max_len], label

    def __getitem__(self, index: int) -> dict:
        path = self.paths[index]
        x, label = self._read(path)
        return _item(x if self.use_metadata else x[:, :7], label, path.parent.name)
