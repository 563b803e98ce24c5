"""Peak heights of raw traces, for data that come without any: response to the shared mean pulse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .loop_circle import fit_circle
from .mean_pulse import SAMPLE, MeanPulse

LAGS = 3        # raw samples to either side
BATCH = 1000


@dataclass(frozen=True)
class HeightFilter:
    """One template for all lines, the mean phase pulse, white noise assumed; the largest of seven lags counts."""

    centre: complex
    pulse: MeanPulse
    lags: np.ndarray

    @classmethod
    def fit(cls, samples, source="traces", centre: complex | None = None) -> HeightFilter:
        """From some good pulses of each line, complex (n, samples), raw units; `centre` of the loop, default that of
        a circle fitted to their means. Raises DataError if there is no pulse in the mean trace."""
        samples = [z[:SAMPLE] for z in samples]
        if centre is None:
            centre, _ = fit_circle(np.concatenate([z.mean(axis=0) for z in samples]))
        pulse = MeanPulse.of([z - centre for z in samples], source)
        template = np.mean([pulse.phase(z - centre).mean(axis=0) for z in samples], axis=0)
        kernel = template * template.max() / (template @ template)
        return cls(centre, pulse, np.stack([np.roll(kernel, k) for k in range(-LAGS, LAGS + 1)], 1))

    def __call__(self, i_trace, q_trace) -> np.ndarray:
        """Heights (N,) in rad of raw traces (N, samples), negative as the laboratory stores them."""
        found = []
        for first in range(0, len(i_trace), BATCH):
            rows = slice(first, first + BATCH)
            z = i_trace[rows] + 1j * q_trace[rows].astype(np.float64) - self.centre
            found.append((self.pulse.phase(z) @ self.lags).max(axis=1))
        return -np.concatenate(found)
