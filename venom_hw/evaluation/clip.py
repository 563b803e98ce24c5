"""Which pulses of a folder are judged where another clip of peak heights is wanted than the model's training had."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from venom_hw.detector import PulseSet, stratified_split


def places(clipped: PulseSet, other: PulseSet) -> np.ndarray:
    """Of each pulse of `clipped` its place in `other`, -1 where it is not there: the same folder, read with another
    clip. Pulses are known by line and stored height, equal ones by their order."""
    where = defaultdict(list)
    for place in range(len(other) - 1, -1, -1):
        where[int(other.wl_ids[place]), float(other.peak_heights[place])].append(place)
    found = (where[int(k), float(h)] for k, h in zip(clipped.wl_ids, clipped.peak_heights, strict=True))
    return np.array([queue.pop() if queue else -1 for queue in found], int)


def beyond(clipped: PulseSet, other: PulseSet) -> np.ndarray:
    """Mask over `other` of pulses whose height lies outside that of all pulses of their line in `clipped`."""
    out = np.zeros(len(other), bool)
    for k in np.unique(other.wl_ids):
        heights = clipped.peak_heights[clipped.wl_ids == k]
        rows = other.wl_ids == k
        out[rows] = (other.peak_heights[rows] < heights.min()) | (other.peak_heights[rows] > heights.max())
    return out


def moved_split(clipped: PulseSet, other: PulseSet, train, held_out, share: float, seed: int):
    """(train, held_out) as places in `other`: those of the split of `clipped` that are there, and the `share` of each
    line's pulses that the clip had cut. So no training pulse is judged, and tails weigh what they should."""
    place = places(clipped, other)
    cut = np.flatnonzero(beyond(clipped, other))
    _, more = stratified_split(other.wl_ids[cut], share, seed)
    train, held_out = (place[x][place[x] >= 0] for x in (train, held_out))
    return np.sort(train), np.sort(np.concatenate([held_out, cut[more]]))
