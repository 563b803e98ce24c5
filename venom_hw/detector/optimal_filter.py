"""Optimal (matched) filter of the phase, with one shared template or one a wavelength.

Source: mkidcalculator (io/pulse.py): template from averaged, aligned pulses; filter conj(T)/PSD with the zero
frequency removed; the response is the maximum over arrival time, here refined by a parabola.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_LAG = 8  # samples by which a pulse may lie beside the template


@dataclass(frozen=True)
class OptimalFilter:
    """template (L,) of unit peak; kernel (L // 2 + 1,) complex, its response to the template is 1 at lag 0.

    variance: of the response, predicted from the noise PSD (stationary noise).
    """

    template: np.ndarray
    kernel: np.ndarray
    variance: float

    @classmethod
    def from_template(cls, template, psd, rate_hz: float) -> OptimalFilter:
        """template (L,), one-sided PSD (L // 2 + 1,) in unit^2/Hz. The zero frequency is not used."""
        template = np.asarray(template, np.float64)
        template = template / np.max(template)
        n = len(template)
        spectrum = np.fft.rfft(template)
        psd = np.asarray(psd, np.float64)
        if psd.shape != spectrum.shape or not (psd > 0).all():
            raise ValueError(f"psd of shape {psd.shape}: expected {spectrum.shape}, all positive")
        weight = np.conj(spectrum) / psd
        weight[0] = 0.0
        gain = np.fft.irfft(weight * spectrum, n)[0]
        kernel = weight / gain
        # var = sum over bins of |kernel|^2 times the variance of the noise spectrum, E|N|^2 = psd rate n / 2
        power = np.abs(kernel) ** 2 * psd * rate_hz * n / 2.0
        return cls(template, kernel, sum_over_spectrum(power, n) / n**2)

    def correlate(self, traces) -> np.ndarray:
        """Response at lags -MAX_LAG - 1 ... MAX_LAG + 1 (positive: pulse later than the template), (N, lags)."""
        n = len(self.template)
        wave = np.fft.irfft(np.fft.rfft(np.asarray(traces, np.float64), axis=-1) * self.kernel, n, axis=-1)
        lags = np.arange(-MAX_LAG - 1, MAX_LAG + 2)
        return wave[:, lags % n]

    def apply(self, traces, batch: int = 4000) -> tuple[np.ndarray, np.ndarray]:
        """(amplitude (N,), lag (N,) in samples) of phase traces (N, L)."""
        traces = np.atleast_2d(traces)
        if traces.shape[-1] != len(self.template):
            raise ValueError(f"traces of {traces.shape[-1]} samples: expected {len(self.template)}, as the template")
        parts = [parabola(self.correlate(traces[k:k + batch])) for k in range(0, len(traces), batch)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def sum_over_spectrum(power, n: int) -> float:
    """Sum over all n frequencies of the real transform's n // 2 + 1 powers: all but the first and, for even n, the last
    stand for two."""
    double = np.full(len(power), 2.0)
    double[0] = 1.0
    if n % 2 == 0:
        double[-1] = 1.0
    return float((double * power).sum())


def parabola(wave):
    """Height and place of the maximum through three points about the largest one; place relative to lag 0."""
    peak = 1 + np.argmax(wave[:, 1:-1], axis=1)
    rows = np.arange(len(wave))
    left, middle, right = wave[rows, peak - 1], wave[rows, peak], wave[rows, peak + 1]
    bend = left - 2 * middle + right
    safe = np.where(bend < 0, bend, -1.0)
    shift = np.where(bend < 0, np.clip(0.5 * (left - right) / safe, -0.5, 0.5), 0.0)
    return middle - 0.25 * (left - right) * shift, peak + shift - (MAX_LAG + 1)


def shift_traces(traces, lag) -> np.ndarray:
    """Traces (N, L) moved earlier by `lag` (N,) samples, sub-sample, by a Fourier phase (circular)."""
    n = traces.shape[-1]
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(n) * np.asarray(lag)[:, None])
    return np.fft.irfft(np.fft.rfft(traces, axis=-1) * turn, n, axis=-1)


def training_pulses(traces, n_pre: int, max_pulses: int) -> tuple[np.ndarray, int]:
    """About `max_pulses` of the traces (N, L, ...), less the mean of their first samples, and how many those are.

    Raises ValueError if there is no trace.
    """
    traces = np.asarray(traces[:: max(1, len(traces) // max_pulses)], np.float64)
    if len(traces) == 0:
        raise ValueError("no training pulse for a template")
    head = max(1, n_pre - 4)
    return traces - traces[:, :head].mean(axis=1, keepdims=True), head


def make_filter(traces, psd, rate_hz: float, n_pre: int, max_pulses: int = 4000) -> OptimalFilter:
    """Filter from training pulses (N, L) of phase: average, filter, align at sub-sample, average again.

    The template's baseline is the mean of its first samples, before the pulse.
    """
    traces, head = training_pulses(traces, n_pre, max_pulses)
    first = OptimalFilter.from_template(traces.mean(axis=0), psd, rate_hz)
    _, lag = first.apply(traces)
    aligned = shift_traces(traces, np.clip(lag - np.median(lag), -2, 2)).mean(axis=0)
    return OptimalFilter.from_template(aligned - aligned[:head].mean(), psd, rate_hz)
