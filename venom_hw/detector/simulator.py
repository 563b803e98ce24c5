"""Pulses of a simulated MKID: photons in, centred int16 I/Q counts out, as the laboratory's npz files hold them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .noise import amplifier_noise, phase_psd, tls_noise, tone_noise
from .presets import DetectorPreset
from .quasiparticles import pulse_shape, scatter_energy
from .resonator import loop_centre, readout_low_pass, ring_down, s21
from .wavelength import photon_energy

CHUNK = 500  # traces made at a time; part of the seeding, so do not change it without a new preset version


@dataclass(frozen=True)
class Traces:
    """Raw traces of one line: int16 centred counts (N, n_samples), good-pulse mask (N,), filtered heights (N,) rad."""

    i_trace: np.ndarray
    q_trace: np.ndarray
    mask: np.ndarray
    peak_heights: np.ndarray


def detuning(preset: DetectorPreset, energy_ev, arrival=0.0, hotspot=None, dtype=np.float32, second=None):
    """(downward shift df/f, extra 1/Qi), each (N, n_samples), by photons; arguments as in `clean_response`."""
    energy = np.atleast_1d(np.asarray(energy_ev, dtype))[:, None]
    arrival = np.broadcast_to(np.asarray(arrival, dtype), energy.shape[:1])[:, None]
    if hotspot is None:
        hotspot = preset.hotspot_fraction
    hotspot = np.broadcast_to(np.asarray(hotspot, dtype), energy.shape[:1])[:, None]
    step = dtype(1.0 / preset.sample_rate_hz)
    index = np.arange(preset.n_samples, dtype=dtype)
    density = pulse_shape(preset, energy, (index - preset.arrival_index - arrival) * step, hotspot)
    if second is not None:
        rows = np.flatnonzero(second[0] > 0)
        if len(rows):
            start = second[1][rows, None].astype(dtype)
            density[rows] += pulse_shape(preset, second[0][rows, None].astype(dtype), (index - start) * step,
                                         hotspot[rows])
    shift = density * dtype(preset.shift_per_ev)
    return shift, shift * dtype(2.0 * preset.loss_ratio)


def clean_response(preset: DetectorPreset, energy_ev, arrival=0.0, hotspot=None, tls=0.0, second=None,
                   dtype=np.float32):
    """Noise-free centred response, complex (N, n_samples), in counts; computed in `dtype` (float32 or float64).

    energy_ev, arrival (raw samples after `arrival_index`), hotspot: scalars or (N,). `tls`: df/f added to the shift.
    `second`: optional (energy, start sample) of a piled-up photon, each (N,); energy 0 where there is none.
    """
    shift, loss = detuning(preset, energy_ev, arrival, hotspot, dtype, second)
    z = s21(preset, shift + tls, loss)
    z = readout_low_pass(preset, ring_down(preset, z)) - np.complex64(loop_centre(preset))
    return z * np.complex64(preset.counts_per_unit * np.exp(1j * preset.gain_phase_rad))


def phase(preset: DetectorPreset, z):
    """Phase in rad about the loop centre relative to the quiescent point, positive for a photon; wraps at -pi/2."""
    rest = -np.exp(1j * preset.gain_phase_rad)  # the quiescent point lies opposite to the off-resonance point
    sign = pulse_sign(preset)
    turned = z * np.complex64(1.0 / (rest * np.exp(1j * sign * np.pi / 2)))
    return sign * np.angle(turned) + np.pi / 2


@lru_cache(maxsize=8)
def pulse_sign(preset: DetectorPreset) -> float:
    """+1 if pulses turn counter-clockwise about the loop centre, else -1."""
    z = clean_response(preset, min(1.0, 1.0 / (4 * preset.q * preset.shift_per_ev)))[0]
    return float(np.sign(np.angle(z[preset.arrival_index + 20] / z[0])))


@lru_cache(maxsize=8)
def _height_filter(preset: DetectorPreset) -> np.ndarray:
    """Optimal filter for `peak_heights`, (n_samples,): the middle line's noise-free template over the noise spectrum,
    without the zero frequency, normalised to the template's peak."""
    middle = photon_energy(float(np.median(preset.wavelengths_nm)))
    template = phase(preset, clean_response(preset, middle))[0].astype(float)
    frequency = np.fft.rfftfreq(preset.n_samples, 1.0 / preset.sample_rate_hz)
    weight = np.fft.rfft(template)
    weight[0] = 0.0
    weight[1:] /= phase_psd(preset, frequency[1:])
    kernel = np.fft.irfft(weight, preset.n_samples)
    return (kernel * template.max() / (kernel @ template)).astype(np.float32)


def peak_heights(preset: DetectorPreset, z) -> np.ndarray:
    """Response of each raw trace to a shared-template optimal filter, rad, negative as in the laboratory's files.

    The largest of seven lags, which covers the arrival jitter."""
    kernel, theta = _height_filter(preset), phase(preset, z)
    lags = np.stack([np.roll(kernel, k) for k in range(-3, 4)], 1)
    return -(theta @ lags).max(axis=1).astype(float)


def simulate_chunk(preset: DetectorPreset, energy_ev: float, n: int, rng: np.random.Generator) -> Traces:
    """`n` traces of photons of one energy (eV); energy 0 gives noise traces."""
    energy = np.full(n, float(energy_ev))
    deposited = np.maximum(scatter_energy(preset, energy, rng), 0.0)
    arrival = rng.uniform(-0.5, 0.5, n)
    hotspot = preset.hotspot_fraction + preset.hotspot_scatter * rng.standard_normal(n)
    piled = rng.random(n) < (preset.pileup_fraction if energy_ev > 0 else 0.0)
    second = (np.where(piled, energy_ev, 0.0), rng.uniform(0, preset.n_samples, n))
    tls = tls_noise(preset, n, preset.n_samples, rng)
    if preset.line_tones:
        tls += tone_noise(preset, n, preset.n_samples, rng)
    z = clean_response(preset, deposited, arrival, hotspot, tls, second)
    noise = amplifier_noise(preset, n, preset.n_samples, rng)
    z += noise * np.complex64(preset.counts_per_unit)
    heights = peak_heights(preset, z)
    counts = np.rint(z.view(np.float32).reshape(n, -1, 2))
    counts = np.clip(counts, -32768, 32767).astype(np.int16)
    return Traces(np.ascontiguousarray(counts[..., 0]), np.ascontiguousarray(counts[..., 1]), ~piled, heights)


def simulate_line(preset: DetectorPreset, energy_ev: float, pulses: int, seed: int, progress=None) -> Traces:
    """`pulses` traces of one photon energy, eV. The same (preset, energy, seed) gives the same traces; a longer run
    begins with the shorter one's. `progress` is called with the number of traces made after each chunk."""
    out = Traces(np.empty((pulses, preset.n_samples), np.int16), np.empty((pulses, preset.n_samples), np.int16),
                 np.empty(pulses, bool), np.empty(pulses))
    for first in range(0, pulses, CHUNK):
        key = (int(round(energy_ev * 1e6)), first // CHUNK)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        part = simulate_chunk(preset, energy_ev, CHUNK, rng)
        last = min(first + CHUNK, pulses)
        for name in ("i_trace", "q_trace", "mask", "peak_heights"):
            getattr(out, name)[first:last] = getattr(part, name)[:last - first]
        if progress is not None:
            progress(last - first)
    return out
