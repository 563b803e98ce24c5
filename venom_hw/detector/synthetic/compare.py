"""Synthetic pulses held against pulses of known energy, in eV: are they at the right energy, and as wide?"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..dataset import PulseSet
from ..errors import DataError
from .generator import MARGIN, PulseGenerator
from .moments import line_rows

DRAWS_A_SAMPLE = 20   # synthetic pulses that a filter is made from, per number of a pulse (2 L)
STEP = 2e-3           # of the energy, for the derivative of the mean pulse


@dataclass(frozen=True)
class LineComparison:
    """One energy. The filter has unit response to energy and the least variance on synthetic pulses there.

    bias_ev: mean response of real less synthetic pulses, and its standard error; real_ev, synthetic_ev: standard
    deviations of the responses, and the standard error of their ratio (relative); outside: beyond the fitted lines.
    """

    label: str
    energy_ev: float
    pulses: int
    bias_ev: float
    bias_error_ev: float
    real_ev: float
    synthetic_ev: float
    ratio_error: float
    outside: bool

    @property
    def ratio(self) -> float:
        """Width of the real pulses over that of the synthetic ones; above 1 the synthetic ones are too clean."""
        return self.real_ev / self.synthetic_ev


def _filter(generator: PulseGenerator, energy: float, rng: np.random.Generator) -> np.ndarray:
    low, high = generator.energy_range
    ends = np.clip([energy * (1 - STEP), energy * (1 + STEP)], low, high)
    slope = np.diff(generator.mean(ends), axis=0).ravel() / (ends[1] - ends[0])
    size = len(slope)
    gram, total, n = np.zeros((size, size)), np.zeros(size), DRAWS_A_SAMPLE * size
    for first in range(0, n, 2048):
        part = generator.sample(np.full(min(2048, n - first), energy), rng).reshape(-1, size).astype(np.float64)
        gram += part.T @ part
        total += part.sum(axis=0)
    solved = np.linalg.solve(gram / n - np.outer(total, total) / n**2, slope)
    return solved / (slope @ solved)


def _responses(counts, weights) -> np.ndarray:
    return np.concatenate([counts[k:k + 2048].reshape(-1, len(weights)) @ weights for k in range(0, len(counts), 2048)])


def compare_with(generator: PulseGenerator, pulses: PulseSet, index=None, seed: int = 0,
                 progress=None) -> list[LineComparison]:
    """Compare at every line of `pulses` (those of `index` only) that the generator reaches, ascending in energy.

    Use held-out pulses, or a set at energies between the lines: the generator knows its training pulses. Raises
    DataError where no line lies within the generator's range or the windows differ. `progress`: called with 1 a line.
    """
    if pulses.window != generator.window:
        raise DataError("compare_with", "window", f"{pulses.window}", f"{generator.window}, the generator's")
    low, high = generator.energy_range
    lines = line_rows(pulses, np.arange(len(pulses)) if index is None else index)
    reached = [line for line in lines if low <= line[0] <= high]
    if not reached:
        raise DataError("compare_with", "energies", f"{lines[0][0]:g} to {lines[-1][0]:g} eV", f"some within {low:.4g} "
                        f"to {high:.4g} eV, the lines and a factor {MARGIN} beyond")
    result = []
    for number, (energy, label, rows) in enumerate(reached):
        rng = np.random.default_rng((seed, number))
        weights = _filter(generator, energy, rng)
        real = _responses(pulses.counts[rows], weights)
        made = _responses(generator.sample(np.full(max(4000, len(rows)), energy), rng), weights)
        inside = generator.energies[0] * (1 - 1e-9) <= energy <= generator.energies[-1] * (1 + 1e-9)
        result.append(LineComparison(
            label, energy, len(rows), float(real.mean() - made.mean()),
            float(np.sqrt(real.var() / len(real) + made.var() / len(made))), float(real.std()), float(made.std()),
            float(np.sqrt(0.5 / len(real) + 0.5 / len(made))), not inside))
        if progress is not None:
            progress(1)
    return result


def comparison_text(rows: list[LineComparison], title: str) -> str:
    """A table for people; * marks energies beyond the fitted lines."""
    head = (f"{title}\n{'line':>12} {'eV':>8} {'pulses':>7} {'bias [meV]':>16} {'sigma real':>11} {'synthetic':>10} "
            "real / synthetic")
    body = [f"{r.label:>11}{'*' if r.outside else ' '} {r.energy_ev:8.4f} {r.pulses:7d} {1e3 * r.bias_ev:+8.2f} +- "
            f"{1e3 * r.bias_error_ev:4.2f} {1e3 * r.real_ev:7.2f} meV {1e3 * r.synthetic_ev:6.2f} meV {r.ratio:.3f} +- "
            f"{r.ratio * r.ratio_error:.3f}" for r in rows]
    return "\n".join([head, *body])


def comparison_rows(rows: list[LineComparison]) -> list[dict]:
    """For JSON."""
    return [asdict(r) | {"ratio": r.ratio} for r in rows]
