"""The numbers of a data folder, line by line: what is there, what is clipped, what a pulse and the noise look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import welch

from .calibrate_folder import raw_rate, stored_centre
from .dataset import clip_peaks
from .errors import DataError
from .folder import RawLine, line_files, read_line, read_metadata, read_noise
from .loop_circle import fit_circle
from .mean_pulse import MeanPulse
from .wavelength import line_label, photon_energy
from .window import fit_decay

EXAMPLES = 12       # traces of a line that plots show
POINTS = 200        # traces of a line whose samples show the loop
SEGMENT = 1024      # samples of a Welch segment, at most


@dataclass(frozen=True)
class LineSummary:
    """One line. pulses; masked: flagged bad in the file; clipped: good ones outside the MAD clip; saturated: samples
    at the end of the integers; heights (N,), kept (N,) bool, height_range (low, high) of the clip; mean (samples,)
    complex, of the kept pulses; examples (<= 12, samples) and points (<= 200, samples) complex, some of the kept ones;
    phase (samples,) rad: of the mean; tau_s: its decay (NaN where it has none); noise_rms: of I and Q before the
    pulse."""

    label: str
    energy_ev: float
    pulses: int
    masked: int
    clipped: int
    saturated: int
    heights: np.ndarray
    kept: np.ndarray
    height_range: tuple[float, float]
    mean: np.ndarray
    examples: np.ndarray
    points: np.ndarray
    phase: np.ndarray
    tau_s: float
    noise_rms: tuple[float, float]

    @property
    def used(self) -> int:
        return int(self.kept.sum())

    def to_dict(self) -> dict:
        good = self.heights[self.kept]
        return {"line": self.label, "energy_eV": self.energy_ev, "pulses": self.pulses, "masked": self.masked,
                "clipped": self.clipped, "used": self.used, "saturated_samples": self.saturated,
                "height_median": float(np.median(good)), "height_spread": _spread(good),
                "peak_phase_rad": float(self.phase.max()), "tau_us": None if np.isnan(self.tau_s) else 1e6 * self.tau_s,
                "noise_rms": list(self.noise_rms)}


@dataclass(frozen=True)
class FolderSummary:
    """lines; rate_hz raw; samples a trace; unit "counts" or "V"; centre (complex; stored or fitted) and radius of the
    loop; before: samples before the pulse; noise: {"I", "Q", "phase": one-sided PSD} over frequency (unit^2/Hz,
    rad^2/Hz), from noise_source; metadata of the folder."""

    name: str
    lines: list[LineSummary]
    rate_hz: float
    samples: int
    unit: str
    centre: complex
    radius: float
    before: int
    frequency: np.ndarray
    noise: dict[str, np.ndarray]
    noise_source: str
    metadata: dict

    @property
    def time_us(self) -> np.ndarray:
        return 1e6 * np.arange(self.samples) / self.rate_hz

    def to_dict(self) -> dict:
        known = {k: v for k, v in self.metadata.items() if k in (
            "preset", "version", "seed", "simulated", "converted_from", "channel", "units", "opt_filt_R", "pixel")}
        return {"folder": self.name, "sample_rate_hz": self.rate_hz, "samples": self.samples, "unit": self.unit,
                "loop_centre": [self.centre.real, self.centre.imag], "loop_radius": self.radius,
                "noise_from": self.noise_source, "metadata": known, "lines": [x.to_dict() for x in self.lines]}


def _spread(values) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _complex(line: RawLine, rows) -> np.ndarray:
    return line.i_trace[rows].astype(np.float64) + 1j * line.q_trace[rows]


def _first_look(line: RawLine, peak_sigma: float, rng) -> dict:
    kept = clip_peaks(line.peak_heights, line.mask, peak_sigma) if peak_sigma else line.mask.copy()
    if not kept.any():
        raise DataError(line.path, "peak_heights", f"no pulse is left by the {peak_sigma} sigma clip",
                        "a larger peak_sigma")
    good = np.asarray(line.peak_heights[line.mask], float)
    middle, reach = np.median(good), peak_sigma * _spread(good) if peak_sigma else np.inf
    rows = rng.permutation(np.flatnonzero(kept))[:POINTS]
    saturated = sum(int((np.abs(x.astype(np.int64)) >= np.iinfo(x.dtype).max).sum())
                    for x in (line.i_trace, line.q_trace) if x.dtype.kind == "i")
    mean = line.i_trace[kept].mean(axis=0, dtype=np.float64) + 1j * line.q_trace[kept].mean(axis=0, dtype=np.float64)
    return {"pulses": len(line.mask), "masked": int((~line.mask).sum()), "clipped": int((line.mask & ~kept).sum()),
            "saturated": saturated, "heights": np.asarray(line.peak_heights, float), "kept": kept,
            "height_range": (float(middle - reach), float(middle + reach)), "mean": mean,
            "points": _complex(line, rows), "integers": line.i_trace.dtype.kind in "iu"}


def _psd(traces, rate_hz: float, phase_of):
    segment = min(SEGMENT, traces.shape[1])
    views = {"I": traces.real, "Q": traces.imag, "phase": phase_of(traces)}
    found = {}
    for name, values in views.items():
        frequency, density = welch(values, rate_hz, nperseg=segment, detrend="constant", axis=-1)
        found[name] = density.mean(axis=0)[1:-1]
    return frequency[1:-1], found  # 0 Hz is removed, the last bin is half a bin


def summarise_folder(folder, *, sample_rate_hz: float | None = None, peak_sigma: float = 2.0, seed: int = 0,
                     progress: Callable[[int], None] | None = None) -> FolderSummary:
    """Read a data folder once, line by line. Raises DataError as `load_pulse_set` does; `progress` gets 1 a line."""
    folder = Path(folder)
    files, metadata = line_files(folder), read_metadata(folder)
    rate = raw_rate(folder, metadata, sample_rate_hz, None)
    rng = np.random.default_rng(seed)
    looks = []
    for _, path in files:
        looks.append(_first_look(read_line(path), peak_sigma, rng))
        if len(looks[-1]["mean"]) != len(looks[0]["mean"]):
            raise DataError(path, "i_trace", f"{len(looks[-1]['mean'])} samples a trace",
                            f"{len(looks[0]['mean'])}, as in {files[0][1].name}")
        if progress is not None:
            progress(1)
    means = np.concatenate([look["mean"] for look in looks])
    centre = stored_centre(folder, metadata)
    if centre is None:
        centre, radius = fit_circle(means)
    else:
        radius = float(np.median(np.abs(means - centre)))
    pulse = MeanPulse.of([look["points"] - centre for look in looks], folder)
    lines = []
    for (wavelength, _), look in zip(files, looks, strict=True):
        points = look["points"]
        phase = pulse.phase((look["mean"] - centre)[None])[0]
        try:
            tau = fit_decay(phase, rate)
        except (ValueError, RuntimeError):
            tau = float("nan")
        head = points[:, :pulse.before]
        head = head - head.mean(axis=1, keepdims=True)
        lines.append(LineSummary(
            label=line_label(wavelength), energy_ev=photon_energy(wavelength), examples=points[:EXAMPLES], phase=phase,
            tau_s=tau, noise_rms=(float(head.real.std()), float(head.imag.std())),
            **{k: v for k, v in look.items() if k != "integers"}))
    noise = read_noise(folder)
    if noise is not None:
        traces, source = noise[0] + 1j * noise[1].astype(np.float64), "noise.npz"
    else:
        traces, source = np.concatenate([x.points for x in lines])[:, :pulse.before], "samples before the pulses"
    if traces.shape[1] < 8:
        frequency, densities, source = np.empty(0), {}, "nothing: too few samples before the pulses"
    else:
        frequency, densities = _psd(traces, rate, lambda z: pulse.phase(z - centre))
    unit = "counts" if all(look["integers"] for look in looks) else "V"
    return FolderSummary(folder.resolve().name, lines, rate, len(looks[0]["mean"]), unit, centre, radius, pulse.before,
                         frequency, densities, source, metadata)
