"""Weight files of the original VENOM, made whole: window and normalisation come back from their training data.

A legacy file holds tensors only (true safetensors, or a PyTorch zip under that suffix), with `<file>_meta.json` beside
it (training history, validation indices). Sizes follow from the tensors; the window and the statistics that standardise
pulses and energies are computed from the data folder as the original's recipe does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.detector import (
    PulseSet,
    load_pulse_set,
    normalisation,
    stratified_split,
    summarize_resolving_power,
)
from venom_hw.model import CheckpointError, MKIDEnergySSM, VenomCheckpoint, WeightsReport
from venom_hw.model.sizes import sizes_of_tensors
from venom_hw.model.weights import place_tensors, read_tensors
from venom_hw.train.meta import TrainingMeta, meta_path, read_meta

ENERGY = ("auto", "standardised", "eV")
LOOK_AT = 4000          # pulses that the check of the energies looks at
LEAST_CORRELATION = 0.5


@dataclass(frozen=True)
class LegacyModel:
    """checkpoint: complete, ready to be saved; weights: what became of each tensor; energy: how the network counts
    energies ("standardised" or "eV"); correlation of its estimates with the labels; summary: R by line and mean on the
    held-out pulses (Gaussian); held_out: where those come from; notes: what to know."""

    checkpoint: VenomCheckpoint
    weights: WeightsReport
    energy: str
    correlation: float
    summary: dict
    held_out: str
    notes: list[str]


def _meta_of(path: Path) -> TrainingMeta | None:
    return read_meta(path) if meta_path(path).is_file() else None


def _split(pulses: PulseSet, meta: TrainingMeta | None) -> tuple[np.ndarray, np.ndarray, str, list[str]]:
    """(training, held out, where from, notes)."""
    if meta is not None and len(meta.validation_indices):
        held = np.sort(meta.validation_indices)
        if held[-1] < len(pulses) and len(held) < len(pulses):
            return np.setdiff1d(np.arange(len(pulses)), held), held, "validation indices of the meta file", []
        note = (f"validation indices up to {held[-1]} do not fit the {len(pulses)} pulses that this folder gives with "
                "these options: split anew, so pulses held out here may have been trained on")
    else:
        note = "no validation indices beside the weights: split anew, pulses held out here may have been trained on"
    return *stratified_split(pulses.wl_ids), "a new split", [note]


def _scales(checkpoint: VenomCheckpoint, pulses: PulseSet, some: np.ndarray, asked: str) -> tuple[str, float]:
    """(how energies are counted, correlation with the labels): whichever reading is nearer to the labels."""
    mu = checkpoint.predict(pulses.counts[some], lengths=pulses.lengths[some])[0]
    labels = pulses.energies[some]
    offset, scale = (checkpoint.normalisation[k] for k in ("energy_offset", "energy_scale"))
    bare = (mu - offset) / scale
    spread = np.std(mu)
    correlation = float(np.corrcoef(mu, labels)[0, 1]) if spread > 0 and np.std(labels) > 0 else float("nan")
    errors = {"standardised": np.median(np.abs(mu - labels)), "eV": np.median(np.abs(bare - labels))}
    return (min(errors, key=errors.get) if asked == "auto" else asked), correlation


def load_legacy(path, data, *, downsample: int = 4, n_tau: float = 5.0, n_pre: int = 10, peak_sigma: float = 2.0,
                full: bool = False, sample_rate_hz: float | None = None, energy: str = "auto",
                strict: bool = True) -> LegacyModel:
    """A complete checkpoint from bare weights and the data folder they belong to.

    `energy`: whether the network gives standardised energies or eV ("auto": whichever is nearer to the labels). Raises
    CheckpointError (weights), TrainError (meta file), DataError (folder), ValueError (options).
    """
    path = Path(path)
    if energy not in ENERGY:
        raise ValueError(f"energy {energy!r}: expected one of {', '.join(ENERGY)}")
    tensors = read_tensors(path)
    model = MKIDEnergySSM(**sizes_of_tensors(tensors, str(path)))
    placed = place_tensors(model, tensors, str(path), strict)
    meta = _meta_of(path)
    pulses = load_pulse_set(data, downsample=downsample, n_tau=n_tau, n_pre=n_pre, peak_sigma=peak_sigma, full=full,
                            sample_rate_hz=sample_rate_hz)
    train, held, where, notes = _split(pulses, meta)
    training = {"legacy": path.name, "history": meta.history if meta else []}
    described = {"folder": Path(data).name, "lines": list(pulses.wl_labels)}
    if full:
        described["full_traces"] = True  # to be loaded with full=True again, not cut about the trigger
    checkpoint = VenomCheckpoint(model.eval(), pulses.window.to_dict(), normalisation(pulses, train), training,
                                 described)
    some = train[:: max(1, len(train) // LOOK_AT)]
    counted, correlation = _scales(checkpoint, pulses, some, energy)
    if counted == "eV":
        checkpoint.normalisation |= {"energy_offset": 0.0, "energy_scale": 1.0}
    if not correlation >= LEAST_CORRELATION:
        notes.append(f"estimates hardly follow the labels (correlation {correlation:.2f}): another detector's weights, "
                     "another window, or a layout that only looks like this one")
    estimates = checkpoint.predict(pulses.counts[held], lengths=pulses.lengths[held])[0]
    summary = summarize_resolving_power(estimates, pulses.energies[held], pulses.wl_ids[held])
    return LegacyModel(checkpoint, placed, counted, correlation, summary, where, notes)


__all__ = ["CheckpointError", "LegacyModel", "load_legacy"]
