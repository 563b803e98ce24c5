"""Noise of a simulated resonator: two-level-system (1/f) frequency noise and white amplifier noise."""

from __future__ import annotations

import numpy as np
from scipy import fft

from .presets import DetectorPreset


def tls_noise(preset: DetectorPreset, n_traces: int, n_samples: int, rng: np.random.Generator):
    """Fractional frequency noise df/f, float32 (n_traces, n_samples), one-sided PSD tls_at_1hz / f.

    Synthesised over twice the length and cut, so that traces are not periodic; what lies between `tls_floor_hz`
    and the lowest bin is a constant offset of each trace.
    """
    n = fft.next_fast_len(2 * n_samples, real=True)
    df = preset.sample_rate_hz / n
    k = np.arange(1, n // 2 + 1)
    # irfft divides by n; a bin of one-sided PSD S has mean |X|^2 = S n^2 df / 2
    amplitude = np.sqrt(preset.tls_at_1hz / (k * df) * df / 2.0) * n / np.sqrt(2.0)
    spectrum = np.zeros((n_traces, n // 2 + 1), np.complex64)
    normal = rng.standard_normal((n_traces, n // 2, 2), dtype=np.float32)
    spectrum[:, 1:] = (normal * amplitude[:, None].astype(np.float32)).view(np.complex64)[..., 0]
    noise = fft.irfft(spectrum, n, axis=-1)[:, :n_samples]
    slow = np.sqrt(preset.tls_at_1hz * np.log(max(0.5 * df / preset.tls_floor_hz, 1.0)))
    noise += (slow * rng.standard_normal((n_traces, 1))).astype(np.float32)
    return noise


def phase_psd(preset: DetectorPreset, frequency_hz):
    """One-sided PSD of the quiescent phase in rad^2/Hz: TLS noise through d(theta)/d(df/f) = 4Q and the ring-down,
    plus amplifier noise. `frequency_hz` > 0."""
    f = np.asarray(frequency_hz, float)
    low_pass = 1.0 / (1.0 + (2.0 * np.pi * f * preset.ring_time_s) ** 2)
    return (4.0 * preset.q) ** 2 * preset.tls_at_1hz / f * low_pass + preset.white_phase_psd


def amplifier_noise(preset: DetectorPreset, n_traces: int, n_samples: int, rng: np.random.Generator):
    """White complex noise, complex64 (n_traces, n_samples), in units of |S21|, equal in both quadratures."""
    sigma = np.float32(preset.loop_radius * np.sqrt(preset.white_phase_psd * preset.sample_rate_hz / 2.0))
    noise = rng.standard_normal((n_traces, n_samples, 2), dtype=np.float32)
    noise *= sigma
    return noise.view(np.complex64)[..., 0]
