"""Label jitter: energies blurred a little, so that a regressor does not learn that only a few of them exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .dataset import PulseSet
from .errors import DataError


def jitter_of_lines(pulses: PulseSet, jitter) -> np.ndarray:
    """The jitter of each line in eV, (lines,): `jitter` is one number for all, one a line in the order of
    `wl_labels`, or {"808nm": eV, ...} (lines it leaves out get none). Raises DataError."""
    labels = pulses.wl_labels
    if isinstance(jitter, Mapping):
        if unknown := sorted(set(jitter) - set(labels)):
            raise DataError("jitter", unknown[0], "no such line", f"labels among {', '.join(labels)}")
        values = [jitter.get(label, 0.0) for label in labels]
    elif isinstance(jitter, Sequence | np.ndarray) and not isinstance(jitter, str):
        values = list(jitter)
    else:
        values = [jitter] * len(labels)
    try:
        sigma = np.array([float(v) for v in values])
    except (TypeError, ValueError):
        raise DataError("jitter", None, repr(jitter)[:60], "numbers in eV") from None
    if len(sigma) != len(labels) or not (np.isfinite(sigma) & (sigma >= 0)).all():
        raise DataError("jitter", None, repr(jitter)[:60], f"one number of 0 or more in eV, or {len(labels)} of them")
    return sigma


def jittered_energies(pulses: PulseSet, jitter, seed: int = 0) -> np.ndarray:
    """Labels with Gaussian jitter, (N,) eV; for training only, never for a resolving power. See jitter_of_lines."""
    sigma = jitter_of_lines(pulses, jitter)[pulses.wl_ids]
    return pulses.energies + sigma * np.random.default_rng(seed).standard_normal(len(pulses))
