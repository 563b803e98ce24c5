"""The window of samples that a model sees: rate, length, and how raw units become counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
from scipy.optimize import curve_fit

from .errors import DataError


@dataclass(frozen=True)
class Window:
    """Which samples of a trace a model sees, and in which numbers (contracts, Windows).

    rate_hz      sample rate after decimation
    n_pre        samples before the trigger (the raw trace's peak)
    length       L = n_pre + round(n_tau * tau_s * rate_hz)
    tau_s        decay time the length was made from; n_tau how many of them
    downsample   raw samples a window sample
    counts_per_unit  raw unit -> ADC counts, a power of two (1 for files that already hold counts)
    centre       (i, q) in raw units, subtracted before scaling
    """

    rate_hz: float
    n_pre: int
    length: int
    tau_s: float
    n_tau: float
    downsample: int
    counts_per_unit: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        if not self.rate_hz > 0 or self.downsample < 1 or not 0 <= self.n_pre < self.length:
            raise ValueError(f"{self}: expected rate_hz > 0, downsample >= 1, 0 <= n_pre < length")
        if np.frexp(self.counts_per_unit)[0] != 0.5:
            raise ValueError(f"counts_per_unit {self.counts_per_unit!r}: expected a power of two")
        object.__setattr__(self, "centre", tuple(float(c) for c in self.centre))

    @property
    def raw_rate_hz(self) -> float:
        return self.rate_hz * self.downsample

    def to_dict(self) -> dict:
        return {**asdict(self), "centre": list(self.centre)}

    @classmethod
    def from_dict(cls, data: dict) -> Window:
        names = {f.name for f in fields(cls)}
        if unknown := set(data) - names:
            raise DataError("window", ", ".join(sorted(unknown)), "unknown key", f"keys among {sorted(names)}")
        try:
            return cls(**{**data, "centre": tuple(data.get("centre", (0.0, 0.0)))})
        except TypeError as error:
            raise DataError("window", None, str(error), f"the keys {sorted(names)}") from error


def window_length(n_pre: int, n_tau: float, tau_s: float, rate_hz: float) -> int:
    """L = n_pre + round(n_tau * tau * rate); 126 for 46.4 us at 500 kHz, 426 for 416 us at 200 kHz."""
    return n_pre + int(round(n_tau * tau_s * rate_hz))


def fit_decay(pulse, rate_hz: float) -> float:
    """Decay time in s of a mean pulse (1-D, baseline subtracted, positive), fitted from its peak to its end.

    Least squares of A exp(-t / tau); raises ValueError if the pulse does not decay within the trace.
    """
    pulse = np.asarray(pulse, float)
    tail = pulse[int(np.argmax(pulse)):]
    time = np.arange(len(tail)) / rate_hz
    if len(tail) < 8 or not tail[0] > 0:
        raise ValueError("no decaying pulse in the mean trace")
    below = np.flatnonzero(tail < tail[0] / np.e)
    guess = time[below[0]] if len(below) else time[-1]
    (_, tau), _ = curve_fit(lambda t, a, tau: a * np.exp(-t / tau), time, tail, p0=(tail[0], max(guess, time[1])))
    if not 0 < tau < 10 * time[-1]:
        raise ValueError(f"fitted decay time {tau:.3g} s is not within the trace of {time[-1]:.3g} s")
    return float(tau)
