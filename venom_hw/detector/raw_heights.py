"""Peak heights of raw traces, for data that come without any: response to the shared mean pulse."""

from __future__ import annotations

import numpy as np

from .errors import DataError
from .loop_circle import fit_circle, phase_from, rest_point

LAGS = 3        # raw samples to either side
SAMPLE = 500    # pulses a line that circle and template are made from


def raw_peak_heights(lines, masks=None, source="traces", centre: complex | None = None) -> list[np.ndarray]:
    """Height in rad of every pulse of every line, negative as the laboratory stores them; one (N,) a line.

    lines: complex traces, each (N, samples), raw units; masks: good pulses of each, (N,) bool. One template for all,
    the mean phase pulse (about `centre`, default that of a circle fitted to the mean pulses), white noise assumed; the
    largest of seven lags. Raises DataError if there is no pulse in the mean trace.
    """
    masks = masks or [np.ones(len(z), bool) for z in lines]
    good = [z[mask][:SAMPLE] for z, mask in zip(lines, masks, strict=True)]
    means = [z.mean(axis=0) for z in good]
    if centre is None:
        centre, _ = fit_circle(np.concatenate(means))
    rest = np.mean([rest_point(z - centre) for z in good])
    mean = np.mean(means, axis=0) - centre
    furthest = mean[np.argmax(np.abs(mean - rest))]
    if rest == 0 or furthest == rest or not np.isfinite(furthest):
        raise DataError(source, "i_trace", "no pulse in the mean trace", "traces that hold a photon's pulse")
    middle = rest * np.exp(0.5j * np.angle(furthest / rest))

    before = max(1, 3 * int(np.argmax(np.abs(mean - rest))) // 4)  # clear of the pulse's foot

    def theta(z):
        phase = phase_from(z - centre, rest, middle)
        return phase - np.median(phase[:, :before], axis=1, keepdims=True)

    template = np.mean([theta(z).mean(axis=0) for z in good], axis=0)
    kernel = template * template.max() / (template @ template)
    lags = np.stack([np.roll(kernel, k) for k in range(-LAGS, LAGS + 1)], 1)
    return [-np.concatenate([(theta(z[first:first + 1000]) @ lags).max(axis=1) for first in range(0, len(z), 1000)])
            for z in lines]
