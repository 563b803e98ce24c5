"""Many pixels of one instrument: a preset with the scatter of fabrication and of the readout.

The spreads are chosen, not measured: published arrays scatter by tens of per cent in Qc, Qi and noise and by a few per
cent in response and decay. What the readout fixes for all pixels alike (sample rate, trace, window, laser lines) does
not vary, so all pixels have windows of one length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .errors import DataError
from .generate import NOISE_TRACES, generate_folder
from .presets import DetectorPreset

SPREAD = {  # rms of the logarithm, cut at 2.5 rms
    "qi": 0.30, "qc": 0.15, "shift_per_ev": 0.06, "tau_s": 0.05, "tau_rise_s": 0.10, "recombination": 0.10,
    "hotspot_fraction": 0.10, "tls_at_1hz": 0.30, "white_phase_psd": 0.20, "swenson_a": 0.35, "fano_ev": 0.10,
    "site_scatter": 0.10,
}
BAND_HZ = (4.0e9, 8.0e9)  # of the resonators, evenly filled
CUT = 2.5


def pixel_name(preset: DetectorPreset, number: int) -> str:
    return f"{preset.name}-pixel-{number:04d}"


def pixel_seed(seed: int, number: int) -> int:
    """Seed of the pulses of pixel `number`: pixels of one instrument have independent photons and noise."""
    return int(np.random.SeedSequence(seed, spawn_key=(1, number)).generate_state(1)[0])


def scatter_pixels(preset: DetectorPreset, n: int, seed: int) -> list[DetectorPreset]:
    """`n` pixels scattered about `preset` (which none of them equals): f0 over 4 to 8 GHz, any rotation of the loop,
    log-normal Q, response, decay and noise (`SPREAD`).

    Pixel k depends on (preset, seed, k) alone, so more pixels begin with the same ones. Names are ptsi-pixel-0000, ...
    Raises ValueError for n < 1 or a negative seed.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"{n} pixels of seed {seed}: expected at least one, and a seed of 0 or more")
    return [_pixel(preset, k, seed) for k in range(n)]


def _pixel(preset: DetectorPreset, number: int, seed: int) -> DetectorPreset:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, number)))
    normal = np.clip(rng.standard_normal(len(SPREAD)), -CUT, CUT)
    changed = {field: float(getattr(preset, field) * np.exp(spread * x))
               for (field, spread), x in zip(SPREAD.items(), normal, strict=True)}
    tones = tuple((f, float(rms * np.exp(0.5 * rng.uniform(-1, 1)))) for f, rms in preset.line_tones)
    return replace(preset, name=pixel_name(preset, number), f0_hz=float(rng.uniform(*BAND_HZ)),
                   gain_phase_rad=float(rng.uniform(-np.pi, np.pi)), line_tones=tones, **changed)


def generate_pixels(preset: DetectorPreset, folder: Path, n: int, pulses: int, seed: int, energies_ev=None,
                    force: bool = False, progress: Callable[[int], None] | None = None) -> list[Path]:
    """Simulate `n` scattered pixels into folder/pixel-0000, ...; returns the files written.

    Pixels that are there already are left alone, so a call that was interrupted, or one for more pixels, goes on.
    """
    folder = Path(folder)
    if (folder / "metadata.json").exists():
        raise DataError(folder, None, "a data set of one detector is here", "a folder for pixel-0000, pixel-0001, ...")
    written = []
    for number, pixel in enumerate(scatter_pixels(preset, n, seed)):
        target = folder / f"pixel-{number:04d}"
        files = generate_folder(pixel, target, pulses, pixel_seed(seed, number), energies_ev, force, progress)
        if not files and progress is not None:
            progress(len(energies_ev or pixel.wavelengths_nm) * pulses + min(pulses, NOISE_TRACES))
        written += files
    return written
