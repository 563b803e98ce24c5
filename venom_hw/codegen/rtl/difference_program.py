"""The linear program behind a schedule."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from venom_hw.codegen.errors import CodegenError


class DifferenceProgram:
    """Differences of integer variables, each at least so much, at the least cost.

    The matrix is totally unimodular, so the linear program's corners, which the simplex finds, are integers.
    """

    def __init__(self, count: int):
        self.count, self.weights = count, defaultdict(int)
        self.rows: list[tuple[int, int, int]] = []

    def variable(self) -> int:
        """One more variable; its number."""
        self.count += 1
        return self.count - 1

    def at_least(self, a: int, b: int, distance: float) -> None:
        """a - b >= distance."""
        if a != b:
            self.rows.append((a, b, distance))

    def cost(self, variable: int, weight: int) -> None:
        """Add weight * variable to what is minimised."""
        self.weights[variable] += weight

    def solve(self, lower: np.ndarray, upper: np.ndarray, name: str) -> np.ndarray:
        """Values of the first len(lower) variables within their bounds; those added later have none of their own.

        Raises:
            CodegenError: the differences cannot be kept, said with `name`.
        """
        if not self.count:
            return np.zeros(0, int)
        a, b, distance = (
            (np.array(c) for c in zip(*self.rows, strict=True)) if self.rows else (np.zeros(0, int),) * 3
        )
        row = np.arange(len(a))
        values = np.concatenate([-np.ones(len(a)), np.ones(len(a))])
        matrix = coo_array((values, (np.tile(row, 2), np.concatenate([a, b]))), shape=(len(a), self.count))
        cost = np.zeros(self.count)
        for variable, weight in self.weights.items():
            cost[variable] = weight
        more = self.count - len(lower)
        bounds = np.stack(
            [np.pad(lower, (0, more)), np.pad(upper, (0, more), constant_values=upper.max())], 1
        )
        result = linprog(cost, A_ub=matrix.tocsr(), b_ub=-distance, bounds=bounds, method="highs-ds")
        if result.status != 0:
            raise CodegenError(f"{name}: no schedule found: {result.message}")
        clocks = np.rint(result.x).astype(int)
        if np.any(np.abs(clocks - result.x) > 1e-6) or np.any(clocks[a] - clocks[b] < distance):
            raise CodegenError(f"{name}: the schedule's clocks are not integers")
        return clocks[: len(lower)]
