"""Cutouts: science, template and difference stamps of an alert, and the scaling that a network sees."""

from __future__ import annotations

import numpy as np

from .source import STAMP

EMPTY_STAMP = np.zeros((3, STAMP, STAMP), np.float32)


def scaled_stamp(stamp: np.ndarray) -> np.ndarray:
    """(3, 63, 63) as a network sees it: a channel is clipped to its percentiles 1 and 99 and standardised.

    A channel without contrast (a standard deviation up to 1e-6) becomes 0.
    """
    stamp = np.where(np.isfinite(stamp), stamp, 0).astype(np.float32)
    low, high = np.percentile(stamp, [1, 99], axis=(1, 2), keepdims=True).astype(np.float32)
    stamp = np.clip(stamp, low, high)
    mean = stamp.mean(axis=(1, 2), keepdims=True)
    std = stamp.std(axis=(1, 2), keepdims=True)
    return np.where(std > 1e-6, (stamp - mean) / np.where(std > 1e-6, std, 1), 0).astype(np.float32)
