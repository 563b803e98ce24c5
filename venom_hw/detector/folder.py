"""Data folders: one npz a wavelength (i_trace, q_trace, mask, peak_heights) and an optional metadata.json."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from venom_hw.atomic import atomic_file, write_atomically

from .errors import DataError
from .wavelength import parse_wavelength

AUXILIARY = ("noise.npz", "sweep.npz")  # npz files of a folder that are no laser line
METADATA = "metadata.json"
FORMAT = "venom-hw/pulses/1"


@dataclass(frozen=True)
class RawLine:
    """One wavelength's raw traces, validated. i_trace, q_trace (N, samples), mask (N,) bool, peak_heights (N,)."""

    path: Path
    i_trace: np.ndarray
    q_trace: np.ndarray
    mask: np.ndarray
    peak_heights: np.ndarray
    extra: dict = field(default_factory=dict)


def write_line(path: Path, **arrays) -> None:
    """Write one npz atomically, uncompressed (noise does not compress)."""
    with atomic_file(path) as file:
        np.savez(file, **arrays)


def write_metadata(folder: Path, metadata: dict) -> None:
    """Write metadata.json atomically."""
    write_atomically(Path(folder) / METADATA, json.dumps(metadata, indent=1) + "\n")


def read_metadata(folder: Path) -> dict:
    """metadata.json of a folder, {} if there is none. DataError if it is not a JSON object."""
    path = Path(folder) / METADATA
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(path, None, f"not JSON ({error})", "a JSON object") from error
    if not isinstance(data, dict):
        raise DataError(path, None, f"a JSON {type(data).__name__}", "a JSON object")
    return data


def line_files(folder: Path) -> list[tuple[float, Path]]:
    """(wavelength nm, path) of every line in a folder, ascending. DataError for a bad name or an empty folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(folder, None, "no such folder", "a folder with one npz a wavelength, e.g. 808nm.npz")
    files = [p for p in sorted(folder.glob("*.npz")) if p.name not in AUXILIARY and not p.name.startswith(".")]
    if not files:
        raise DataError(folder, None, "no npz file of a laser line", "one npz a wavelength, e.g. 808nm.npz")
    lines = sorted((parse_wavelength(p), p) for p in files)
    for (first, path), (second, other) in zip(lines, lines[1:], strict=False):
        if first == second:
            raise DataError(other, None, f"the wavelength {second:g} nm again",
                            f"one file a line (there is {path.name})")
    return lines


def _load_arrays(path: Path, names: tuple[str, ...]) -> dict:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise DataError(path, missing[0], "missing key", f"the keys {', '.join(names)} (found {archive.files})")
            return {name: archive[name] for name in names}
    except DataError:
        raise
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(path, None, f"cannot be read ({error})", "a NumPy npz file without pickled objects") from error


def _check_numeric(path, name, array):
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        raise DataError(path, name, f"dtype {array.dtype}", "integers or floats")


def _check_traces(path: Path, arrays: dict) -> None:
    i_trace, q_trace = arrays["i_trace"], arrays["q_trace"]
    for name in ("i_trace", "q_trace"):
        _check_numeric(path, name, arrays[name])
        if arrays[name].ndim != 2:
            raise DataError(path, name, f"shape {arrays[name].shape}", "2-D (pulses, samples)")
    if i_trace.shape != q_trace.shape:
        raise DataError(path, "q_trace", f"shape {q_trace.shape}", f"that of i_trace, {i_trace.shape}")
    if i_trace.shape[0] == 0 or i_trace.shape[1] == 0:
        raise DataError(path, "i_trace", f"empty, shape {i_trace.shape}", "at least one pulse")


def _check_finite(path: Path, name: str, array, mask) -> None:
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1) & mask
        if bad.any():
            raise DataError(path, name, f"NaN or infinity in {int(bad.sum())} good pulses, first at index "
                            f"{int(np.argmax(bad))}", "finite numbers (or mask False for such a pulse)")


def read_line(path: Path) -> RawLine:
    """Read and validate one wavelength's file. DataError names the file, the field and what was expected."""
    path = Path(path)
    arrays = _load_arrays(path, ("i_trace", "q_trace", "mask", "peak_heights"))
    _check_traces(path, arrays)
    n = len(arrays["i_trace"])
    for name in ("mask", "peak_heights"):
        _check_numeric(path, name, arrays[name])
        if arrays[name].shape != (n,):
            raise DataError(path, name, f"shape {arrays[name].shape}", f"({n},), one a pulse")
    if arrays["mask"].dtype.kind != "b":
        if not np.isin(arrays["mask"], (0, 1)).all():
            raise DataError(path, "mask", f"dtype {arrays['mask'].dtype} with values beyond 0 and 1",
                            "one boolean a pulse, True for a good one")
        arrays["mask"] = arrays["mask"].astype(bool)
    if not arrays["mask"].any():
        raise DataError(path, "mask", f"no good pulse among {n}: the wavelength is empty", "at least one True")
    for name in ("i_trace", "q_trace", "peak_heights"):
        _check_finite(path, name, arrays[name], arrays["mask"])
    return RawLine(path, **arrays)


def read_noise(folder: Path):
    """(i, q) traces of noise.npz, each (N, samples), or None if the folder has no such file."""
    path = Path(folder) / "noise.npz"
    if not path.is_file():
        return None
    arrays = _load_arrays(path, ("i_trace", "q_trace"))
    _check_traces(path, arrays)
    for name, array in arrays.items():
        _check_finite(path, name, array, np.ones(len(array), bool))
    return arrays["i_trace"], arrays["q_trace"]
