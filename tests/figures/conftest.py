"""A toy model on toy pulses: a data folder in memory, a small random network with a rough idea of energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from venom_hw.detector import PulseSet, Window, normalisation, stratified_split
from venom_hw.evaluation.sample import Sample
from venom_hw.model import MKIDEnergySSM, VenomCheckpoint

LINES = (1.0, 1.2, 1.5)
LENGTH = 40


def toy_pulses(n=900, noise=60.0, lines=LINES, seed=0) -> PulseSet:
    rng = np.random.default_rng(seed)
    wl_ids = np.arange(n) % len(lines)
    energies = np.sort(lines)[::-1][wl_ids]  # ascending wavelength
    time = np.arange(LENGTH) - 5
    shape = np.where(time >= 0, np.exp(-np.maximum(time, 0) / 8.0), 0.0)
    z = 6000 * np.exp(0.6j * energies[:, None] * shape)
    z = z + noise * (rng.normal(size=z.shape) + 1j * rng.normal(size=z.shape))
    counts = np.rint(np.stack([z.real, z.imag], -1)).astype(np.int16)
    quiet = noise * rng.normal(size=(200, LENGTH, 2))
    quiet[..., 0] += 6000
    window = Window(rate_hz=5e5, n_pre=5, length=LENGTH, tau_s=1.6e-5, n_tau=4.375, downsample=4)
    labels = [f"{round(1239.841984 / e)}nm" for e in np.sort(lines)[::-1]]
    return PulseSet(counts, energies, wl_ids, labels, None, energies.copy(), np.full(n, LENGTH), window,
                    np.rint(quiet).astype(np.int16), {})  # fmt: skip


@pytest.fixture(scope="session")
def sample() -> Sample:
    pulses = toy_pulses()
    train, held_out = stratified_split(pulses.wl_ids, 0.15, 0)
    return Sample(pulses, train, train, held_out, [])


@pytest.fixture(scope="session")
def checkpoint(sample) -> VenomCheckpoint:
    """A network fitted for a moment, so that its estimates rise with energy."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = MKIDEnergySSM(d_model=6, d_state=3, d_head_hidden=8)
    found = VenomCheckpoint(model, sample.pulses.window.to_dict(), normalisation(sample.pulses, sample.train))
    x = found.standardise(sample.pulses.counts[sample.train])
    offset, scale = found.normalisation["energy_offset"], found.normalisation["energy_scale"]
    y = torch.from_numpy((sample.pulses.energies[sample.train] - offset) / scale).float()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        mu, logvar = model(x)
        (0.5 * (logvar + (mu - y) ** 2 * torch.exp(-logvar))).mean().backward()
        optimiser.step()
    model.eval()
    return found
