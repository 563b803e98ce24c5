"""Noise of a simulated resonator: two-level-system (1/f) frequency noise, pick-up lines and amplifier noise."""

from __future__ import annotations

import numpy as np
from scipy import fft

from .presets import DetectorPreset
from .resonator import one_pole


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


def tls_autocovariance(preset: DetectorPreset) -> np.ndarray:
    """Autocovariance (n_samples,) of df/f by lag, of what `tls_noise` and `tone_noise` give together."""
    n = fft.next_fast_len(2 * preset.n_samples, real=True)
    df = preset.sample_rate_hz / n
    k = np.arange(1, n // 2 + 1)
    spectrum = np.concatenate([[0.0], preset.tls_at_1hz / k])  # variance of each bin
    if n % 2 == 0:
        spectrum[-1] *= 0.5
    covariance = fft.irfft(spectrum, n)[:preset.n_samples] * n / 2.0
    covariance += preset.tls_at_1hz * np.log(max(0.5 * df / preset.tls_floor_hz, 1.0))
    time = np.arange(preset.n_samples) / preset.sample_rate_hz
    for frequency, rms in preset.line_tones:
        covariance += (rms / (4.0 * preset.q)) ** 2 * np.cos(2.0 * np.pi * frequency * time)
    return covariance


def tone_noise(preset: DetectorPreset, n_traces: int, n_samples: int, rng: np.random.Generator):
    """Fractional frequency modulation df/f of the line tones, float32 (n_traces, n_samples); a random phase a trace."""
    turn = 2.0 * np.pi / preset.sample_rate_hz * np.arange(n_samples)
    noise = np.zeros((n_traces, n_samples), np.float32)
    for frequency, rms in preset.line_tones:
        start = rng.uniform(0.0, 2.0 * np.pi, (n_traces, 1))
        amplitude = np.sqrt(2.0) * rms / (4.0 * preset.q)
        noise += (amplitude * np.cos(start)).astype(np.float32) * np.cos(frequency * turn).astype(np.float32)
        noise -= (amplitude * np.sin(start)).astype(np.float32) * np.sin(frequency * turn).astype(np.float32)
    return noise


def _power_gain(preset: DetectorPreset, time_s: float, frequency_hz):
    """|H|^2 of the sampled one-pole low-pass with a time constant, as `resonator.one_pole` applies it."""
    pole = np.exp(-1.0 / (preset.sample_rate_hz * time_s)) if time_s > 0 else 0.0
    turn = 2.0 * np.pi * np.asarray(frequency_hz, float) / preset.sample_rate_hz
    return (1.0 - pole) ** 2 / (1.0 - 2.0 * pole * np.cos(turn) + pole**2)


def phase_psd(preset: DetectorPreset, frequency_hz):
    """One-sided PSD of the quiescent phase in rad^2/Hz, without the line tones: TLS noise through d(theta)/d(df/f) =
    4Q and the ring-down, plus amplifier noise, both through the readout's low-pass. `frequency_hz` > 0."""
    f = np.asarray(frequency_hz, float)
    tls = (4.0 * preset.q) ** 2 * preset.tls_at_1hz / f * _power_gain(preset, preset.ring_time_s, f)
    return (tls + preset.white_phase_psd) * _power_gain(preset, preset.readout_time_s, f)


def tone_power(preset: DetectorPreset) -> list[tuple[float, float]]:
    """(frequency in Hz, variance in rad^2 of the quiescent phase) of each line tone, as it is recorded."""
    return [(f, float(rms**2 * _power_gain(preset, preset.ring_time_s, f)
                      * _power_gain(preset, preset.readout_time_s, f))) for f, rms in preset.line_tones]


def amplifier_noise(preset: DetectorPreset, n_traces: int, n_samples: int, rng: np.random.Generator):
    """Complex noise, complex64 (n_traces, n_samples), in units of |S21|, equal in both quadratures: white noise
    through the readout's low-pass, stationary from the first sample on."""
    sigma = np.float32(preset.loop_radius * np.sqrt(preset.white_phase_psd * preset.sample_rate_hz / 2.0))
    noise = rng.standard_normal((n_traces, n_samples, 2), dtype=np.float32)
    noise *= sigma
    noise = noise.view(np.complex64)[..., 0]
    if preset.readout_time_s == 0:
        return noise
    pole = np.exp(-1.0 / (preset.sample_rate_hz * preset.readout_time_s))
    # a white sample of variance s^2 settles to s^2 (1 - p) / (1 + p)
    before = noise[:, :1] * np.complex64(np.sqrt((1.0 - pole) / (1.0 + pole)))
    noise[:, 0] = rng.standard_normal((n_traces, 2), dtype=np.float32).view(np.complex64)[:, 0] * sigma
    return one_pole(noise, pole, before)
