"""Power spectral density of the noise in a window's coordinate."""

from __future__ import annotations

import numpy as np
from scipy.signal import welch


def noise_psd(traces, rate_hz: float, length: int) -> np.ndarray:
    """One-sided PSD (unit^2/Hz) on the ``length // 2 + 1`` frequencies of a window, averaged over traces (M, L').

    Welch with a Hann window and the mean removed, one segment a trace (mkidcalculator: noise.py); traces shorter than
    a window are interpolated in log frequency and held constant below their lowest bin.
    """
    traces = np.atleast_2d(np.asarray(traces, np.float64))
    if traces.shape[1] < 8:
        raise ValueError(f"noise traces of {traces.shape[1]} samples: expected at least 8")
    segment = min(length, traces.shape[1])
    frequency, density = welch(traces, rate_hz, nperseg=segment, detrend="constant", axis=-1)
    density = density.mean(axis=0)
    wanted = np.fft.rfftfreq(length, 1.0 / rate_hz)
    if segment == length:
        result = density
    else:
        floor = frequency[1]
        log_f = np.log(np.maximum(frequency[1:], floor))
        result = np.exp(np.interp(np.log(np.maximum(wanted, floor)), log_f, np.log(density[1:])))
    result[0] = result[1]  # removing the mean emptied the first bin
    return result
