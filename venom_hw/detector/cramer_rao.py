"""The Cramer-Rao bound on the energy of a photon in the simulated detector.

The windows that an estimator sees are Gaussian to a good approximation, with a mean and a covariance that depend on
the deposited energy, the arrival time and the hot spot; their Fisher information is computed from the simulator's own
mean pulse and noise (which the resonator compresses during a pulse). The arrival time is unknown and marginalised; the
hot spot is a nuisance whose scatter is its prior. What is lost before the quasi-particles are counted (Fano statistics,
phonons, absorption site) no estimator can recover: it is added in quadrature.

Evaluations clip pulses whose stored height lies beyond `peak_sigma` (2 by default) of their line's: an R by rms error
gains from that (tails are cut), the FWHM hardly does; compare the bound with unclipped pulses, or with R by FWHM.

Source of the information of a Gaussian with moving mean and covariance: Kay, Fundamentals of Statistical Signal
Processing: Estimation Theory, section 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, matmul_toeplitz
from scipy.signal import lfilter

from .decimation import antialias_taps
from .noise import tls_autocovariance
from .presets import DetectorPreset
from .resolving_power import FWHM_PER_SIGMA
from .resonator import s21
from .simulator import clean_response, detuning, phase
from .wavelength import photon_energy
from .window import Window, window_length


@dataclass(frozen=True)
class EnergyBound:
    """Standard deviations in eV at `energy` eV: `noise` of the noise and the nuisances, `floor` of what is lost before
    the readout, `sigma` of both in quadrature; `known_nuisances` is `noise` if arrival and hot spot were known."""

    energy: float
    noise: float
    known_nuisances: float
    floor: float

    @property
    def sigma(self) -> float:
        return float(np.hypot(self.noise, self.floor))

    @property
    def resolving_power(self) -> float:
        """E / FWHM of an estimator that reaches the bound with a normal distribution."""
        return self.energy / (FWHM_PER_SIGMA * self.sigma)


def default_window(preset: DetectorPreset, downsample: int = 4, n_tau: float = 5.0, n_pre: int = 10) -> Window:
    """The window that a simulated folder of this preset is loaded with."""
    rate = preset.sample_rate_hz / downsample
    length = window_length(n_pre, n_tau, preset.window_tau_s, rate)
    return Window(rate, n_pre, length, preset.window_tau_s, n_tau, downsample)


def window_operator(preset: DetectorPreset, energy_ev: float, window: Window) -> np.ndarray:
    """Anti-alias filter, decimation and cut as a matrix (L, n_samples), at the place where the clean pulse peaks.

    Windows past the end of the trace lose their rows. Raises ValueError if the window's raw rate is not the preset's
    or it begins before the trace."""
    if abs(window.raw_rate_hz / preset.sample_rate_hz - 1) > 1e-6:
        raise ValueError(f"window of raw rate {window.raw_rate_hz:g} Hz: expected {preset.sample_rate_hz:g} Hz")
    step = window.downsample
    peak = int(np.argmax(phase(preset, clean_response(preset, energy_ev))[0]))
    start = peak - window.n_pre * step
    if start < 0:
        raise ValueError(f"window begins at raw sample {start}: expected 0 or later")
    centre = start + step * np.arange(window.length)
    centre = centre[centre < preset.n_samples]
    taps = antialias_taps(step)
    half = len(taps) // 2
    operator = np.zeros((len(centre), preset.n_samples))
    column = np.clip(centre[:, None] + np.arange(-half, half + 1), 0, preset.n_samples - 1)
    np.add.at(operator, (np.arange(len(centre))[:, None], column), taps)
    return operator


def _before_one_pole(operator, pole: float):
    """operator @ F for the one-pole filter y[n] = (1 - p) x[n] + p y[n - 1]: the filter run backwards along rows."""
    return lfilter([1.0 - pole], [1.0, -pole], operator[:, ::-1], axis=-1)[:, ::-1]


def _poles(preset: DetectorPreset) -> tuple[float, float]:
    times = preset.ring_time_s, preset.readout_time_s
    ring, readout = (np.exp(-1.0 / (preset.sample_rate_hz * t)) if t > 0 else 0.0 for t in times)
    return float(ring), float(readout)


def _mean(preset, operator, energy, arrival, hotspot) -> np.ndarray:
    z = clean_response(preset, energy, arrival, hotspot, dtype=np.float64)[0]
    return np.concatenate([operator @ z.real, operator @ z.imag])


def amplifier_covariance(preset: DetectorPreset, operator) -> np.ndarray:
    """Covariance (L, L) of one quadrature's window in counts^2: amplifier noise and the rounding of the counts."""
    _, pole = _poles(preset)
    sigma2 = (preset.loop_radius * preset.counts_per_unit) ** 2 * preset.white_phase_psd * preset.sample_rate_hz / 2.0
    lag = np.arange(operator.shape[1])
    column = sigma2 * (1.0 - pole) / (1.0 + pole) * pole**lag
    column[0] += 1.0 / 12.0  # of each raw sample
    inner = matmul_toeplitz(column, operator.T)
    return operator @ inner + np.eye(len(operator)) / 12.0  # of each window sample


def frequency_covariance(preset: DetectorPreset, operator, energy, arrival, hotspot, autocovariance) -> np.ndarray:
    """Covariance (2L, 2L) in counts^2 of I and Q windows by the noise of the resonance frequency.

    To first order the resonator turns df/f into dz = (dS21 / dx) df/f, small on the flank that a photon pushes it to;
    ring-down and readout filter that."""
    ring, readout = _poles(preset)
    shift, loss = detuning(preset, energy, arrival, hotspot, np.float64)
    h = 1e-3 / preset.q
    gain = ((s21(preset, shift + h, loss) - s21(preset, shift - h, loss)) / (2.0 * h))[0]
    gain = gain * preset.counts_per_unit * np.exp(1j * preset.gain_phase_rad)
    through = _before_one_pole(_before_one_pole(operator, readout), ring)
    both = np.concatenate([through * gain.real, through * gain.imag])
    return both @ matmul_toeplitz(autocovariance, both.T)


@dataclass(frozen=True)
class LocalModel:
    """The windows of photons of one energy, about a point: energy in eV, arrival in raw samples, hot spot.

    mean (2L,) counts, I then Q; slopes (2L, 3) of the mean; covariance (2L, 2L); covariance_slopes, three of them;
    prior (3,) inverse variances; operator (L, n_samples) from traces to windows."""

    point: np.ndarray
    mean: np.ndarray
    slopes: np.ndarray
    covariance: np.ndarray
    covariance_slopes: tuple[np.ndarray, ...]
    prior: np.ndarray
    operator: np.ndarray

    def information(self) -> np.ndarray:
        """Fisher matrix (3, 3) without the prior: I_ij = m_i C^-1 m_j + tr(C^-1 C_i C^-1 C_j) / 2."""
        factor = cho_factor(self.covariance)
        information = self.slopes.T @ cho_solve(factor, self.slopes)
        relative = [cho_solve(factor, c) for c in self.covariance_slopes]
        for i, first in enumerate(relative):
            for j, second in enumerate(relative):
                information[i, j] += 0.5 * np.sum(first * second.T)
        return information


def local_model(preset: DetectorPreset, energy_ev: float, window: Window) -> LocalModel:
    """Mean, covariance and their numerical derivatives in windows placed at the clean pulse's peak."""
    operator = window_operator(preset, energy_ev, window)
    point = np.array([energy_ev, 0.0, preset.hotspot_fraction])
    steps = np.array([2e-3 * energy_ev, 0.05, 0.02])
    autocovariance = tls_autocovariance(preset)
    quadratures = np.kron(np.eye(2), amplifier_covariance(preset, operator))

    def frequency(at):
        return frequency_covariance(preset, operator, *at, autocovariance)

    ends = [(point + offset, point - offset) for offset in np.diag(steps)]
    slopes = [(_mean(preset, operator, *up) - _mean(preset, operator, *down)) / (2 * h)
              for (up, down), h in zip(ends, steps, strict=True)]
    covariance_slopes = [(frequency(up) - frequency(down)) / (2 * h) for (up, down), h in zip(ends, steps, strict=True)]
    spread = max(preset.hotspot_scatter, 1e-9)  # a hot spot that never varies is known
    return LocalModel(point, _mean(preset, operator, *point), np.stack(slopes, 1), quadratures + frequency(point),
                      tuple(covariance_slopes), np.array([0.0, 0.0, spread**-2]), operator)


def energy_bound(preset: DetectorPreset, energy_ev: float, window: Window | None = None) -> EnergyBound:
    """The bound for photons of `energy_ev` in windows of `window` (default: that of a folder of this preset)."""
    model = local_model(preset, energy_ev, window or default_window(preset))
    information = model.information()
    noise = np.sqrt(np.linalg.inv(information + np.diag(model.prior))[0, 0])
    floor = np.sqrt(preset.fano_ev * energy_ev + (preset.site_scatter * energy_ev) ** 2)
    return EnergyBound(float(energy_ev), float(noise), float(information[0, 0] ** -0.5), float(floor))


def resolving_power_bound(preset: DetectorPreset, energy_ev: float, window: Window | None = None) -> float:
    """Largest R = E / FWHM of an unbiased estimator of the photon energy (normally distributed), from windows of
    `window`; the default is the window that a folder of this preset is loaded with."""
    return energy_bound(preset, energy_ev, window).resolving_power


def line_bounds(preset: DetectorPreset, window: Window | None = None) -> dict[float, EnergyBound]:
    """{wavelength in nm: bound} of the preset's lines."""
    return {w: energy_bound(preset, float(photon_energy(w)), window) for w in preset.wavelengths_nm}
