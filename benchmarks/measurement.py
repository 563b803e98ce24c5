"""What a benchmark returns, and how it takes a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes
    ----------
    name : str
        What was measured, with its shape: "parallel scan, batch 512, L=126, forward + backward".
    seconds : float
        Our time (best of the repeats).
    reference : str
        What it is held against ("mambapy"), "" if against nothing.
    reference_seconds : float or None
        The reference's time at the same shapes in the same run.
    aim : float or None
        How many times faster than the reference we want to be.
    note : str
        Anything a reader needs, e.g. "1,000 windows".
    """

    name: str
    seconds: float
    reference: str = ""
    reference_seconds: float | None = None
    aim: float | None = None
    note: str = ""

    @property
    def times_faster(self) -> float | None:
        """reference_seconds / seconds, or None without a reference."""
        return None if self.reference_seconds is None else self.reference_seconds / self.seconds


def best_seconds(function: Callable[[], object], repeats: int = 5, warm_up: int = 1) -> float:
    """Shortest wall time of `function()` in seconds: other programs only ever make a run longer.

    To compare two functions fairly use `best_seconds_each`.
    """
    return best_seconds_each([function], repeats, warm_up)[0]


def best_seconds_each(
    functions: list[Callable[[], object]], repeats: int = 5, warm_up: int = 1
) -> list[float]:
    """Shortest wall time of each function, taken in turns, so that a slow spell of the machine hits all."""
    for function in functions:
        for _ in range(warm_up):
            function()
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[index] = min(best[index], time.perf_counter() - start)
    return best
