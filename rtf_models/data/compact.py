"""Compact npz files, one a source: the original's format, written so that the original reads it too.

Keys of the original: x (L, 37) [log1p(dt), log1p(dt_prev), -0.4 mag, 0.4 mag_err, g, r, i, 30 metadata with 0 for
missing], images (L, 3, 63, 63), has_image (L,), label, and gp_features, gp_keys where features were computed.
Ours beside them, unknown to the original: object_id, time (L,) float64, metadata_missing (L, 30),
feature_counts (K,), prefix_features (K, G) with NaN for missing.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.atomic import atomic_file

from ..errors import DataError
from .metadata import METADATA_FIELDS, unfilled
from .npz_member import keys, member_shape, open_npz, read_member, read_row
from .source import N_FEATURES, STAMP, Source
from .splits import is_plain_name

SMALLEST = 200  # bytes; the original takes smaller files for broken ones too
_STAMPS = (3, STAMP, STAMP)
_REAL, _WHOLE, _TEXT = ("f", "real numbers"), ("iu", "whole numbers"), ("US", "text")
_FLAGS = ("biuf", "numbers, 0 or 1")


def write_compact(path: str | os.PathLike, source: Source, *, feature_names: Sequence[str] | None = None) -> Path:
    """Writes a source; all of its detections (cut it with `source.within(days)` before).

    Args:
        feature_names: names of the source's features, kept as `gp_keys`; needed where it has features.
    """
    path = Path(path)
    arrays = _arrays(source)
    if source.features is not None and len(source.features):
        if feature_names is None or len(feature_names) != N_FEATURES:
            raise DataError(path, "gp_keys", f"{0 if feature_names is None else len(feature_names)} feature names",
                            f"{N_FEATURES}")
        last = source.features[-1]
        arrays |= {"gp_features": np.where(np.isfinite(last), last, np.float32(0)), "gp_keys": np.array(feature_names),
                   "prefix_features": source.features, "feature_counts": source.feature_counts}
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, value in arrays.items():
            # Stamps are stored plain, so that one of them can be read without unpacking the others; noise hardly packs.
            plain = key == "images" and value.any()
            info = zipfile.ZipInfo(f"{key}.npy")  # dated 1980: the same source gives the same bytes
            info.compress_type = zipfile.ZIP_STORED if plain else zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value, order="C"), allow_pickle=False)
    return path


def _arrays(source: Source) -> dict[str, np.ndarray]:
    count = len(source)
    x = np.zeros((count, 7 + len(METADATA_FIELDS)), np.float32)
    x[:, 0] = np.log1p((source.time - source.time[0]).astype(np.float32))
    x[:, 1] = np.log1p(np.diff(source.time, prepend=source.time[0]).astype(np.float32))
    x[:, 2] = -0.4 * source.mag
    x[:, 3] = 0.4 * source.mag_err
    x[np.arange(count), 4 + source.band] = 1
    missing = np.ones((count, len(METADATA_FIELDS)), np.uint8)
    if source.metadata is not None:
        missing = (~np.isfinite(source.metadata)).astype(np.uint8)
        x[:, 7:] = np.where(missing, np.float32(0), source.metadata)
    images = np.zeros((count, *_STAMPS), np.float32)
    has_image = np.zeros(count, np.float32)
    if source.images is not None and source.has_image is not None:
        for k in np.flatnonzero(source.has_image):
            stamp = source.images(int(k))
            images[k], has_image[k] = np.where(np.isfinite(stamp), stamp, 0), 1
    return {"x": x, "images": images, "has_image": has_image, "label": np.int64(source.label),
            "object_id": np.array(source.object_id), "time": source.time, "metadata_missing": missing}


@dataclass(frozen=True)
class StampsOf:
    """The stamps of a compact file; calling it with an index reads that one."""

    path: Path

    def __call__(self, index: int) -> np.ndarray:
        with open_npz(self.path) as archive:
            return read_row(self.path, archive, "images", index).astype(np.float32)


@dataclass(frozen=True)
class CompactFile:
    """What a compact file holds, checked.

    Attributes:
        x: (L, 37 or 7) float32, as stored. has_image: (L,) bool. label: fine id.
        object_id: the file's own, else its name. time: (L,) float64 days or None. missing: (L, 30) bool or None.
        gp: (114,) float32 in the folder's order of names, 0 where missing; or None.
        prefix_features, feature_counts: (K, 114), (K,) or None.
    """

    path: Path
    x: np.ndarray
    has_image: np.ndarray
    label: int
    object_id: str
    time: np.ndarray | None
    missing: np.ndarray | None
    gp: np.ndarray | None
    prefix_features: np.ndarray | None
    feature_counts: np.ndarray | None


def open_compact(path: str | os.PathLike, *, names: Callable[[], Sequence[str] | None] | None = None) -> CompactFile:
    """Reads a compact file, ours or the original's, but not its stamps (`StampsOf` does, one by one).

    Args:
        names: gives the folder's 114 feature names, onto which a file with fewer is mapped.

    Raises:
        DataError: the file or one of its arrays is damaged or not what this format has.
    """
    path = Path(path)
    if (size := _size(path)) < SMALLEST:
        raise DataError(path, None, f"{size} bytes", f"a compact npz file, at least {SMALLEST} bytes")
    with open_npz(path) as archive:
        present = set(keys(archive))

        def optional(key: str, kind: tuple[str, str], shape: tuple[int, ...] | None = None) -> np.ndarray | None:
            return _checked(path, key, read_member(path, archive, key), kind, shape) if key in present else None

        x = _checked_x(path, read_member(path, archive, "x"))
        label = _label(path, read_member(path, archive, "label"))
        time = _checked_time(path, optional("time", _REAL, (len(x),)), x)
        missing = optional("metadata_missing", _FLAGS, (len(x), len(METADATA_FIELDS)))
        has_image = _has_image(path, archive, optional("has_image", _FLAGS, (len(x),)), len(x))
        counts = optional("feature_counts", _WHOLE)
        rows = 0 if counts is None else counts.size
        features = _prefixes(path, optional("prefix_features", _REAL, (rows, N_FEATURES)), counts, len(x))
        name = optional("object_id", _TEXT, ())
        gp = _gp(path, optional("gp_features", ("biuf", "numbers")), optional("gp_keys", _TEXT), names)
    if name is not None and not is_plain_name(str(name)):
        raise DataError(path, "object_id", f"{str(name)!r:.60}", "an object's name, usable as a file name")
    return CompactFile(path=path, x=x, has_image=has_image, label=label, time=time, gp=gp,
                       object_id=path.stem if name is None else str(name),
                       missing=None if missing is None else missing != 0,
                       prefix_features=features, feature_counts=None if features is None else counts)


def read_compact(path: str | os.PathLike, *, names: Callable[[], Sequence[str] | None] | None = None) -> Source:
    """A source from a compact file, ours or the original's. Stamps stay in the file until they are asked for.

    The original writes 0 for missing values: in its files, zeros that are no likely measurement are taken for missing.

    Args, Raises: as `open_compact`.
    """
    file = open_compact(path, names=names)
    x, has_image = file.x, file.has_image
    metadata = None
    if x.shape[1] > 7:
        metadata = unfilled(x[:, 7:]) if file.missing is None else np.where(file.missing, np.float32(np.nan), x[:, 7:])
        metadata = metadata if np.isfinite(metadata).any() else None
    features, counts = file.prefix_features, file.feature_counts
    if features is None and file.gp is not None:  # the original's features saw the whole light curve
        features, counts = np.where(file.gp == 0, np.float32(np.nan), file.gp)[None], np.array([len(x)])
    return Source(object_id=file.object_id, time=times_of(x) if file.time is None else file.time,
                  band=np.argmax(x[:, 4:7], axis=1), mag=-2.5 * x[:, 2].astype(np.float64),
                  mag_err=2.5 * x[:, 3].astype(np.float64), label=file.label, metadata=metadata,
                  images=StampsOf(file.path) if has_image.any() else None,
                  has_image=has_image if has_image.any() else None, features=features, feature_counts=counts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror})", "a compact npz file") from error


def _checked(path, key: str, value: np.ndarray, kind: tuple[str, str], shape: tuple[int, ...] | None) -> np.ndarray:
    """The array, if it holds what it should, in the shape that it should have (None: any)."""
    kinds, what = kind
    if value.dtype.kind not in kinds or (shape is not None and value.shape != shape):
        raise DataError(path, key, f"shape {value.shape}, {value.dtype}", what + (f" {shape}" if shape else ""))
    return value


def _checked_time(path, time: np.ndarray | None, x: np.ndarray) -> np.ndarray | None:
    """Days: finite, ascending, and the same as what x says of them (which is float32)."""
    if time is None:
        return None
    if not np.isfinite(time).all() or (np.diff(time) < 0).any():
        raise DataError(path, "time", "times that are not finite or not ascending", "days, ascending")
    days, said = time - time[0], np.expm1(x[:, 0].astype(np.float64))
    if (bad := np.flatnonzero(np.abs(days - said) > 1e-3 * (1 + said))).size:
        raise DataError(path, "time", f"{days[bad[0]]:.6g} days after the first detection at detection {bad[0]}",
                        f"{said[bad[0]]:.6g} as in channel 0 of x")
    return time


def _prefixes(path, features, counts, length: int) -> np.ndarray | None:
    """(K, 114), where counts (K,) are ascending numbers of detections that the file has."""
    if (features is None) != (counts is None):
        raise DataError(path, "prefix_features", "one of prefix_features and feature_counts is missing", "both")
    if features is None or not len(features):
        return None
    if counts.ndim != 1 or (np.diff(counts.astype(np.int64)) <= 0).any() or counts[0] < 1 or counts[-1] > length:
        raise DataError(path, "feature_counts", f"{counts.tolist()}", f"ascending counts from 1 to {length}")
    return features


def _checked_x(path, x: np.ndarray) -> np.ndarray:
    if x.ndim != 2 or x.shape[1] not in (7, 7 + len(METADATA_FIELDS)) or not len(x) or x.dtype.kind != "f":
        raise DataError(path, "x", f"shape {x.shape}, {x.dtype}", f"(L, {7 + len(METADATA_FIELDS)}) float32, L > 0")
    x = x.astype(np.float32)
    if not np.isfinite(x[:, :7]).all() or (x[:, :2] < 0).any():
        raise DataError(path, "x", "numbers in the first 7 channels that are not finite, or negative times", "finite")
    if (x[:, 3] < 0).any():
        raise DataError(path, "x", "negative magnitude errors in channel 3", "0 or more")
    if not ((x[:, 4:7] == 0) | (x[:, 4:7] == 1)).all() or not (x[:, 4:7].sum(axis=1) == 1).all():
        raise DataError(path, "x", "channels 4 to 6 are no one-hot code of a band", "one 1 among zeros")
    return x


def times_of(x: np.ndarray) -> np.ndarray:
    """Days since the first detection, (L,) float64, out of log1p(dt) and log1p(dt_prev).

    The sum of the intervals is the finer of the two in float32; it is taken unless the two disagree.
    """
    since_first, since_previous = np.expm1(x[:, :2].astype(np.float64)).T
    summed = np.cumsum(since_previous)
    summed -= summed[0]
    if (np.abs(summed - since_first) <= 1e-3 * (1 + since_first)).all():
        return summed
    return np.maximum.accumulate(since_first - since_first[0])


def _label(path, label: np.ndarray) -> int:
    if label.size != 1 or label.dtype.kind not in "iu":
        raise DataError(path, "label", f"shape {label.shape}, {label.dtype}", "one whole number")
    return int(label.item())


def _has_image(path, archive, has_image: np.ndarray | None, count: int) -> np.ndarray:
    """(L,) bool; that the stamps' array has the right shape is checked in its header alone."""
    if has_image is None:
        return np.zeros(count, bool)
    if (has_image > 0).any():
        shape = member_shape(path, archive, "images") if "images" in keys(archive) else None
        if shape != (count, *_STAMPS):
            raise DataError(path, "images", f"shape {shape}" if shape else "missing", f"{(count, *_STAMPS)}")
    return has_image > 0


def _gp(path, values, own, names) -> np.ndarray | None:
    """(114,) in the folder's order, by the rules of the original: exactly 114 names are taken as they come, others
    mapped by name; without names, as they come."""
    if values is None:
        return None
    values = values.astype(np.float32).ravel()
    if own is not None and len(own.ravel()) != len(values):
        raise DataError(path, "gp_keys", f"{own.size} names", f"{len(values)}, one a value of gp_features")
    known = names() if own is not None and len(values) != N_FEATURES and names is not None else None
    row = np.zeros(N_FEATURES, np.float32)
    if known is not None:
        place = {name: k for k, name in enumerate(known)}
        for name, value in zip((str(x) for x in own.ravel()), values, strict=True):
            if name in place:
                row[place[name]] = value
    elif len(values) <= N_FEATURES:
        row[:len(values)] = values
    else:
        raise DataError(path, "gp_features", f"{len(values)} values", f"at most {N_FEATURES}")
    return np.where(np.isfinite(row), row, np.float32(0))


def feature_names_of(paths: Sequence[Path]) -> list[str] | None:
    """`gp_keys` of the first of the first 100 files that has 114 of them; None if none has."""
    for path in paths[:100]:
        try:
            with open_npz(path) as archive:
                if "gp_keys" in keys(archive):
                    found = [str(x) for x in read_member(path, archive, "gp_keys").ravel()]
                    if len(found) == N_FEATURES:
                        return found
        except DataError:
            continue
    return None
