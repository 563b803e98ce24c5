"""Real PtSi pulses and noise laid over simulated ones: what the simulator gets right, as curves and as a picture."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import welch

from venom_hw.atomic import atomic_file

from .noise import phase_psd
from .presets import DetectorPreset
from .real_ptsi import load_raw_ptsi
from .simulator import phase, simulate_line
from .wavelength import photon_energy

BEFORE, AFTER = 40, 390  # raw samples about the peak of the mean pulse
NOISE_SEGMENT = 400      # samples of a stretch of real noise
REAL, SIMULATED = "real PtSi", "simulated"


@dataclass(frozen=True)
class Curves:
    """Phase (rad) and dissipation (radius over that at rest, minus 1) of single pulses (N, T) and of their median
    (T,), about the peak; time in s. Noise: frequency (F,) in Hz and one-sided PSDs, 1/Hz, of both coordinates."""

    time: np.ndarray
    phase: np.ndarray
    dissipation: np.ndarray
    frequency: np.ndarray
    phase_psd: np.ndarray
    dissipation_psd: np.ndarray

    def median(self, coordinate: str) -> np.ndarray:
        return np.nanmedian(getattr(self, coordinate), axis=0)


def _curves(preset: DetectorPreset, pulses, noise, rate_hz: float) -> Curves:
    def both(z):
        radius = preset.loop_radius * preset.counts_per_unit
        return phase(preset, z.astype(np.complex64)), np.abs(z) / radius - 1.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # samples that no pulse covers
        theta, radius = both(pulses)
        peak = int(np.nanargmax(np.nanmedian(theta, axis=0)))
    cut = slice(max(0, peak - BEFORE), min(peak + AFTER, pulses.shape[1]))
    time = (np.arange(cut.start, cut.stop) - peak) / rate_hz
    spectra = [welch(x.astype(float), rate_hz, nperseg=min(NOISE_SEGMENT, x.shape[1])) for x in both(noise)]
    frequency = spectra[0][0][1:-1]
    psd = [density.mean(axis=0)[1:-1] for _, density in spectra]
    return Curves(time, theta[:, cut], radius[:, cut], frequency, *psd)


def simulated_curves(preset: DetectorPreset, pulses: int = 40, seed: int = 1) -> Curves:
    """Curves of `pulses` photons of each line, and of noise traces."""
    lines = [simulate_line(preset, float(photon_energy(w)), pulses, seed) for w in preset.wavelengths_nm]
    z = np.concatenate([(t.i_trace + 1j * t.q_trace.astype(float))[t.mask] for t in lines])
    noise = simulate_line(preset, 0.0, 200, seed)
    return _curves(preset, z, noise.i_trace + 1j * noise.q_trace.astype(float), preset.sample_rate_hz)


def real_curves(preset: DetectorPreset, path) -> Curves:
    """Curves of the real isolated pulses and noise of `path`, laid onto the preset's loop. Raises DataError."""
    real = load_raw_ptsi(path, preset)
    return _curves(preset, real.pulses, real.noise, real.rate_hz)


def noise_level(real: Curves, simulated: Curves, low_hz: float = 5e3, high_hz: float = 250e3) -> float:
    """Power of the simulated phase noise over the real one's, between two frequencies."""
    a, b = (c.phase_psd[(c.frequency >= low_hz) & (c.frequency <= high_hz)].mean() for c in (simulated, real))
    return float(a / b)


def plot_overlay(preset: DetectorPreset, simulated: Curves, real: Curves | None, path) -> Path:
    """Write a PNG of four panels, atomically: phase and dissipation of pulses, pulses in the I/Q plane, noise."""
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    (top, bottom), (plane, noise) = figure.subplots(2, 2)
    figure.suptitle(f"preset {preset.name} version {preset.version}" + (", and real PtSi pulses" if real else ""))
    shown = [(SIMULATED, simulated, "C1")] + ([(REAL, real, "C0")] if real else [])
    for name, curves, colour in shown:
        micro = 1e6 * curves.time
        for panel, coordinate in ((top, "phase"), (bottom, "dissipation")):
            single = getattr(curves, coordinate)
            panel.plot(micro, single[:: max(1, len(single) // 12)].T, color=colour, alpha=0.12, linewidth=0.6)
            panel.plot(micro, curves.median(coordinate), color=colour, linewidth=2, label=f"{name}, median")
        theta, radius = curves.median("phase"), 1.0 + curves.median("dissipation")
        plane.plot(radius * np.cos(theta), radius * np.sin(theta), ".-", color=colour, label=f"{name}, median")
        noise.loglog(curves.frequency, curves.phase_psd, color=colour, label=f"{name}, phase")
        noise.loglog(curves.frequency, curves.dissipation_psd, ":", color=colour, label=f"{name}, dissipation")
    noise.loglog(simulated.frequency, phase_psd(preset, simulated.frequency), "k--", linewidth=1,
                 label="formula, phase without tones")
    if real:
        noise.set_title(f"simulated phase noise: {noise_level(real, simulated):.2f} of the real power", fontsize=10)
    turn = np.linspace(0, 2 * np.pi, 200)
    plane.plot(np.cos(turn), np.sin(turn), color="0.8", zorder=0)
    plane.set_aspect("equal")
    plane.set(xlabel="in phase with the rest point", ylabel="quadrature", title="loop of radius 1")
    top.set(xlabel="time after the peak, us", ylabel="phase, rad")
    bottom.set(xlabel="time after the peak, us", ylabel="dissipation (radius - 1)")
    noise.set(xlabel="frequency, Hz", ylabel="one-sided PSD, rad$^2$/Hz and 1/Hz")
    for panel in (top, bottom, plane, noise):
        panel.legend(fontsize=8)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return Path(path)
