"""The windows that a quantisation calibrates, trains and judges on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.detector.dataset import PulseSet, load_pulse_set, stratified_split
from venom_hw.detector.window import Window
from venom_hw.model.checkpoint import VenomCheckpoint


class QuantizeError(ValueError):
    """Model and data do not fit together; the message says what is missing."""


@dataclass
class Pulses:
    """Full windows, split as for the float training: counts (N, L, 2), energies (N,) eV, line of each.

    Pulses of extra folders belong to no line (wl_ids -1) and are only trained on.  ``lines`` holds the
    training pulses of the lines, ``train`` those and the extra ones.
    """

    counts: np.ndarray
    energies: np.ndarray
    wl_ids: np.ndarray
    labels: list[str]
    lines: np.ndarray
    train: np.ndarray
    held_out: np.ndarray

    def choose(self, index: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
        """At most ``limit`` of the indices, in random order."""
        return np.random.default_rng(seed).permutation(index)[:limit]


def load_pulses(folder: str | Path, model: VenomCheckpoint, extra: Sequence[str | Path] = ()) -> Pulses:
    """Windows of data folders at the checkpoint's window, or whole traces where it was trained on those; the split's
    seed and fraction come from the checkpoint too. Raises DataError, QuantizeError.
    """
    window = Window.from_dict(model.window)
    settings = model.training.get("settings", {})
    clip = float(settings.get("peak_sigma", 2.0))  # another clip would give another split
    cut = dict(window=window, peak_sigma=clip, full=bool(model.data.get("full_traces")))
    pulses: PulseSet = load_pulse_set(folder, **cut)
    train, held_out = stratified_split(
        pulses.wl_ids, float(settings.get("validation", 0.15)), int(settings.get("split_seed", 0))
    )
    full = pulses.lengths == window.length
    lines, held_out = train[full[train]], held_out[full[held_out]]
    if len(lines) < 64 or len(held_out) < 64:
        raise QuantizeError(
            f"{folder}: {len(lines)} training and {len(held_out)} held-out windows of full length "
            f"{window.length}; at least 64 of each are needed"
        )
    counts, energies, ids, train = [pulses.counts], [pulses.energies], [pulses.wl_ids], [lines]
    for path in extra:
        more = load_pulse_set(path, **cut)
        train.append(sum(map(len, counts)) + np.flatnonzero(more.lengths == window.length))
        counts.append(more.counts)
        energies.append(more.energies)
        ids.append(np.full(len(more), -1))
    return Pulses(
        np.concatenate(counts),
        np.concatenate(energies),
        np.concatenate(ids),
        pulses.wl_labels,
        lines,
        np.concatenate(train),
        held_out,
    )
