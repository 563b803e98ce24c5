"""Real PtSi pulses at 2 MHz, as stimuli in the counts of the simulated detector.

Data: ptsi_real_2MHz.npz (from Jezen5Volk/MKID-ML). No wavelength labels: for noise, shape and range, not for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .decimation import antialias, cut_windows
from .errors import DataError
from .presets import PTSI, DetectorPreset
from .simulator import pulse_sign
from .window import Window

_KEYS = ("i", "q", "valid", "isolated", "circle", "noise_i", "noise_q", "sample_rate", "peak_index")


@dataclass(frozen=True)
class RealPulses:
    """counts (N, L, 2) int16, zero past lengths (N,); isolated (N,): no other pulse nearby; rows (N,): index in the
    file."""

    counts: np.ndarray
    lengths: np.ndarray
    isolated: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)


def _read(path: Path) -> dict:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [k for k in _KEYS if k not in archive.files]:
                raise DataError(path, missing[0], "missing key", f"the keys {', '.join(_KEYS)}")
            return {k: archive[k] for k in _KEYS}
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(path, None, f"cannot be read ({error})", "ptsi_real_2MHz.npz of the shared data") from error


def _onto_simulated_loop(data: dict, preset: DetectorPreset):
    """Complex function volts -> counts: centred, scaled to the simulated loop's radius, turned (and mirrored if need
    be) so that the rest point and the direction of the pulses agree with the simulation's."""
    centre, radius = complex(data["circle"][0], data["circle"][1]), float(data["circle"][2])
    scale = preset.loop_radius * preset.counts_per_unit / radius
    noise = data["noise_i"] + 1j * data["noise_q"] - centre
    rest = complex(np.median(noise.real), np.median(noise.imag))
    at_peak = data["valid"][:, int(data["peak_index"])]
    peak = np.mean((data["i"] + 1j * data["q"] - centre)[at_peak, int(data["peak_index"])])
    mirrored = np.sign(np.angle(peak / rest)) != pulse_sign(preset)
    target = -np.exp(1j * preset.gain_phase_rad)
    turn = target / (np.conj(rest) if mirrored else rest) * abs(rest)

    def place(z):
        z = z - centre
        return (np.conj(z) if mirrored else z) * turn * scale

    return place


@dataclass(frozen=True)
class RawPulses:
    """At the raw rate, complex, in counts of the simulated loop: pulses (N, L') with nan where not valid, isolated
    ones alone; noise (M, L''), stretches without a photon; rate in Hz; peak, the sample of the filtered peak."""

    pulses: np.ndarray
    noise: np.ndarray
    rate_hz: float
    peak: int


def load_raw_ptsi(path, preset: DetectorPreset = PTSI) -> RawPulses:
    """The real isolated pulses and noise, undecimated, for comparison with `simulate_line`. Raises DataError."""
    data = _read(Path(path))
    place = _onto_simulated_loop(data, preset)
    chosen = data["isolated"].astype(bool)
    pulses = place(data["i"][chosen].astype(float) + 1j * data["q"][chosen])
    pulses[~data["valid"][chosen].astype(bool)] = np.nan
    noise = place(data["noise_i"].astype(float) + 1j * data["noise_q"])
    return RawPulses(pulses, noise, float(data["sample_rate"]), int(data["peak_index"]))


def load_real_ptsi(path, window: Window, preset: DetectorPreset = PTSI) -> RealPulses:
    """The real pulses from n_pre decimated samples before the peak to the last valid one, at most L (contracts).

    Pulses whose valid samples do not reach from there over the peak are left out. Raises DataError for another file, a
    window of another raw rate, or values that do not fit into int16.
    """
    path = Path(path)
    data = _read(path)
    rate = float(data["sample_rate"])
    if abs(rate / window.raw_rate_hz - 1) > 1e-6:
        raise DataError(path, "sample_rate", f"{rate:g} Hz", f"{window.raw_rate_hz:g} Hz, the window's raw rate")
    place = _onto_simulated_loop(data, preset)
    peak = int(data["peak_index"])
    start = peak - window.n_pre * window.downsample
    rows, counts, lengths = [], [], []
    for row in range(len(data["i"])):
        good = np.flatnonzero(data["valid"][row])
        if start < 0 or len(good) == 0 or good[0] > start or good[-1] < peak:
            continue
        stop = start + int(np.argmin(np.append(data["valid"][row, start:], False)))
        if stop <= peak:
            continue
        z = place(data["i"][row, good[0]:stop].astype(float) + 1j * data["q"][row, good[0]:stop])
        begin = np.array([start - good[0]])
        cut = [cut_windows(antialias(x, window.downsample)[None], begin, window.length, window.downsample)
               for x in (z.real, z.imag)]
        values = np.rint(np.stack([c[0][0] for c in cut], -1))
        if np.abs(values).max() > 32767:
            raise DataError(path, "i", f"pulse {row} reaches {np.abs(values).max():.0f} counts", "int16")
        rows.append(row)
        counts.append(values.astype(np.int16))
        lengths.append(int(cut[0][1][0]))
    if not rows:
        raise DataError(path, "valid", "no pulse covers its peak", f"valid samples from {start} past {peak}")
    rows = np.array(rows)
    return RealPulses(np.stack(counts), np.array(lengths), data["isolated"][rows].astype(bool), rows)
