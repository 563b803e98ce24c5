"""Pulses of a run: the laser lines with a held-out part, pulses at energies between the lines, and a test of those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from venom_hw.detector import (
    PRESETS,
    PulseSet,
    generate_folder,
    load_pulse_set,
    normalisation,
    photon_energy,
    stratified_split,
)

from .config import TrainConfig
from .errors import TrainError
from .jitter import line_jitter

MARGIN = 1.05  # training energies reach this far beyond the outermost lines
TEST_ENERGIES = 6  # of the test between the lines
TEST_PULSES = 1500


@dataclass(frozen=True)
class TrainingData:
    """lines: the pulses of the laser lines; val_idx of them are held out, train_idx are for normalisation and
    calibrations, fit_idx (some of train_idx) for the network; extra: sets that are only trained on; test: pulses
    at energies that no training pulse has (or None); normalisation: from the pulses of train_idx.
    """

    lines: PulseSet
    train_idx: np.ndarray
    val_idx: np.ndarray
    extra: tuple[PulseSet, ...]
    test: PulseSet | None
    normalisation: dict
    description: dict
    fit_idx: np.ndarray | None = None

    def jitter(self, spec: list[str]) -> torch.Tensor | None:
        """Standard deviation (N,) of the label noise of each training pulse, in standardised energy; None for none."""
        if not spec:
            return None
        fitted = self.lines.wl_ids[self.train_idx if self.fit_idx is None else self.fit_idx]
        energies = [self.lines.energies[self.lines.wl_ids == k][0] for k in range(len(self.lines.wl_labels))]
        sigma = line_jitter(spec, self.lines.wl_labels, energies)[fitted] / self.normalisation["energy_scale"]
        others = np.zeros(sum(len(s) for s in self.extra))  # a continuum needs none
        return torch.from_numpy(np.concatenate([sigma, others]).astype(np.float32))

    def training_tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """counts (N, L, 2) int16, standardised energies (N,) float32, lengths (N,) of all training pulses."""
        sets = [self.lines.select(self.train_idx if self.fit_idx is None else self.fit_idx), *self.extra]
        counts = np.concatenate([s.counts for s in sets])
        energy = np.concatenate([s.energies for s in sets])
        lengths = np.concatenate([s.lengths for s in sets])
        return torch.from_numpy(counts), self.standardise(energy), torch.from_numpy(lengths.astype(np.int64))

    def standardise(self, energies) -> torch.Tensor:
        scaled = (np.asarray(energies) - self.normalisation["energy_offset"]) / self.normalisation[
            "energy_scale"
        ]
        return torch.from_numpy(scaled.astype(np.float32))


def between_energies(wavelengths_nm, count: int) -> list[float]:
    """`count` photon energies in eV, evenly spread in logarithm over the lines' range and 5 % beyond."""
    energies = [photon_energy(w) for w in wavelengths_nm]
    return [round(float(e), 4) for e in np.geomspace(min(energies) / MARGIN, max(energies) * MARGIN, count)]


def held_out_energies(wavelengths_nm, taken, count: int = TEST_ENERGIES) -> list[float]:
    """`count` energies inside the lines' range, each in the middle of a gap between training energies."""
    lines = sorted(photon_energy(w) for w in wavelengths_nm)
    known = np.sort(np.concatenate([lines, [e for e in taken if lines[0] < e < lines[-1]]]))
    middles = np.sqrt(known[:-1] * known[1:])
    wanted = np.geomspace(lines[0], lines[-1], count + 2)[1:-1]
    return sorted({round(float(middles[np.abs(middles - e).argmin()]), 4) for e in wanted})


def simulated_folders(
    config: TrainConfig, folder: Path, progress: Callable[[int], None] | None = None
) -> dict[str, Path]:
    """Simulate what the settings ask for, unless it is there: {"lines", "between", "test"} -> folder."""
    preset = PRESETS[config.preset]
    seed, name = config.simulation_seed, f"{preset.name}-v{preset.version}"
    folders = {"lines": folder / f"{name}-lines-{config.pulses}-seed{seed}"}
    generate_folder(preset, folders["lines"], config.pulses, seed, progress=progress)
    energies = between_energies(preset.wavelengths_nm, config.between) if config.between else []
    if energies:
        folders["between"] = folder / f"{name}-between-{config.between}x{config.between_pulses}-seed{seed}"
        generate_folder(preset, folders["between"], config.between_pulses, seed, energies, progress=progress)
    test = held_out_energies(preset.wavelengths_nm, energies)
    folders["test"] = folder / f"{name}-test-{config.between}-{TEST_PULSES}-seed{seed}"
    generate_folder(preset, folders["test"], TEST_PULSES, seed, test, progress=progress)
    return folders


def first_of_each_line(index: np.ndarray, wl_ids: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the pulses `index` of each line, line after line; wl_ids (N,) of all pulses."""
    lines = wl_ids[index]
    return np.concatenate([index[lines == k][:count] for k in np.unique(lines)])


def prepare(
    config: TrainConfig, simulated: Path, progress: Callable[[int], None] | None = None
) -> TrainingData:
    """Load (and where no folder is named, first simulate) a run's pulses. Raises TrainError or the detector's
    DataError.
    """
    cut = dict(
        downsample=config.downsample,
        n_tau=config.n_tau,
        n_pre=config.n_pre,
        peak_sigma=config.peak_sigma,
        full=config.full,
    )
    extra, test = [Path(p) for p in config.extra], None
    if config.data:
        folder = Path(config.data)
    else:
        folders = simulated_folders(config, simulated, progress)
        folder, test = folders["lines"], folders["test"]
        extra = [*extra, *([folders["between"]] if "between" in folders else [])]
    lines = load_pulse_set(folder, **cut)
    if len(lines.wl_labels) < 2:
        raise TrainError(
            f"{folder}: one line only ({lines.wl_labels[0]}), expected two or more to learn energies from"
        )
    train_idx, val_idx = stratified_split(lines.wl_ids, config.validation, config.split_seed)
    fit_idx = train_idx
    if config.line_pulses and not config.data:
        # A line with many times the pulses of its neighbourhood is a spike in the prior, to which estimates snap.
        fit_idx = first_of_each_line(train_idx, lines.wl_ids, config.line_pulses)
    sets = tuple(load_pulse_set(p, **cut, window=lines.window) for p in extra)
    source = {
        k: v
        for k, v in (lines.source or {}).items()
        if k in ("preset", "version", "seed", "pulses", "simulated")
    }
    description = source | {
        "folder": folder.name,
        "lines": list(lines.wl_labels),
        "training_pulses": int(len(fit_idx)),
        "validation_pulses": int(len(val_idx)),
        "extra_pulses": int(sum(len(s) for s in sets)),
    }
    if config.full:
        description["full_traces"] = True  # to be loaded with full=True again, not cut about the trigger
    if config.synthetic:
        description |= {"training_pulses": 0, "extra_pulses": 0}
    if config.fresh_pulses:
        description |= {"synthetic_pulses_an_epoch": config.fresh_pulses, "generator": config.generator}
    return TrainingData(
        lines,
        train_idx,
        val_idx,
        sets,
        None if test is None else load_pulse_set(test, **cut, window=lines.window),
        normalisation(lines, train_idx),
        description,
        fit_idx,
    )
