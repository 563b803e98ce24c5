"""The pulses that a judgement rests on: training ones for calibrations, held-out ones for the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from venom_hw.detector import DataError, DetectorPreset, PulseSet, Window, load_pulse_set, stratified_split
from venom_hw.detector.presets import preset_of
from venom_hw.model import VenomCheckpoint

from .clip import moved_split
from .errors import EvaluationError

LEAST = 10  # held-out pulses of a line
SHORT = 5  # percentile of the lengths to which windows are cut where most of a line's end early


@dataclass(frozen=True)
class Sample:
    """pulses: windows of full length at the model's rate (of one shorter length, where a folder has no others); train,
    calibration (some of train, for the networks' energy calibrations) and held_out: indices into them, split as the
    model's training split its own; notes: what a reader of the numbers has to know; peak_sigma: the clip of the pulses'
    heights, 0 for none."""

    pulses: PulseSet
    train: np.ndarray
    calibration: np.ndarray
    held_out: np.ndarray
    notes: list[str]
    peak_sigma: float = 2.0

    @property
    def judged(self) -> PulseSet:
        return self.pulses.select(self.held_out)


def _first_of_each_line(index: np.ndarray, wl_ids: np.ndarray, count: int | None) -> np.ndarray:
    if count is None:
        return index
    return np.sort(np.concatenate([index[wl_ids[index] == k][:count] for k in np.unique(wl_ids[index])]))


def full_windows(pulses: PulseSet) -> np.ndarray:
    """Mask (N,) of windows without a missing sample."""
    return pulses.lengths == pulses.counts.shape[1]


def model_clip(model: VenomCheckpoint) -> float:
    """The clip of peak heights that the model was trained with; another would be another split."""
    return float(model.training.get("settings", {}).get("peak_sigma", 2.0))


def whole_traces(model: VenomCheckpoint) -> bool:
    """Whether the model was trained on whole traces instead of windows about the trigger."""
    return bool(model.data.get("full_traces"))


def load_at(model: VenomCheckpoint, data: str | Path | PulseSet, peak_sigma: float | None = None) -> PulseSet:
    """Pulses of a folder at the model's window, cut as for its training; `peak_sigma`: clip of the peak heights
    (default the model's; 0: none). Raises DataError."""
    if isinstance(data, PulseSet):
        return data
    clip = model_clip(model) if peak_sigma is None else peak_sigma
    return load_pulse_set(data, window=Window.from_dict(model.window), peak_sigma=clip, full=whole_traces(model))


def cut_to(pulses: PulseSet, length: int) -> PulseSet:
    """The same pulses in windows of `length` samples, no longer than they are."""
    return replace(
        pulses, counts=pulses.counts[:, :length], lengths=np.minimum(pulses.lengths, length),
        window=replace(pulses.window, length=length),
    )  # fmt: skip


def common_length(pulses: PulseSet) -> int:
    """Samples that windows are judged at: all of them, or, where more than half of a line's windows end early (postage
    stamps), what 95 % of that line's windows have."""
    full, length = full_windows(pulses), pulses.counts.shape[1]
    for k in np.unique(pulses.wl_ids):
        rows = pulses.wl_ids == k
        if full[rows].mean() < 0.5:
            length = min(length, int(np.percentile(pulses.lengths[rows], SHORT)))
    return length


def load_sample(
    model: VenomCheckpoint,
    data: str | Path | PulseSet,
    *,
    calibration_pulses: int = 1000,
    held_out_pulses: int | None = None,
    peak_sigma: float | None = None,
) -> Sample:
    """Load and split. calibration_pulses, held_out_pulses: the most of each line; peak_sigma: clip of the judged
    pulses' heights (default the model's; 0: none), which takes a folder. Raises DataError, EvaluationError."""
    clip = model_clip(model)
    if peak_sigma is not None and peak_sigma != clip and isinstance(data, PulseSet):
        raise EvaluationError(f"peak_sigma {peak_sigma:g}: expected a folder, which can be read with another clip")
    pulses = load_at(model, data)
    if pulses.counts.shape[1] != model.window["length"]:
        raise EvaluationError(
            f"pulses of {pulses.counts.shape[1]} samples: expected windows of the model, {model.window['length']}"
        )
    settings = model.training.get("settings", {})
    share, seed = float(settings.get("validation", 0.15)), int(settings.get("split_seed", 0))
    train, held_out = stratified_split(pulses.wl_ids, share, seed)
    if peak_sigma is not None and peak_sigma != clip:
        other = load_at(model, data, peak_sigma)
        train, held_out = moved_split(pulses, other, train, held_out, share, seed)
        pulses, clip = other, peak_sigma
    notes, length = notes_on(model, pulses), common_length(pulses)
    if length < pulses.counts.shape[1]:
        if length <= pulses.window.n_pre + 1:
            raise EvaluationError(
                f"most windows end after {length} samples, before their pulse; expected more than "
                f"{pulses.window.n_pre + 1} (traces that go on after the trigger, or a model of a smaller n_pre)"
            )
        notes.append(
            f"Most windows of a line end early: all are judged at their first {length} of the model's "
            f"{pulses.counts.shape[1]} samples."
        )
        pulses = cut_to(pulses, length)
    full = full_windows(pulses)
    train, held_out = train[full[train]], held_out[full[held_out]]
    held_out = _first_of_each_line(held_out, pulses.wl_ids, held_out_pulses)
    for k, label in enumerate(pulses.wl_labels):
        count = int((pulses.wl_ids[held_out] == k).sum())
        if count < LEAST:
            raise EvaluationError(
                f"line {label}: {count} held-out windows of full length {pulses.counts.shape[1]} "
                f"(of {int((pulses.wl_ids == k).sum())} pulses); expected {LEAST} or more (more pulses of this line, "
                f"or a model trained with a larger 'validation' than {share:g})"
            )
    if len(pulses.wl_labels) < 2:
        raise EvaluationError(f"one line only ({pulses.wl_labels[0]}): expected two or more to calibrate energy with")
    if not full.all():
        notes.append(f"{int((~full).sum())} of {len(full)} windows end early and were left out.")
    calibration = _first_of_each_line(train, pulses.wl_ids, calibration_pulses)
    return Sample(pulses, train, calibration, held_out, notes, clip)


def notes_on(model: VenomCheckpoint, pulses: PulseSet) -> list[str]:
    """How the pulses are related to those the model was trained on, as far as both say."""
    ours, theirs = model.data, pulses.source or {}
    if not (ours.get("simulated") and theirs.get("simulated")):
        return []
    if ours.get("preset") != theirs.get("preset") or ours.get("version") != theirs.get("version"):
        found, trained = (f"{d.get('preset')} version {d.get('version')}" for d in (theirs, ours))
        return [f"The pulses are of {found}; the model was trained on {trained}: it is judged on a foreign detector."]
    if ours.get("seed") == theirs.get("seed") and ours.get("pulses") != theirs.get("pulses"):
        return [
            f"The model was trained on the same simulation (seed {ours['seed']}) with another number of pulses: some "
            "of those judged here may have been trained on. Simulate with another seed."
        ]
    return []


def simulated_preset(pulses: PulseSet) -> DetectorPreset | None:
    """The detector that a simulated folder describes in metadata.json; None for measured pulses or a description that
    this version of the simulator cannot read."""
    try:
        return preset_of(pulses.source)
    except DataError:
        return None
