"""A toy detector: pulses whose height is the energy, made in memory, with the detector room's own types."""

from __future__ import annotations

import numpy as np
import pytest

from venom_hw.detector import PulseSet, Window, normalisation, stratified_split
from venom_hw.train.data import TrainingData


def toy_pulses(n=600, length=24, seed=0, noise=60.0, lines=(1.0, 1.2, 1.4)) -> PulseSet:
    rng = np.random.default_rng(seed)
    wl_ids = np.arange(n) % len(lines)
    energies = np.asarray(lines)[wl_ids]
    time = np.arange(length) - 5
    shape = np.where(time >= 0, np.exp(-np.maximum(time, 0) / 6.0), 0.0)
    angle = 0.6 * energies[:, None] * shape
    z = 6000 * np.exp(1j * angle) + noise * (rng.normal(size=angle.shape) + 1j * rng.normal(size=angle.shape))
    counts = np.rint(np.stack([z.real, z.imag], -1)).astype(np.int16)
    window = Window(rate_hz=5e5, n_pre=5, length=length, tau_s=1.2e-5, n_tau=3.0, downsample=4)
    quiet = 6000 + noise * rng.normal(size=(200, length, 2))
    quiet[..., 1] -= 6000
    labels = [f"{round(1239.841984 / e)}nm" for e in lines]
    return PulseSet(counts, energies, wl_ids, labels, None, energies.copy(), np.full(n, length), window,
                    np.rint(quiet).astype(np.int16), {"preset": "toy"})


@pytest.fixture()
def toy_data() -> TrainingData:
    pulses = toy_pulses()
    train_idx, val_idx = stratified_split(pulses.wl_ids, 0.15, 0)
    return TrainingData(pulses, train_idx, val_idx, (), None, normalisation(pulses, train_idx), {"preset": "toy"})
