"""From a pickled Loop of mkidcalculator to a data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .errors import DataError
from .folder import read_metadata, write_line, write_metadata
from .mkidcalculator_files import LabLine, read_lab_line, read_lab_noise, read_lab_sweep, read_loops
from .raw_heights import raw_peak_heights
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
        return [float(w) for w in given]
    for k, line in enumerate(lines):
        if line.wavelength_nm is None:
            raise DataError(path, "energies", f"pulse set {k} does not say its laser line",
                            "the wavelengths of all sets (--wavelengths 808,920,...)")
    return [line.wavelength_nm for line in lines]


def _rate(lines: list[LabLine], given: float | None, path: Path) -> float:
    rates = {given} if given else {line.sample_rate_hz for line in lines if line.sample_rate_hz}
    if len(rates) != 1:
        raise DataError(path, "sample_rate", f"{'no' if not rates else 'several'} sample rates in the file "
                        f"{sorted(rates) if rates else ''}".strip(), "one raw rate in Hz (--sample-rate)")
    return rates.pop()


def _heights(lines: list[LabLine], how: str, path: Path) -> tuple[list[np.ndarray], str]:
    complete = all(line.responses is not None for line in lines)
    if how == "responses" and not complete:
        raise DataError(path, "_responses", "not computed for every pulse set",
                        "pulse.compute_responses() before it was saved, or --heights recompute")
    if how == "recompute" or not complete:
        traces, masks = [x.traces for x in lines], [x.mask for x in lines]
        return raw_peak_heights(traces, masks, path), "shared mean pulse, recomputed"
    return [line.responses for line in lines], "responses of the file"


def convert_loop(path, out, *, loop: int | None = None, wavelengths: Sequence[float] | None = None,
                 sample_rate_hz: float | None = None, heights: str = "auto", placeholders: Sequence[str] = (),
                 force: bool = False, progress: Callable[[int], None] | None = None) -> list[Path]:
    """Write the lines of a pickled Loop as a data folder; returns the files (none if they are there already).

    Peak heights are the file's own optimal-filter responses where all sets have them, else recomputed with the mean
    pulse (`heights` "responses" or "recompute" insists). A calibrated spectrum's R becomes metadata.json's opt_filt_R.
    Raises DataError; UnsafePickle for a file that names anything but data.
    """
    path, out = Path(path), Path(out)
    if heights not in HEIGHTS:
        raise DataError("heights", None, repr(heights), " or ".join(HEIGHTS))
    if not path.is_file():
        raise DataError(path, None, "no such file", "a pickle of mkidcalculator")
    fingerprint = {"converted_from": path.name, "sha256": digest(path), "heights_asked": heights, "loop": loop,
                   "wavelengths_given": None if wavelengths is None else [float(w) for w in wavelengths]}
    chosen = _choose(read_loops(path, placeholders), loop, path)
    lines = []
    for k, pulse in enumerate(chosen.get("pulses")):
        lines.append(read_lab_line(pulse, path.parent, f"{path}, pulse set {k}"))
        if progress is not None:
            progress(1)
    nm = _wavelengths(lines, wavelengths, path)
    labels = [line_label(w) for w in nm]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(path, "energies", f"{twice} in two pulse sets", "one set a laser line")
    rate = _rate(lines, sample_rate_hz, path)
    found, origin = _heights(lines, heights, path)
    noise, sweep = (read(chosen, path.parent, f"{path}, {name}") for read, name in (
        (read_lab_noise, "noise"), (read_lab_sweep, "sweep")))
    if not prepare_folder(out, fingerprint, force):
        return []
    written = []
    for label, line, height in zip(labels, lines, found, strict=True):
        written.append(out / f"{label}.npz")
        write_line(written[-1], i_trace=np.ascontiguousarray(line.traces.real), mask=line.mask,
                   q_trace=np.ascontiguousarray(line.traces.imag), peak_heights=np.asarray(height, float))
    if noise is not None:
        written.append(out / "noise.npz")
        write_line(written[-1], i_trace=np.ascontiguousarray(noise.real), q_trace=np.ascontiguousarray(noise.imag))
    if sweep is not None:
        written.append(out / "sweep.npz")
        write_line(written[-1], f=sweep[0], z=sweep[1])
    resolving = {label: line.filter_r for label, line in zip(labels, lines, strict=True) if line.filter_r is not None}
    write_metadata(out, {**fingerprint, "complete": True, "sample_rate_hz": rate, "lines": labels,
                         "peak_heights": origin, **({"opt_filt_R": resolving} if resolving else {})})
    return [*written, out / "metadata.json"]
