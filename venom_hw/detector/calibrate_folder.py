"""What a data folder itself tells: sample rate, loop centre, scale to counts, decay time, where pulses peak."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DataError
from .folder import FORMAT, line_files, read_line
from .loop_circle import fit_circle
from .mean_pulse import SAMPLE, MeanPulse
from .window import Window, fit_decay

MIN_COUNTS = 64.0       # less than this and rounding to integers would be the noise
HALF_RANGE = 16384.0    # counts that the largest excursion is scaled to at most
# Raw rates of the published calibration sets, whose folders do not say them.
PUBLISHED_RATES = {"InHfData": 0.8e6, "PtSiData": 2.0e6}


@dataclass(frozen=True)
class FolderScan:
    """counts_per_unit, centre (raw units), tau_s, trigger (median raw sample of the peak), n_samples a trace;
    rest, middle: complex points of the loop in counts (without a photon; in mid pulse)."""

    counts_per_unit: float
    centre: tuple[float, float]
    tau_s: float
    trigger: int
    n_samples: int
    rest: complex
    middle: complex


def _number(folder: Path, metadata: dict, key: str) -> float | None:
    value = metadata.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value) or value <= 0:
        raise DataError(Path(folder) / "metadata.json", key, repr(value), "a positive number")
    return float(value)


def raw_rate(folder: Path, metadata: dict, given: float | None, window: Window | None) -> float:
    """Raw sample rate in Hz: argument, metadata.json, window (which must not contradict them), or that of a published
    set by its folder's name."""
    stored = _number(folder, metadata, "sample_rate_hz")
    known = window.raw_rate_hz if window else PUBLISHED_RATES.get(Path(folder).resolve().name)
    rate = given or stored or known
    if rate is None:
        raise DataError(Path(folder) / "metadata.json", "sample_rate_hz", "missing, and no rate was given",
                        "the raw sample rate in Hz, in metadata.json or as sample_rate_hz")
    if window and abs(rate / window.raw_rate_hz - 1) > 1e-6:
        raise DataError(folder, "sample_rate_hz", f"{rate:g} Hz raw", f"{window.raw_rate_hz:g} Hz, the window's "
                        f"{window.rate_hz:g} Hz after decimation by {window.downsample}")
    return rate


def stored_centre(folder: Path, metadata: dict) -> complex | None:
    """The loop's centre in the files' units where metadata.json says it, else None."""
    stored = metadata.get("centre", metadata.get("center"))
    if stored is None:
        return 0j if metadata.get("format") == FORMAT else None
    try:
        i, q = (float(x) for x in stored)
    except (TypeError, ValueError):
        raise DataError(Path(folder) / "metadata.json", "centre", repr(stored), "[i, q] in the files' units") from None
    return complex(i, q)


def _centre_and_scale(folder: Path, metadata: dict, lines, integers: bool, given: Window | None):
    """((i, q) centre, counts_per_unit): the window's, the metadata's, or fitted to the mean pulses of all lines."""
    if given is not None:
        return given.centre, given.counts_per_unit
    stored = stored_centre(folder, metadata)
    centre = fit_circle(np.concatenate([z.mean(axis=0) for z in lines]))[0] if stored is None else stored
    if integers:
        return (centre.real, centre.imag), 1.0
    reach = max(np.percentile(np.abs(np.stack([(z - centre).real, (z - centre).imag])), 99.9) for z in lines)
    if not reach > 0:
        raise DataError(folder, "i_trace", "constant traces", "pulses")
    return (centre.real, centre.imag), float(2.0 ** np.floor(np.log2(HALF_RANGE / reach)))


def scan_folder(folder: Path, metadata: dict, rate: float, peak_sigma: float, window: Window | None,
                good) -> FolderScan:
    """Look at up to 500 good pulses of each line. `good(line, peak_sigma)` gives their indices."""
    lines, sizes, kinds = [], [], []
    for _, path in line_files(folder):
        line = read_line(path)
        rows = good(line, peak_sigma)[:SAMPLE]
        lines.append(line.i_trace[rows] + 1j * line.q_trace[rows].astype(np.float64))
        sizes.append((line.i_trace.shape[1], path))
        kinds.append(line.i_trace.dtype.kind in "iu" and line.q_trace.dtype.kind in "iu")
    for (size, path) in sizes:
        if size != sizes[0][0]:
            raise DataError(path, "i_trace", f"{size} samples a trace", f"{sizes[0][0]}, as in {sizes[0][1].name}")
    centre, scale = _centre_and_scale(folder, metadata, lines, all(kinds), window)
    lines = [(z - complex(*centre)) * scale for z in lines]
    if (reach := max(np.abs(z).max() for z in lines)) < MIN_COUNTS:
        raise DataError(folder, "counts_per_unit", f"the largest sample is {reach:.3g} counts from the centre",
                        f"{MIN_COUNTS:g} or more: the detector and gain that the window was made for")
    pulse = MeanPulse.of(lines, folder)
    tau = window.tau_s if window else _number(folder, metadata, "tau_s")
    if tau is None:
        try:
            tau = fit_decay(pulse.height, rate)
        except (ValueError, RuntimeError) as error:
            raise DataError(folder, "tau_s", f"cannot be fitted ({error})",
                            "a decaying mean pulse, or tau_s in metadata.json") from error
    trigger = int(np.argmax(pulse.height))
    return FolderScan(scale, tuple(centre), tau, trigger, sizes[0][0], pulse.rest, pulse.middle)
