"""A detector whose statistics are known exactly: Gaussian pulses about a mean that is a cubic in log energy."""

from dataclasses import dataclass

import numpy as np
import pytest

from venom_hw.detector import PulseSet, Window

ENERGIES = (0.95, 1.1, 1.27, 1.5, 1.9, 2.6)


@dataclass(frozen=True)
class KnownDetector:
    """L samples; `mean(E)` (N, 2 L); covariance = signal(E) signal(E)^T of four directions + stationary noise."""

    length: int = 30
    rate_hz: float = 100e3

    @property
    def window(self) -> Window:
        return Window(self.rate_hz, 5, self.length, 50e-6, 5.0, 4)

    def mean(self, energies):
        x = np.log(np.asarray(energies, float))[:, None]
        t = np.arange(self.length)
        shape = np.where(t >= 5, np.exp(-(t - 5) / 6.0), 0.0)
        i, q = np.ones(self.length) * 300.0, 4000 * shape
        i, q = i - 900 * shape * x, q + 2500 * shape * x - 700 * shape**2 * x**2 + 200 * shape**3 * x**3
        return np.stack([i, q], -1).reshape(len(x), -1)

    def directions(self, energy):
        """(4, 2 L): shapes whose amplitudes vary from pulse to pulse, rotating slowly with energy."""
        t, angle = np.arange(self.length), 0.4 * np.log(energy)
        waves = np.array([np.exp(-t / s) for s in (4.0, 8.0, 15.0, 40.0)]) * np.array([400, 300, 200, 150])[:, None]
        turned = waves[:, :, None] * np.array([np.cos(angle), np.sin(angle)])
        return (turned * energy**0.5).reshape(4, -1)

    def noise(self, n, rng):
        """(n, L, 2): I is a moving average, Q follows it by one sample with a part of its own."""
        white = 60 * rng.standard_normal((n, self.length + 2))
        i = white[:, 2:] + 0.6 * white[:, 1:-1]
        return np.stack([i, 0.5 * (white[:, 1:-1] + 0.6 * white[:, :-2]) + 45 * rng.standard_normal(i.shape)], -1)

    def pulses(self, energies, rng):
        """Counts (N, L, 2) int16 for one energy (given N times)."""
        amplitude = rng.standard_normal((len(energies), 4))
        flat = self.mean(energies) + np.einsum("nk,nkd->nd", amplitude, self._directions(energies))
        return np.rint(flat.reshape(len(flat), -1, 2) + self.noise(len(flat), rng)).astype(np.int16)

    def _directions(self, energies):
        unique, index = np.unique(energies, return_inverse=True)
        return np.stack([self.directions(e) for e in unique])[index]

    def pulse_set(self, pulses_a_line=3000, energies=ENERGIES, seed=0, noise=1500) -> PulseSet:
        """Lines in ascending wavelength (descending energy), as folders are read."""
        rng, order = np.random.default_rng(seed), sorted(energies, reverse=True)
        values = np.repeat(order, pulses_a_line)
        wl_ids = np.repeat(np.arange(len(order)), pulses_a_line)
        counts = self.pulses(values, rng)
        traces = np.rint(self.noise(noise, rng) + [300.0, 0.0]).astype(np.int16) if noise else None
        return PulseSet(counts, values, wl_ids, [f"{1239.84 / e:.4g}nm" for e in order], None, -values,
                        np.full(len(values), self.length), self.window, traces, {})


@pytest.fixture(scope="session")
def known():
    return KnownDetector()


@pytest.fixture(scope="session")
def pulses(known):
    return known.pulse_set()
