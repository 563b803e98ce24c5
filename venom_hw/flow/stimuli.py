"""Windows to check a datapath with: simulated pulses, and samples that no detector would give."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from venom_hw.datapath.model import Datapath
from venom_hw.detector import PRESETS, DataError, Window, generate_folder, load_pulse_set

KINDS = ("pulses", "white noise over all of int16", "random walk", "constant at the rails", "pulses of full scale")


def simulated_pulses(datapath: Datapath, folder: Path, count: int, seed: int) -> np.ndarray | None:
    """int16 (>= count, L, 2) pulses of the preset whose rate the model has; None when no preset has it.

    The simulation is kept in `folder`, so a second call with the same seed costs a read.
    """
    window = datapath.meta.get("window") or {}
    try:
        window = Window.from_dict(dict(window))
    except (KeyError, TypeError, ValueError):
        return None
    rates = {name: preset.sample_rate_hz / window.downsample for name, preset in PRESETS.items()}
    name = next((n for n, rate in rates.items() if abs(rate - window.rate_hz) < 1e-6 * rate), None)
    if name is None:
        return None
    preset = PRESETS[name]
    per_line = -(-count // len(preset.wavelengths_nm))
    generate_folder(preset, folder, per_line, seed, force=True)
    pulses = load_pulse_set(folder, window=window, peak_sigma=1e9)
    order = np.random.default_rng(seed).permutation(len(pulses.counts))
    return pulses.counts[order]


def measured_pulses(datapath: Datapath, folder: Path) -> np.ndarray:
    """int16 (n, L, 2) pulses of a user's own folder, cut as the model's window says.

    Raises:
        DataError: the folder is not one of pulses, or the model's files do not say how to cut them.
    """
    window = datapath.meta.get("window") or {}
    try:
        window = Window.from_dict(dict(window))
    except (KeyError, TypeError, ValueError) as error:
        message = f"the model's files state no complete window ({error})"
        raise DataError(folder, None, message, "metadata venom.window in step.onnx") from error
    return load_pulse_set(folder, window=window, peak_sigma=1e9).counts


class CheckWindows(NamedTuple):
    """Windows int16 (count, L, 2), their lengths 1..L, and of what kind each is (index into KINDS)."""

    samples: np.ndarray
    lengths: np.ndarray
    kind: np.ndarray


def check_windows(
    datapath: Datapath, count: int, *, folder: Path, seed: int = 1, pulses: np.ndarray | None = None
) -> CheckWindows:
    """Windows to hold renderings to.

    Seven in ten are pulses (those given, else simulated ones), the rest go where a datapath breaks: white noise over
    the whole range, random walks, constants at the rails, pulses blown up to full scale. One in four is cut short.
    """
    rng = np.random.default_rng(seed)
    length = datapath.step.max_steps
    if pulses is None:
        pulses = simulated_pulses(datapath, folder, count, seed)
    samples = np.empty((count, length, 2), np.int16)
    kind = rng.choice(len(KINDS), count, p=[0.7, 0.1, 0.1, 0.05, 0.05])
    if pulses is None or not len(pulses):
        pulses = _walk(rng, count, length, 300)
    for i in range(count):
        pulse = np.resize(pulses[i % len(pulses)], (length, 2)).astype(np.int64)
        if kind[i] == 1:
            window = rng.integers(-32768, 32768, (length, 2))
        elif kind[i] == 2:
            window = _walk(rng, 1, length, int(rng.integers(10, 4000)))[0]
        elif kind[i] == 3:
            window = np.broadcast_to(rng.choice([-32768, 32767], 2), (length, 2))
        elif kind[i] == 4:
            window = pulse * 32767 // max(1, int(np.abs(pulse).max()))
        else:
            window = pulse
        samples[i] = np.clip(window, -32768, 32767)
    lengths = np.where(rng.random(count) < 0.25, rng.integers(1, length + 1, count), length)
    lengths[: min(2, count)] = [1, length][: min(2, count)]
    return CheckWindows(samples, lengths, kind)


def _walk(rng: np.random.Generator, count: int, length: int, step: int) -> np.ndarray:
    start = rng.integers(-20000, 20000, (count, 1, 2))
    walk = start + np.cumsum(rng.integers(-step, step + 1, (count, length, 2)), axis=1)
    return np.clip(walk, -32768, 32767)
