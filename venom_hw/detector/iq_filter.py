"""Two-dimensional optimal filter: phase and dissipation together, weighted by the covariance of their noise.

Source: mkidcalculator (io/pulse.py, io/noise.py): coordinates 'geometric' = angle and radius about the loop centre;
filter conj(T) S^-1 with S the 2x2 matrix of spectral densities at each frequency, the zero frequency removed; the
response is the maximum over arrival time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import csd

from .dataset import PulseSet
from .noise_spectrum import noise_psd
from .optimal_filter import MAX_LAG, parabola, shift_traces, sum_over_spectrum, training_pulses
from .phase_coordinate import PhaseCoordinate

COHERENCE = 0.99  # largest coherence of the two coordinates' noise that is believed


@dataclass(frozen=True)
class IqCoordinate:
    """Both coordinates of the loop about its centre: phase in rad (`PhaseCoordinate`), and dissipation = radius
    relative to the rest point's, minus 1, which a photon makes negative."""

    phase: PhaseCoordinate

    @classmethod
    def fit(cls, pulses: PulseSet, index=None) -> IqCoordinate:
        return cls(PhaseCoordinate.fit(pulses, index))

    def __call__(self, counts) -> np.ndarray:
        """(..., 2) counts -> (..., 2) phase and dissipation, float32."""
        counts = np.asarray(counts, np.float32)
        radius = np.hypot(counts[..., 0], counts[..., 1]) / np.float32(abs(self.phase.rest))
        return np.stack([self.phase(counts), radius - np.float32(1)], -1)


def noise_matrix(traces, rate_hz: float, length: int) -> np.ndarray:
    """One-sided cross-spectral density (F, 2, 2), complex Hermitian, on the F = length // 2 + 1 frequencies of a
    window, averaged over traces (M, L', 2). Traces shorter than a window: as `noise_psd`."""
    traces = np.asarray(traces, np.float64)
    power = [noise_psd(traces[..., k], rate_hz, length) for k in range(2)]
    segment = min(length, traces.shape[1])
    frequency, cross = csd(traces[..., 0], traces[..., 1], rate_hz, nperseg=segment, detrend="constant", axis=1)
    cross = cross.mean(axis=0)
    cross[0] = cross[1].real  # removing the mean emptied the first bin
    if segment != length:
        wanted = np.fft.rfftfreq(length, 1.0 / rate_hz)
        cross = np.interp(wanted, frequency, cross.real) + 1j * np.interp(wanted, frequency, cross.imag)
    largest = COHERENCE * np.sqrt(power[0] * power[1])
    cross = cross * np.minimum(1.0, largest / np.maximum(np.abs(cross), np.finfo(float).tiny))
    matrix = np.empty((len(cross), 2, 2), complex)
    matrix[:, 0, 0], matrix[:, 1, 1] = power
    matrix[:, 0, 1], matrix[:, 1, 0] = cross, np.conj(cross)
    return matrix


@dataclass(frozen=True)
class IqFilter:
    """template (L, 2), its phase of unit peak; kernel (L // 2 + 1, 2) complex, whose response to the template is 1 at
    lag 0; variance of the response, predicted from the noise matrix (stationary noise)."""

    template: np.ndarray
    kernel: np.ndarray
    variance: float

    @classmethod
    def from_template(cls, template, matrix, rate_hz: float) -> IqFilter:
        """template (L, 2), noise matrix (L // 2 + 1, 2, 2) in unit^2/Hz as `noise_matrix` gives it."""
        template = np.asarray(template, np.float64)
        template = template / np.max(template[:, 0])
        n = len(template)
        spectrum = np.fft.rfft(template, axis=0)
        if matrix.shape != (len(spectrum), 2, 2) or not (np.linalg.eigvalsh(matrix) > 0).all():
            raise ValueError(f"noise matrix of shape {matrix.shape}: expected {(len(spectrum), 2, 2)}, all positive")
        # scipy's csd(x, y) is <conj(X) Y>, the transpose of <N N^H>: so this is conj(T) <N N^H>^-1
        weight = np.linalg.solve(matrix, np.conj(spectrum)[..., None])[..., 0]
        weight[0] = 0.0
        gain = np.fft.irfft((weight * spectrum).sum(-1), n)[0]
        kernel = weight / gain
        power = np.einsum("fi,fij,fj->f", np.conj(kernel), matrix, kernel).real * rate_hz * n / 2.0
        return cls(template, kernel, sum_over_spectrum(power, n) / n**2)

    def correlate(self, traces) -> np.ndarray:
        """Response at lags -MAX_LAG - 1 ... MAX_LAG + 1 of traces (N, L, 2), as `OptimalFilter.correlate`."""
        n = len(self.template)
        spectrum = np.fft.rfft(np.asarray(traces, np.float64), axis=1)
        wave = np.fft.irfft((spectrum * self.kernel).sum(-1), n, axis=-1)
        return wave[:, np.arange(-MAX_LAG - 1, MAX_LAG + 2) % n]

    def apply(self, traces, batch: int = 4000) -> tuple[np.ndarray, np.ndarray]:
        """(amplitude (N,), lag (N,) in samples) of traces (N, L, 2)."""
        traces = np.asarray(traces)
        if traces.ndim != 3 or traces.shape[1:] != self.template.shape:
            raise ValueError(f"traces of shape {traces.shape}: expected (N, {len(self.template)}, 2)")
        parts = [parabola(self.correlate(traces[k:k + batch])) for k in range(0, len(traces), batch)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def make_iq_filter(traces, matrix, rate_hz: float, n_pre: int, max_pulses: int = 4000) -> IqFilter:
    """Filter from training pulses (N, L, 2): average, filter, align at sub-sample, average again (`make_filter`)."""
    traces, head = training_pulses(traces, n_pre, max_pulses)
    first = IqFilter.from_template(traces.mean(axis=0), matrix, rate_hz)
    lag = first.apply(traces)[1]
    lag = np.clip(lag - np.median(lag), -2, 2)
    aligned = np.stack([shift_traces(traces[..., k], lag).mean(axis=0) for k in range(2)], -1)
    return IqFilter.from_template(aligned - aligned[:head].mean(axis=0), matrix, rate_hz)
