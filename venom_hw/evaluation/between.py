"""Energies between the lines: where an estimator shows whether it measures energy or recognises lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from venom_hw.detector import DataError, PulseSet, generate_folder, photon_energy
from venom_hw.detector.resolving_power_table import ResolvingPowerTable
from venom_hw.model import VenomCheckpoint
from venom_hw.train.data import between_energies, held_out_energies

from .errors import EvaluationError
from .sample import simulated_preset

SEED = 1001  # of the simulated pulses between the lines: no training uses it
SNAPPING = 1.6  # ratio of R at a line to R between the lines from which a report warns


def trained_energies(model: VenomCheckpoint, labels: list[str]) -> list[float] | None:
    """Energies in eV that the model was trained on, as far as its file tells: the lines and, where they were simulated,
    those between them; None where folders of a user's own may hold others, or where synthetic pulses had any."""
    settings = model.training.get("settings", {})
    if not settings or any(settings.get(key) for key in ("extra", "synthetic", "n_synthetic")):
        return None
    return [photon_energy(w) for w in _wavelengths(labels)] + _continuum(model, labels)


def _wavelengths(labels: list[str]) -> list[float]:
    return [float(label.removesuffix("nm")) for label in labels]


def _continuum(model: VenomCheckpoint, labels: list[str]) -> list[float]:
    """Energies besides the lines that a training on simulated pulses had."""
    settings = model.training.get("settings", {})
    count = 0 if settings.get("data") else int(settings.get("between", 0))
    return between_energies(_wavelengths(labels), count) if count else []


def all_untrained(model: VenomCheckpoint, labels: list[str], energies) -> bool:
    """Whether none of `energies` is one that the model was trained on (False where its file does not tell)."""
    taken = trained_energies(model, labels)
    return taken is not None and bool(np.abs(np.subtract.outer(energies, taken)).min() > 1e-3)


def untrained_energies(model: VenomCheckpoint, pulses: PulseSet) -> list[float]:
    """Energies in eV inside the lines' range, each in the middle of a gap between two that the model was trained on."""
    return held_out_energies(_wavelengths(pulses.wl_labels), _continuum(model, pulses.wl_labels))


def simulate_between(model: VenomCheckpoint, pulses: PulseSet, folder: Path, count: int, progress=None) -> Path:
    """Simulate `count` pulses at each of `untrained_energies` with the detector of a simulated folder, into `folder`.

    A folder that holds exactly these pulses is left alone, other simulated ones are replaced. Raises EvaluationError if
    the set is a measured one, DataError if `folder` holds measured pulses.
    """
    preset = simulated_preset(pulses)
    if preset is None:
        raise EvaluationError(
            "the data folder does not describe a detector that this version can simulate: energies between its lines "
            "have to come from a folder of yours (--between)"
        )
    energies = untrained_energies(model, pulses)
    try:
        generate_folder(preset, folder, count, SEED, energies, progress=progress)
    except DataError:  # of an earlier judgement of other pulses or another model; measured pulses are refused again
        generate_folder(preset, folder, count, SEED, energies, force=True, progress=progress)
    return Path(folder)


def snapping(at_lines: ResolvingPowerTable, between: ResolvingPowerTable, name: str) -> float | None:
    """Largest ratio of R at a line to R interpolated there from the energies between: 1 without snapping."""
    order = np.argsort(between.energies)
    energy, power = between.energies[order], between.value[name][order]
    fine = np.isfinite(power)
    if fine.sum() < 2:
        return None
    return float(np.nanmax(at_lines.value[name] / np.interp(at_lines.energies, energy[fine], power[fine])))


def described(folder: str | Path) -> dict:
    """metadata.json of a folder as far as it tells where pulses come from."""
    path = Path(folder) / "metadata.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: stored[k] for k in ("preset", "version", "seed", "pulses", "simulated") if k in stored}
