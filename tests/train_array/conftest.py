"""Toy pixels: pulses whose angle is the energy, in memory and as data folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from venom_hw.detector import PulseSet, Window, normalisation, photon_energy
from venom_hw.detector.folder import write_line, write_metadata
from venom_hw.train import TrainConfig
from venom_hw.train_array import PixelPulses

LINES_NM = (800.0, 1000.0, 1300.0)
SMALL = dict(d_model=8, d_state=4, d_head_hidden=8)


def toy_signal(energies, length: int, rng, noise: float, peak: int) -> np.ndarray:
    """Counts (N, length, 2) of pulses that turn the resonance by 0.6 rad an eV."""
    time = np.arange(length) - peak
    shape = np.where(time >= 0, np.exp(-np.maximum(time, 0) / (length / 4)), 0.0)
    angle = 0.6 * np.asarray(energies)[:, None] * shape
    z = 6000 * np.exp(1j * angle) + noise * (rng.normal(size=angle.shape) + 1j * rng.normal(size=angle.shape))
    return np.rint(np.stack([z.real, z.imag], -1)).astype(np.int16)


def toy_pixel(
    name: str, seed: int, n: int = 120, length: int = 24, noise: float = 60.0
) -> tuple[PixelPulses, dict]:
    rng = np.random.default_rng(seed)
    ids = np.arange(n) % len(LINES_NM)
    energies = np.array([photon_energy(w) for w in LINES_NM])[ids]
    counts = toy_signal(energies, length, rng, noise, 5)
    lengths = rng.integers(length // 2, length + 1, n)
    window = Window(rate_hz=5e5, n_pre=5, length=length, tau_s=1.2e-5, n_tau=3.0, downsample=4)
    pulses = PulseSet(counts, energies, ids, [f"{w:g}nm" for w in LINES_NM], None, energies, lengths, window)
    scale = normalisation(pulses)
    target = torch.from_numpy(
        ((energies - scale["energy_offset"]) / scale["energy_scale"]).astype(np.float32)
    )
    pixel = PixelPulses(
        name,
        torch.from_numpy(counts),
        target,
        torch.from_numpy(lengths),
        tuple(scale["iq_mean"]),
        tuple(scale["iq_std"]),
        seed,
    )
    return pixel, scale


def write_toy_folder(folder, seed: int, pulses: int = 100) -> None:
    """A data folder of three lines at 2 MHz, downsampled by 4 to windows of 10 + 20 samples."""
    rng = np.random.default_rng(seed)
    for wavelength in LINES_NM:
        counts = toy_signal(np.full(pulses, photon_energy(wavelength)), 200, rng, 120.0, 80)
        write_line(
            folder / f"{wavelength:g}nm.npz",
            i_trace=counts[..., 0],
            q_trace=counts[..., 1],
            mask=np.ones(pulses, bool),
            peak_heights=rng.normal(-1.0, 0.01, pulses),
        )
    quiet = toy_signal(np.zeros(60), 200, rng, 120.0, 80)
    write_line(folder / "noise.npz", i_trace=quiet[..., 0], q_trace=quiet[..., 1])
    write_metadata(
        folder, {"sample_rate_hz": 2e6, "tau_s": 8e-6, "counts_per_unit": 1.0, "centre": [0.0, 0.0]}
    )


@pytest.fixture()
def config() -> TrainConfig:
    return TrainConfig(batch=16, epochs=3, warmup=1.0, peak_sigma=0.0, **SMALL)


@pytest.fixture()
def toy_pixels() -> list[PixelPulses]:
    """Three pixels of different size and seed."""
    return [toy_pixel(f"pixel-{k}", seed=k, n=100 + 40 * k)[0] for k in range(3)]


@pytest.fixture(scope="session")
def pixel_folders(tmp_path_factory):
    """Four data folders, one of them broken."""
    root = tmp_path_factory.mktemp("pixels")
    for k in (0, 1, 3):
        write_toy_folder(root / f"pixel-{k:04d}", k)
    broken = root / "pixel-0002"
    broken.mkdir()
    (broken / "800nm.npz").write_bytes(b"not an npz")
    return root
