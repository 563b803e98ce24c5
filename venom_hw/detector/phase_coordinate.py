"""Phase about the loop centre: the coordinate in which an optimal filter works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import PulseSet
from .loop_circle import phase_from


@dataclass(frozen=True)
class PhaseCoordinate:
    """theta = arctan2(Q, I) about the (already subtracted) loop centre, relative to `rest`, positive for pulses.

    rest: median point without a photon, counts; middle: point of the loop opposite to which the cut is placed.
    """

    rest: complex
    middle: complex

    @classmethod
    def fit(cls, pulses: PulseSet, index=None) -> PhaseCoordinate:
        """From the samples before the trigger and the mean pulse (training pulses: `index`)."""
        counts = pulses.counts if index is None else pulses.counts[index]
        step = max(1, len(counts) // 5000)
        z = counts[::step, :, 0] + 1j * counts[::step, :, 1]
        head = z[:, :max(1, pulses.window.n_pre - 4)]
        rest = complex(np.median(head.real), np.median(head.imag))
        mean = z.mean(axis=0)
        turn = np.angle(mean[np.argmax(np.abs(mean - rest))] / rest)
        return cls(rest, rest * np.exp(0.5j * turn))

    def __call__(self, counts) -> np.ndarray:
        """(..., 2) counts -> (...) phase in rad, float32."""
        counts = np.asarray(counts, np.float32)
        return phase_from(counts[..., 0] + 1j * counts[..., 1], self.rest, self.middle).astype(np.float32)
