"""Locally adaptive kernel density estimate of Shimazaki and Shinomoto, Gaussian window, in array operations.

Source: H. Shimazaki and S. Shinomoto, "Kernel bandwidth optimization in spike rate estimation", J. Comput. Neurosci.
29, 171 (2010), section 2.3. Written from the paper's equations; the discretisation (window sizes, padding of the
Fourier transforms, end of the golden section search) is that of the authors' published program, so that the numbers
are those of `adaptivekde.ssvkernel(x, tin, WinFunc="Gauss")`: density and bandwidth to 1e-9 of their largest value
(tests). Differences: no random bands are drawn (hence no seed and no hidden use of NumPy's global generator), values
that are not finite or have no spread are an error, not a crash, and the values need not be sorted in a 1-D float array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOWS = 80  # window sizes tried, from five grid steps to the whole range
MAX_DEFAULT_GRID = 1000
_SEARCH_STEPS = 30
_SEARCH_TOLERANCE = 1e-5
_NEGLIGIBLE = 45.0  # a factor exp(-45) = 3e-20 is lost in float64's rounding


@dataclass(frozen=True)
class AdaptiveDensity:
    """t (L,) evenly spaced grid; density (L,) per unit of t, with sum(density) * dt = 1; bandwidth (L,) of the Gaussian
    kernel at each t; stiffness gamma found, and its cost (the estimated integrated square error up to a constant)."""

    t: np.ndarray
    density: np.ndarray
    bandwidth: np.ndarray
    stiffness: float
    cost: float

    def at(self, points) -> tuple[np.ndarray, np.ndarray]:
        """(density, bandwidth) at other points, linearly interpolated (as the authors' program does)."""
        return np.interp(points, self.t, self.density), np.interp(points, self.t, self.bandwidth)


def log_exp(x) -> np.ndarray:
    """log(1 + exp(x)): geometric for x far below 0, linear far above."""
    return np.logaddexp(0.0, np.asarray(x, float))


def inverse_log_exp(y) -> np.ndarray:
    """The x with log_exp(x) = y, y > 0."""
    y = np.asarray(y, float)
    return y + np.log(-np.expm1(-y))


def estimation_grid(values: np.ndarray, tin=None) -> np.ndarray:
    """The grid that the estimate works on: `tin`, unless it is finer than the smallest gap between two values."""
    gaps = np.diff(np.sort(values))
    smallest = gaps[gaps > 0].min()
    count = int(min(np.ceil(np.ptp(values) / smallest), MAX_DEFAULT_GRID))
    if tin is None:
        return np.linspace(values.min(), values.max(), count)
    if smallest > np.diff(tin).min():
        return np.linspace(tin[0], tin[-1], count)
    return tin


def fine_histogram(values: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Counts (L,) of values in bins of the grid's step centred on its points."""
    dt = np.diff(t).min()
    return np.histogram(values, np.append(t, t[-1] + dt) - dt / 2)[0].astype(float)


def ssvkernel(values, tin=None, windows: int = WINDOWS) -> AdaptiveDensity:
    """Density of `values` (N,) with a Gaussian kernel whose width follows the density.

    `tin`: evenly spaced rising grid; values outside it are left out. Cost: about `windows`^2 L + 60 L^2 operations
    (20 ms for L = 150, 0.1 s for L = 400 on one core). ValueError for values that are not (N,) finite with at least
    two different ones, or a grid of fewer than 8 points or one that does not rise.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or not np.isfinite(x).all() or len(x) < 2 or np.ptp(x) == 0:
        raise ValueError(f"values of shape {x.shape}: expected (N,), finite, with at least two different ones")
    if tin is not None:
        tin = np.asarray(tin, float)
        if tin.ndim != 1 or len(tin) < 8 or not (np.diff(tin) > 0).all():
            raise ValueError(f"tin of shape {tin.shape}: expected 8 or more rising points")
        x = x[(x >= tin[0]) & (x <= tin[-1])] if len(x) else x
        if len(x) < 2 or np.ptp(x) == 0:
            raise ValueError(f"{len(x)} values lie between tin[0] = {tin[0]:g} and tin[-1] = {tin[-1]:g}: expected "
                             "at least two different ones")
    extent = np.ptp(np.asarray(values, float))
    t = estimation_grid(np.asarray(values, float), tin)
    dt = np.diff(t).min()
    counts = fine_histogram(x, t)
    width = log_exp(np.linspace(inverse_log_exp(5 * dt), inverse_log_exp(extent), windows))
    search = _StiffnessSearch(counts / dt, t, dt, width, _best_local_windows(counts / dt, width, dt))
    return search.run()


def _circular_gauss(length: int, width: np.ndarray, dt: float):
    """Groups of windows whose padded transforms have the same size n: (rows, n, frequencies used of each)."""
    sizes = (2 ** np.ceil(np.log2(length + 3 * width / dt))).astype(int)
    for n in np.unique(sizes):
        rows = np.flatnonzero(sizes == n)
        used = np.minimum(np.sqrt(2 * _NEGLIGIBLE) * n / (2 * np.pi * width[rows] / dt), n // 2).astype(int) + 1
        yield rows, int(n), used


def _gauss_transform(n: int, used: int, steps: float) -> np.ndarray:
    return np.exp(-0.5 * (steps * 2 * np.pi * np.arange(used) / n) ** 2)


def _best_local_windows(rate: np.ndarray, width: np.ndarray, dt: float) -> np.ndarray:
    """(M, L): at each place, the fixed window that costs least when the cost is averaged over a window of width i."""
    length = len(rate)
    cost = np.empty((len(width), length))
    for rows, n, used in _circular_gauss(length, width, dt):
        spectrum = np.fft.rfft(rate, n)
        for row, k in zip(rows, used, strict=True):
            smooth = spectrum.copy()
            smooth[:k] *= _gauss_transform(n, k, width[row] / dt)
            smooth[k:] = 0.0
            y = np.fft.irfft(smooth, n)[:length]
            cost[row] = y**2 - 2 * y * rate + 2 / np.sqrt(2 * np.pi) / width[row] * rate
    best = np.empty_like(cost)
    for rows, n, used in _circular_gauss(length, width, dt):
        spectrum = np.fft.rfft(cost, n, axis=1)[:, :used.max()]
        # The inverse transform as a product of matrices: wide windows need few frequencies.
        weight = np.full(used.max(), 2.0 / n)
        weight[0] = 1.0 / n
        if used.max() == n // 2 + 1:
            weight[-1] = 1.0 / n
        angle = 2 * np.pi / n * (np.outer(np.arange(used.max()), np.arange(length)) % n)
        basis = np.stack([np.cos(angle), -np.sin(angle)], axis=1)  # (frequencies, 2, L)
        parts = np.stack([spectrum.real, spectrum.imag], axis=2) * weight[:, None]  # (M, frequencies, 2)
        for row, k in zip(rows, used, strict=True):
            kernel = _gauss_transform(n, k, width[row] / dt)
            local = (parts[:, :k] * kernel[:, None]).reshape(len(width), -1) @ basis[:k].reshape(-1, length)
            best[row] = width[np.argmin(local, axis=0)]
    return best


class _StiffnessSearch:
    """Golden section search for the stiffness gamma of the variable bandwidth."""

    def __init__(self, rate, t, dt, width, best):
        self.rate, self.t, self.dt, self.width = rate, t, dt, width
        self.ratio = best / width[:, None]
        self.total = rate.sum() * dt
        self.filled = np.flatnonzero(rate)
        self.distance2 = (t[:, None] - t) ** 2

    def bandwidths(self, gamma: float) -> np.ndarray:
        """(L,) before smoothing: gamma times the largest window whose local optimum is gamma times it or more."""
        reached = self.ratio >= gamma
        last = len(self.width) - 1 - np.argmax(reached[::-1], axis=0)
        chosen = gamma * self.width[last]
        chosen = np.where(gamma < self.ratio.min(axis=0), self.width.max(), chosen)
        return np.where(gamma > self.ratio.max(axis=0), self.width.min(), chosen)

    def estimate(self, gamma: float):
        """(cost, density estimate (L,) not normalised, bandwidth (L,)) of one gamma."""
        raw = self.bandwidths(gamma)
        scale = raw / gamma
        near = np.exp(-self.distance2 / (2 * scale**2)) / scale
        bandwidth = near @ raw / near.sum(axis=1)
        y = balloon(self.rate[self.filled], self.distance2[:, self.filled], bandwidth)
        y = y * (self.total / (y.sum() * self.dt))
        cost = y**2 - 2 * y * self.rate + 2 / np.sqrt(2 * np.pi) / bandwidth * self.rate
        return cost.sum() * self.dt, y, bandwidth

    def run(self) -> AdaptiveDensity:
        low, high = 1e-12, 1.0
        golden = (np.sqrt(5) + 1) / 2
        at = lambda share: (golden - 1) * (low if share else high) + (2 - golden) * (high if share else low)  # noqa: E731
        first, second = at(True), at(False)
        found = self.estimate(first)
        first_cost, second_cost = found[0], self.estimate(second)[0]
        for _ in range(_SEARCH_STEPS):
            if not abs(high - low) > _SEARCH_TOLERANCE * (abs(first) + abs(second)):
                break
            if first_cost < second_cost:
                high, second, second_cost = second, first, first_cost
                first = gamma = at(True)
                found = self.estimate(first)
                first_cost = found[0]
            else:
                low, first, first_cost = first, second, second_cost
                second = gamma = at(False)
                found = self.estimate(second)
                second_cost = found[0]
        cost, y, bandwidth = found
        return AdaptiveDensity(self.t, y / (y.sum() * self.dt), bandwidth, gamma, float(cost))


def balloon(counts, distance2, bandwidth) -> np.ndarray:
    """sum_j counts_j Gauss(t_k - t_j, bandwidth_k): (L,), or (L, B) for counts (J, B); distance2 (L, J)."""
    return (np.exp(-distance2 / (2 * bandwidth[:, None] ** 2)) / (np.sqrt(2 * np.pi) * bandwidth[:, None])) @ counts
