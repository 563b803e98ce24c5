"""A detector in memory whose estimators are known: the sum of a window's I is the photon's energy and its scatter."""

from __future__ import annotations

import numpy as np
import pytest

from venom_hw.detector import PulseSet, Window, photon_energy
from venom_hw.detector.wavelength import line_label, wavelength_of
from venom_hw.model import MKIDEnergySSM, VenomCheckpoint

LENGTH = 32
GAIN = 4000.0  # counts at the peak for 1 eV
SHAPE = np.where(np.arange(LENGTH) >= 8, np.exp(-np.maximum(np.arange(LENGTH) - 8, 0) / 6.0), 0.0)
WINDOW = Window(rate_hz=5e5, n_pre=8, length=LENGTH, tau_s=1.2e-5, n_tau=4.0, downsample=4)
LINES = (1000.0, 1100.0, 1200.0, 1300.0)


def known_pulses(power: float, each: int = 1500, seed: int = 0, wavelengths=LINES) -> PulseSet:
    """Pulses on a circle of 8,000 counts whose Q peak scatters so that its R = E / FWHM is `power`."""
    rng = np.random.default_rng(seed)
    wl_ids = np.repeat(np.arange(len(wavelengths)), each)
    energies = np.array([photon_energy(w) for w in wavelengths])[wl_ids]
    found = energies * (1 + rng.standard_normal(len(energies)) / power / 2.3548)
    angle = 0.5 * found[:, None] * SHAPE
    noise = 6.0 * rng.standard_normal((len(found), LENGTH, 2))
    counts = np.rint(8000 * np.stack([np.cos(angle), np.sin(angle)], -1) + noise).astype(np.int16)
    quiet = np.rint(np.array([8000.0, 0.0]) + 6.0 * rng.standard_normal((300, LENGTH, 2))).astype(np.int16)
    return PulseSet(counts, energies, wl_ids, [line_label(w) for w in wavelengths], None, found,
                    np.full(len(found), LENGTH), WINDOW, quiet, {"preset": "toy"})


class KnownModel(VenomCheckpoint):
    """Reads the peak's angle, which is half the energy; gain, scatter and snap (to the lines) are errors of its own."""

    gain = 1.0
    scatter = 0.0
    snap = 0.0

    def predict(self, counts, recurrent=False, lengths=None, batch=1024):
        peak = np.asarray(counts)[:, 8].astype(float)
        energy = 2.0 * np.arctan2(peak[:, 1], peak[:, 0])
        if self.scatter:
            energy = energy * (1 + self.scatter * np.random.default_rng(len(counts)).standard_normal(len(energy)))
        if self.snap:
            lines = np.array([photon_energy(w) for w in LINES])
            nearest = lines[np.abs(energy[:, None] - lines).argmin(axis=1)]
            energy = nearest + (1 - self.snap) * (energy - nearest)
        return self.gain * energy, np.zeros(len(energy))


@pytest.fixture()
def known_model() -> KnownModel:
    normalisation = {"iq_mean": [0.0, 0.0], "iq_std": [1.0, 1.0], "energy_offset": 1.0, "energy_scale": 0.1}
    settings = {"validation": 0.5, "split_seed": 3, "data": "toy", "between": 0}
    return KnownModel(MKIDEnergySSM(d_model=4, d_state=2, d_head_hidden=4), WINDOW.to_dict(), normalisation,
                      {"settings": settings}, {"preset": "toy"})


def at_energies(energies) -> tuple[float, ...]:
    return tuple(wavelength_of(e) for e in energies)
