"""Pulses ready for a model: clipped, filtered, decimated, windowed, in int16 counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .calibrate_folder import FolderScan, raw_rate, scan_folder
from .decimation import antialias, cut_windows
from .errors import DataError
from .folder import RawLine, line_files, read_line, read_metadata, read_noise
from .loop_circle import phase_from
from .wavelength import line_label, photon_energy
from .window import Window, window_length

MAX_NOISE = 2000        # noise windows kept in a PulseSet
MAX_CLIPPED = 1e-3      # share of samples that may saturate int16
BATCH = 1000            # traces filtered at a time
NAME_ROUNDING_NM = 0.5  # a wavelength written as a whole number is off by this at most


@dataclass(frozen=True)
class PulseSet:
    """Windows of pulses at a model's rate.

    counts (N, L, 2) int16 centred I, Q; energies (N,) eV; wl_ids (N,) index into wl_labels (ascending wavelength);
    opt_R {label: R} from metadata.json's opt_filt_R, or None; peak_heights (N,) as stored in the files;
    lengths (N,) valid samples of each window (normally L); window; noise (M, L', 2) int16 stretches without a photon,
    or None; source the folder's metadata.
    """

    counts: np.ndarray
    energies: np.ndarray
    wl_ids: np.ndarray
    wl_labels: list[str]
    opt_R: dict[str, float] | None
    peak_heights: np.ndarray
    lengths: np.ndarray
    window: Window
    noise: np.ndarray | None = None
    source: dict | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index) -> PulseSet:
        """The same set with only the pulses of `index` (integers or a mask)."""
        return PulseSet(self.counts[index], self.energies[index], self.wl_ids[index], self.wl_labels, self.opt_R,
                        self.peak_heights[index], self.lengths[index], self.window, self.noise, self.source)


def clip_peaks(peak_heights, mask, sigma: float):
    """`mask` and within `sigma` robust standard deviations (1.4826 MAD) of the good pulses' median height."""
    good = np.asarray(peak_heights, float)[mask]
    centre = np.median(good)
    spread = 1.4826 * np.median(np.abs(good - centre))
    return mask & (np.abs(peak_heights - centre) <= sigma * spread)


def _good(line: RawLine, peak_sigma: float) -> np.ndarray:
    keep = clip_peaks(line.peak_heights, line.mask, peak_sigma) if peak_sigma else line.mask
    if not keep.any():
        raise DataError(line.path, "peak_heights", f"no pulse is left by the {peak_sigma} sigma clip: the wavelength "
                        "is empty", "a larger peak_sigma, or heights that scatter about one value")
    return np.flatnonzero(keep)


def _centred(i_trace, q_trace, rows, window: Window):
    """Filtered I and Q of some rows in counts, about the loop centre, raw rate."""
    scale = window.counts_per_unit
    return [(antialias(trace[rows], window.downsample) - trace_centre) * scale
            for trace, trace_centre in ((i_trace, window.centre[0]), (q_trace, window.centre[1]))]


def _to_counts(windows, path) -> np.ndarray:
    counts = np.rint(np.stack(windows, -1))
    clipped = np.abs(counts) > 32767
    if clipped.mean() > MAX_CLIPPED:
        raise DataError(path, None, f"{100 * clipped.mean():.2g} % of the samples do not fit into int16 at this "
                        "window's centre and counts_per_unit", "the detector and gain that the window was made for")
    return np.clip(counts, -32768, 32767).astype(np.int16)


def cut_pulses(line: RawLine, keep, window: Window, rest: complex, middle: complex, full: bool = False):
    """Windows of the pulses of rows `keep` of one line: counts (M, L, 2) int16, lengths (M,), the rows used (M,).

    rest, middle: points of the loop in counts about the window's centre (see loop_circle.phase_from); `full`: from the
    first sample instead of n_pre before each peak. Raises DataError.
    """
    counts, lengths, used = [], [], []
    for first in range(0, len(keep), BATCH):
        rows = keep[first:first + BATCH]
        i, q = _centred(line.i_trace, line.q_trace, rows, window)
        if full:
            start = np.zeros(len(rows), int)
        else:
            height = phase_from((i + 1j * q).astype(np.complex64), rest, middle)
            start = np.argmax(height, axis=1) - window.n_pre * window.downsample
        inside = start >= 0  # a peak too early leaves no room for the samples before it
        if not inside.any():
            continue
        cut = [cut_windows(x[inside], start[inside], window.length, window.downsample) for x in (i, q)]
        counts.append(_to_counts([c[0] for c in cut], line.path))
        lengths.append(cut[0][1])
        used.append(rows[inside])
    if not used:
        raise DataError(line.path, "i_trace", "every pulse peaks too early", f"the peak at sample "
                        f"{window.n_pre * window.downsample} or later (n_pre {window.n_pre}, downsample "
                        f"{window.downsample})")
    return np.concatenate(counts), np.concatenate(lengths), np.concatenate(used)


def _noise_windows(folder: Path, window: Window, scan: FolderScan):
    """Stretches without a photon: noise.npz if there is one, else what lies before the pulses. (M, L', 2) or None."""
    step = window.downsample
    traces = read_noise(folder)
    if traces is not None:
        rows = np.arange(min(len(traces[0]), MAX_NOISE))
        i, q = _centred(*traces, rows, window)
        starts = np.arange(0, i.shape[1] - (window.length - 1) * step, window.length * step)
    else:
        stop = scan.trigger - 12 * step  # clear of the pulse's foot and of the filter's reach
        if stop < 16 * step:
            return None
        line = read_line(line_files(folder)[0][1])
        rows = np.flatnonzero(line.mask)[:MAX_NOISE]
        i, q = _centred(line.i_trace[:, :stop], line.q_trace[:, :stop], rows, window)
        starts = np.array([0])
    length = min(window.length, 1 + (i.shape[1] - 1) // step)
    starts = starts if len(starts) else np.array([0])
    cut = [np.concatenate([x[:, s:s + (length - 1) * step + 1:step] for s in starts]) for x in (i, q)]
    return _to_counts([c[:MAX_NOISE] for c in cut], folder)


def load_pulse_set(folder, *, downsample: int = 4, n_tau: float = 5.0, n_pre: int = 10, peak_sigma: float = 2.0,
                   window: Window | None = None, full: bool = False, sample_rate_hz: float | None = None) -> PulseSet:
    """Load a data folder (spec: venom.md, Data).

    MAD clip on peak heights (`peak_sigma`, 0 for none), anti-aliased FIR decimation by `downsample`, a window of
    n_pre + round(n_tau * tau * rate) samples about each raw trace's peak (`full`: the whole trace), int16 counts.
    The decay time comes from metadata.json (tau_s), else from a fit to the mean pulse. A given `window` (from a
    checkpoint) wins over all of these. Floats in volts are centred on the fitted resonance loop and scaled by a power
    of two so that int16 is about half used. The raw sample rate comes from `sample_rate_hz`, else from metadata.json,
    else from the window. Raises DataError.
    """
    folder = Path(folder)
    if not isinstance(downsample, int) or downsample < 1:
        raise DataError(folder, "downsample", repr(downsample), "an integer of 1 or more")
    line_files(folder)  # a missing folder or a bad name is the first thing to say
    metadata = read_metadata(folder)
    if metadata.get("complete") is False:
        raise DataError(folder, None, "an interrupted simulation", "a complete one (run the same command again)")
    rate = raw_rate(folder, metadata, sample_rate_hz, window)
    scan = scan_folder(folder, metadata, rate, peak_sigma, window, _good)
    if window is None:
        reduced = rate / downsample
        length = 1 + (scan.n_samples - 1) // downsample if full else window_length(n_pre, n_tau, scan.tau_s, reduced)
        window = Window(reduced, n_pre, length, scan.tau_s, n_tau, downsample, scan.counts_per_unit, scan.centre)
    parts = []
    for number, (wavelength, path) in enumerate(line_files(folder)):
        line = read_line(path)
        counts, lengths, used = cut_pulses(line, _good(line, peak_sigma), window, scan.rest, scan.middle, full)
        parts.append((counts, np.full(len(used), photon_energy(wavelength)), np.full(len(used), number),
                      np.asarray(line.peak_heights[used], float), lengths, line_label(wavelength)))
    join = [np.concatenate([p[k] for p in parts]) for k in range(5)]
    labels = [p[5] for p in parts]
    return PulseSet(counts=join[0], energies=join[1], wl_ids=join[2], wl_labels=labels, peak_heights=join[3],
                    lengths=join[4], opt_R=_stored_resolving_power(folder, metadata, labels), window=window,
                    noise=_noise_windows(folder, window, scan), source=metadata)


def _stored_resolving_power(folder: Path, metadata: dict, labels: list[str]) -> dict[str, float] | None:
    stored = metadata.get("opt_filt_R")
    if stored is None:
        return None
    try:
        values = {float(str(key).lower().removesuffix("nm")): float(value) for key, value in stored.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(folder / "metadata.json", "opt_filt_R", f"{stored!r}"[:80],
                        'an object {"808nm": R, ...}') from None
    found = {}
    for label in labels:  # 814 stands for the 813.7nm line, where a file rounds its names
        wavelength = float(label.removesuffix("nm"))
        key = min(values, key=lambda known: abs(known - wavelength), default=np.inf)  # noqa: B023
        if abs(key - wavelength) <= NAME_ROUNDING_NM:
            found[label] = values[key]
    return found


def normalisation(pulses: PulseSet, index=None) -> dict:
    """Statistics that standardise a data set, over the pulses of `index` (training ones): iq_mean, iq_std [2] in
    counts, energy_offset and energy_scale in eV (mean and standard deviation of the labels)."""
    index = slice(None) if index is None else index
    counts, lengths, energies = pulses.counts[index], pulses.lengths[index], pulses.energies[index]
    valid = np.arange(counts.shape[1]) < lengths[:, None]
    n = valid.sum()
    total, square = np.zeros(2), np.zeros(2)
    for first in range(0, len(counts), 2000):
        part = counts[first:first + 2000].astype(np.float64) * valid[first:first + 2000, :, None]
        total += part.sum((0, 1))
        square += (part**2).sum((0, 1))
    mean = total / n
    std = np.sqrt(np.maximum(square / n - mean**2, 1e-12))
    scale = float(energies.std())
    return {"iq_mean": mean.tolist(), "iq_std": std.tolist(), "energy_offset": float(energies.mean()),
            "energy_scale": scale if scale > 0 else 1.0}


def stratified_split(wl_ids, fraction: float = 0.15, seed: int = 0):
    """(train_idx, val_idx), sorted: `fraction` of each line is held out, at least one pulse of a line with several
    and never all of a line."""
    wl_ids = np.asarray(wl_ids)
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction {fraction}: expected 0 <= fraction < 1")
    rng = np.random.default_rng(seed)
    held = []
    for line in np.unique(wl_ids):
        members = rng.permutation(np.flatnonzero(wl_ids == line))
        count = min(int(round(fraction * len(members))), len(members) - 1)
        if fraction > 0 and len(members) > 1:
            count = max(count, 1)
        held.append(members[:count])
    val = np.sort(np.concatenate(held)) if held else np.empty(0, int)
    return np.setdiff1d(np.arange(len(wl_ids)), val), val
