"""The pulses of each pixel: a folder of data folders (measured, or of venom_hw.simulate), or simulated here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.detector import generate_folder
from venom_hw.detector.folder import AUXILIARY
from venom_hw.detector.pixels import pixel_seed
from venom_hw.detector.presets import DetectorPreset
from venom_hw.train import TrainConfig
from venom_hw.train.data import TrainingData, between_energies, prepare

from .errors import TrainArrayError
from .trainer import PixelPulses


@dataclass(frozen=True)
class PixelSource:
    """name; seed of its network; folder: its data, or (with preset) where its simulated pulses are
    kept, of simulation_seed."""

    name: str
    seed: int
    folder: Path
    preset: DetectorPreset | None = None
    simulation_seed: int = 0


def folder_sources(root: Path, seed: int) -> list[PixelSource]:
    """One pixel for each folder below `root` that holds lines (npz a wavelength), by name. Raises TrainArrayError."""
    root = Path(root)
    if not root.is_dir():
        raise TrainArrayError(f"{root}: no such folder; expected one data folder a pixel in it")
    folders = [
        p
        for p in sorted(root.iterdir())
        if p.is_dir() and any(f.name not in AUXILIARY for f in p.glob("*.npz"))
    ]
    if not folders:
        raise TrainArrayError(
            f"{root}: no data folder in it; expected one a pixel (pixel-0000/808nm.npz, ...), as "
            "python -m venom_hw.simulate --pixels writes them"
        )
    return [PixelSource(p.name, seed + k, p) for k, p in enumerate(folders)]


def simulated_sources(
    presets: list[DetectorPreset], root: Path, seed: int, simulation_seed: int = 0
) -> list[PixelSource]:
    """One pixel for each preset; its pulses are simulated below `root` when they are needed."""
    return [
        PixelSource(
            f"pixel-{k:04d}", seed + k, Path(root) / f"pixel-{k:04d}", preset, pixel_seed(simulation_seed, k)
        )
        for k, preset in enumerate(presets)
    ]


def load_pixel(source: PixelSource, config: TrainConfig) -> TrainingData:
    """The pixel's pulses, split and with their normalisation. Raises DataError or TrainError."""
    settings = dataclasses.replace(config, seed=source.seed, data=str(source.folder))
    if source.preset is None:
        return prepare(settings, source.folder)
    seed, preset = source.simulation_seed, source.preset
    lines, between = source.folder / "lines", source.folder / "between"
    generate_folder(preset, lines, config.pulses, seed)
    extra = list(config.extra)
    if config.between:
        energies = between_energies(preset.wavelengths_nm, config.between)
        generate_folder(preset, between, config.between_pulses, seed, energies)
        extra.append(str(between))
    data = prepare(dataclasses.replace(settings, data=str(lines), extra=extra), source.folder)
    if (
        config.line_pulses and config.between
    ):  # as `prepare` does for a preset: no spikes in the prior at the lines
        ids = data.lines.wl_ids[data.train_idx]
        fit = np.concatenate([data.train_idx[ids == k][: config.line_pulses] for k in np.unique(ids)])
        data = dataclasses.replace(data, fit_idx=fit)
    return data


def pixel_pulses(source: PixelSource, data: TrainingData, config: TrainConfig, fresh=None) -> PixelPulses:
    """What the pixel trains on; fresh: its SyntheticSource (with the setting `synthetic`, the only pulses)."""
    counts, target, lengths = data.training_tensors()
    if config.synthetic:
        counts, target, lengths = counts[:0], target[:0], lengths[:0]
    return PixelPulses(
        source.name,
        counts,
        target,
        lengths,
        tuple(data.normalisation["iq_mean"]),
        tuple(data.normalisation["iq_std"]),
        source.seed,
        fresh,
    )
