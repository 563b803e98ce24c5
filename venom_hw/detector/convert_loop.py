"""From a pickled Loop of mkidcalculator to a data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .errors import DataError
from .folder import read_metadata, write_line, write_metadata
from .mean_pulse import SAMPLE
from .mkidcalculator_files import LabLine, read_lab_line, read_lab_noise, read_lab_sweep, read_loops
from .raw_heights import HeightFilter
from .wavelength import line_label

HEIGHTS = ("auto", "responses", "recompute")


def prepare_folder(out: Path, fingerprint: dict, force: bool) -> bool:
    """True if there is work to do. DataError rather than writing over something else; `complete` tells of an
    interruption."""
    out = Path(out)
    found = read_metadata(out)
    same = {k: found.get(k) for k in fingerprint} == fingerprint
    if same and found.get("complete") and not force:
        return False
    others = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    if others and not (same or force and "converted_from" in found):
        raise DataError(out, None, f"other files are here ({others[0]})", "an empty folder"
                        + (", or --force to convert into this one again" if "converted_from" in found else ""))
    for name in others:
        if name.endswith(".npz"):
            (out / name).unlink()
    write_metadata(out, {**fingerprint, "complete": False})
    return True


def digest(path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _choose(loops, number: int | None, path: Path):
    if number is None and len(loops) > 1:
        counts = ", ".join(f"{k}: {len(loop.get('pulses'))} pulse sets" for k, loop in enumerate(loops))
        raise DataError(path, None, f"{len(loops)} loops ({counts})", "the number of one of them (--loop)")
    if number is not None and not 0 <= number < len(loops):
        raise DataError(path, None, f"no loop {number}", f"0 to {len(loops) - 1}")
    return loops[number or 0]


def _wavelengths(lines: list[LabLine], given: Sequence[float] | None, path: Path) -> list[float]:
    if given is not None:
        if len(given) != len(lines):
            raise DataError(path, "wavelengths", f"{len(given)} given", f"{len(lines)}, one a pulse set of the file")
        nm = [float(w) for w in given]
    else:
        nm = [line.wavelength_nm for line in lines]
        if None in nm:
            raise DataError(path, "energies", f"pulse set {nm.index(None)} does not say its laser line",
                            "the wavelengths of all sets (--wavelengths 808,920,...)")
    labels = [line_label(w) for w in nm]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(path, "energies", f"{twice} in two pulse sets", "one set a laser line")
    return nm


def _rate(lines: list[LabLine], given: float | None, path: Path) -> float:
    rates = {given} if given else {line.sample_rate_hz for line in lines if line.sample_rate_hz}
    if len(rates) != 1:
        raise DataError(path, "sample_rate", f"{'no' if not rates else 'several'} sample rates in the file "
                        f"{sorted(rates) if rates else ''}".strip(), "one raw rate in Hz (--sample-rate)")
    return rates.pop()


def _sample(line: LabLine) -> LabLine:
    """The line with only some of its good pulses: all that is kept of it between the two readings."""
    rows = np.flatnonzero(line.mask)[:SAMPLE]
    if not len(rows):
        raise DataError("pulse set", "_mask", "no good pulse", "at least one True")
    return replace(line, i_trace=line.i_trace[rows].copy(), q_trace=line.q_trace[rows].copy())


def _height_filter(lines: list[LabLine], how: str, path: Path) -> HeightFilter | None:
    """What makes the heights; None for the file's own responses."""
    complete = all(line.responses is not None for line in lines)
    if how == "responses" and not complete:
        raise DataError(path, "_responses", "not computed for every pulse set",
                        "pulse.compute_responses() before it was saved, or --heights recompute")
    if how != "recompute" and complete:
        return None
    return HeightFilter.fit([line.i_trace + 1j * line.q_trace for line in lines], path)


def convert_loop(path, out, *, loop: int | None = None, wavelengths: Sequence[float] | None = None,
                 sample_rate_hz: float | None = None, heights: str = "auto", placeholders: Sequence[str] = (),
                 force: bool = False, progress: Callable[[int], None] | None = None) -> list[Path]:
    """Write the lines of a pickled Loop as a data folder; returns the files (none if they are there already).

    Peak heights are the file's own optimal-filter responses where all sets have them, else recomputed with the mean
    pulse (`heights` "responses" or "recompute" insists). A calibrated spectrum's R becomes metadata.json's opt_filt_R.
    One line is in memory at a time; `progress` gets 1 a reading, two a line. Raises DataError; UnsafePickle for a file
    that names anything but data.
    """
    path, out = Path(path), Path(out)
    if heights not in HEIGHTS:
        raise DataError("heights", None, repr(heights), " or ".join(HEIGHTS))
    if not path.is_file():
        raise DataError(path, None, "no such file", "a pickle of mkidcalculator")
    chosen = _choose(read_loops(path, placeholders), loop, path)

    def read(k: int, pulse) -> LabLine:
        line = read_lab_line(pulse, path.parent, f"{path}, pulse set {k}")
        if progress is not None:
            progress(1)
        return line

    lines = [_sample(read(k, pulse)) for k, pulse in enumerate(chosen.get("pulses"))]
    labels = [line_label(w) for w in _wavelengths(lines, wavelengths, path)]
    rate = _rate(lines, sample_rate_hz, path)
    height = _height_filter(lines, heights, path)
    noise, sweep = (reader(chosen, path.parent, f"{path}, {name}") for reader, name in (
        (read_lab_noise, "noise"), (read_lab_sweep, "sweep")))
    fingerprint = {"converted_from": path.name, "sha256": digest(path), "loop": loop, "sample_rate_hz": rate,
                   "lines": labels, "peak_heights": "shared mean pulse, recomputed" if height else "of the file"}
    if not prepare_folder(out, fingerprint, force):
        return []
    written = []
    for k, (label, pulse) in enumerate(zip(labels, chosen.get("pulses"), strict=True)):
        line = read(k, pulse)
        found = height(line.i_trace, line.q_trace) if height else np.asarray(line.responses, float)
        written.append(out / f"{label}.npz")
        write_line(written[-1], i_trace=np.ascontiguousarray(line.i_trace), mask=line.mask,
                   q_trace=np.ascontiguousarray(line.q_trace), peak_heights=found)
    if noise is not None:
        written.append(out / "noise.npz")
        write_line(written[-1], i_trace=np.ascontiguousarray(noise[0]), q_trace=np.ascontiguousarray(noise[1]))
    if sweep is not None:
        written.append(out / "sweep.npz")
        write_line(written[-1], f=sweep[0], z=sweep[1])
    resolving = {label: line.filter_r for label, line in zip(labels, lines, strict=True) if line.filter_r is not None}
    write_metadata(out, {**fingerprint, "complete": True, **({"opt_filt_R": resolving} if resolving else {})})
    return [*written, out / "metadata.json"]
