"""Peak heights of raw traces, for data that come without any: response to the shared mean pulse."""

from __future__ import annotations

import numpy as np

from .loop_circle import fit_circle
from .mean_pulse import SAMPLE, MeanPulse

LAGS = 3        # raw samples to either side
BATCH = 1000


def raw_peak_heights(lines, masks=None, source="traces", centre: complex | None = None) -> list[np.ndarray]:
    """Height in rad of every pulse of every line, negative as the laboratory stores them; one (N,) a line.

    lines: complex traces, each (N, samples), raw units; masks: good pulses of each, (N,) bool. One template for all,
    the mean phase pulse (about `centre`, default that of a circle fitted to the mean pulses), white noise assumed; the
    largest of seven lags. Raises DataError if there is no pulse in the mean trace.
    """
    masks = masks or [np.ones(len(z), bool) for z in lines]
    good = [z[mask][:SAMPLE] for z, mask in zip(lines, masks, strict=True)]
    if centre is None:
        centre, _ = fit_circle(np.concatenate([z.mean(axis=0) for z in good]))
    pulse = MeanPulse.of([z - centre for z in good], source)
    template = np.mean([pulse.phase(z - centre).mean(axis=0) for z in good], axis=0)
    kernel = template * template.max() / (template @ template)
    lags = np.stack([np.roll(kernel, k) for k in range(-LAGS, LAGS + 1)], 1)

    def heights(z):
        return (pulse.phase(z - centre) @ lags).max(axis=1)

    return [-np.concatenate([heights(z[first:first + BATCH]) for first in range(0, len(z), BATCH)]) for z in lines]
