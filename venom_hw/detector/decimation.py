"""Anti-aliased FIR decimation (linear phase, applied without delay) and the cutting of windows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import convolve1d
from scipy.signal import firwin


@lru_cache(maxsize=32)
def _taps(factor: int) -> np.ndarray:
    return firwin(20 * factor + 1, 1.0 / factor, window="hamming") if factor > 1 else np.ones(1)


def antialias_taps(factor: int) -> np.ndarray:
    """Symmetric low-pass of 20 * factor + 1 taps, cut-off at the new Nyquist frequency, unit gain at 0 Hz.

    The filter of ``scipy.signal.decimate(ftype='fir')``.
    """
    return _taps(factor).copy()


def antialias(trace, factor: int):
    """Filtered traces at the raw rate, same shape and zero delay; ends are extended by their last value.

    trace: real (..., samples). Returns float32, or float64 for float64 input.
    """
    trace = np.asarray(trace)
    dtype = np.float64 if trace.dtype == np.float64 else np.float32
    if factor == 1:
        return trace.astype(dtype)
    return convolve1d(trace.astype(dtype), _taps(factor), axis=-1, mode="nearest", output=dtype)


def decimate(trace, factor: int):
    """Every `factor`-th sample of the filtered trace, along the last axis."""
    return antialias(trace, factor)[..., ::factor]


def cut_windows(trace, start, length: int, factor: int):
    """Samples start, start + factor, ... of each row (N, samples) -> (windows (N, length), valid lengths (N,)).

    Samples past the end of a trace are zero and not counted in the length. `start` (N,) must not be negative.
    """
    trace, start = np.asarray(trace), np.asarray(start)
    if np.any(start < 0):
        raise ValueError(f"window starts at raw sample {start.min()}: expected 0 or later")
    n = trace.shape[-1]
    index = start[:, None] + factor * np.arange(length)
    windows = np.take_along_axis(trace, np.minimum(index, n - 1), axis=-1)
    inside = index < n
    return np.where(inside, windows, 0), inside.sum(axis=1)
