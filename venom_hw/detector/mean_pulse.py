"""The mean pulse of some lines: where it starts on the loop, where the angle is cut, what it looks like in phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import DataError
from .loop_circle import phase_from, rest_point

SAMPLE = 500        # pulses of a line that are looked at
MOST_BEFORE = 0.2   # of a trace: samples that count as before the pulse, at most (mkidcalculator's choice)


@dataclass(frozen=True)
class MeanPulse:
    """rest, middle: points of the loop (without a photon; in mid pulse); before: samples surely before the pulse;
    height (samples,): phase in rad of the mean of all lines, positive, without its baseline."""

    rest: complex
    middle: complex
    before: int
    height: np.ndarray

    @classmethod
    def of(cls, lines, source="traces") -> MeanPulse:
        """From complex traces about the loop's centre, one (N, samples) a line, triggered at one sample.

        Raises DataError if no pulse is in their mean.
        """
        some = [z[:SAMPLE] for z in lines]
        means = [z.mean(axis=0) for z in some]
        mean = np.mean(means, axis=0)
        n = len(mean)
        peak = int(np.argmax(np.abs(mean - mean[:max(1, n // 50)].mean())))
        before = max(1, min(int(MOST_BEFORE * n), 3 * peak // 4))
        rest = complex(np.mean([rest_point(z, (before + 0.5) / n) for z in some]))
        furthest = mean[np.argmax(np.abs(mean - rest))]
        if rest == 0 or furthest == rest or not np.isfinite(furthest):
            raise DataError(source, "i_trace", "no pulse in the mean trace", "traces that hold a photon's pulse")
        middle = rest * np.exp(0.5j * np.angle(furthest / rest))
        height = phase_from(mean, rest, middle)
        return cls(rest, complex(middle), before, height - np.median(height[:before]))

    def phase(self, z) -> np.ndarray:
        """Phase of complex traces (N, samples) in rad, positive for pulses, each without its own baseline."""
        phase = phase_from(z, self.rest, self.middle)
        return phase - np.median(phase[:, :self.before], axis=1, keepdims=True)
