"""Estimators side by side on the same pulses: R of each line and its mean, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .resolving_power_metrics import METRICS


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval (percentiles of the resampled values, placed about the value)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def to_dict(self) -> dict:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class ResolvingPowerTable:
    """value {name: (lines,)} and resamples {name: (n_boot, lines)} of R; resample b of every estimator has the same
    pulses, so differences are paired. bias {name: (lines,)} of the median in eV, bias_resamples as those of R.
    `level` is the intervals' nominal coverage; `metric` is "kde" (locally adaptive), "scott" or "gaussian"."""

    labels: list[str]
    energies: np.ndarray
    value: dict[str, np.ndarray]
    resamples: dict[str, np.ndarray]
    bias: dict[str, np.ndarray]
    metric: str
    level: float
    bias_resamples: dict[str, np.ndarray] = field(default_factory=dict)

    def _interval(self, value, resampled, widening: float | None = None) -> Interval:
        # basic bootstrap: the scatter of the resamples about their own median, put about the value (the KDE's FWHM is
        # biased by the ties of a resample, its scatter is not)
        tail = 50 * (1 - self.level)
        resampled = np.asarray(resampled)[np.isfinite(resampled)]
        if not len(resampled):
            return Interval(float(value), float("nan"), float("nan"))
        low, middle, high = np.percentile(resampled, [tail, 50, 100 - tail])
        wide = METRICS[self.metric].widening if widening is None else widening
        return Interval(float(value), float(value + wide * (low - middle)), float(value + wide * (high - middle)))

    def line(self, name: str, label: str) -> Interval:
        k = self.labels.index(label)
        return self._interval(self.value[name][k], self.resamples[name][:, k])

    def bias_of_line(self, name: str, label: str) -> Interval:
        """Median minus true energy of one line, eV."""
        k = self.labels.index(label)
        resampled = self.bias_resamples[name][:, k] if name in self.bias_resamples else np.empty(0)
        return self._interval(self.bias[name][k], resampled, widening=1.0)

    def inner(self) -> np.ndarray:
        """Mask (lines,) of all but the lines of lowest and highest energy (all where there are fewer than three).

        A network knows that photons come from the range it was trained on; near the ends of it that narrows its
        estimates, so the outermost lines flatter it."""
        edge = (self.energies == self.energies.min()) | (self.energies == self.energies.max())
        return ~edge if len(self.energies) >= 3 else np.ones(len(self.energies), bool)

    def _means(self, name: str, inner: bool):
        """(mean R, that of each resample (n_boot,)) over all or the inner lines."""
        lines = self.inner() if inner else slice(None)
        return self.value[name][lines].mean(), self.resamples[name][:, lines].mean(axis=1)

    def mean(self, name: str, inner: bool = False) -> Interval:
        """Mean R over all lines, or over the inner ones."""
        return self._interval(*self._means(name, inner))

    def difference(self, first: str, second: str, inner: bool = False) -> Interval:
        """Mean R of `first` minus that of `second`, paired bootstrap."""
        (a, resampled_a), (b, resampled_b) = self._means(first, inner), self._means(second, inner)
        return self._interval(a - b, resampled_a - resampled_b)

    def relative_difference(self, first: str, second: str, inner: bool = False) -> Interval:
        """Mean R of `first` over that of `second`, minus 1, paired bootstrap."""
        (a, resampled_a), (b, resampled_b) = self._means(first, inner), self._means(second, inner)
        return self._interval(a / b - 1, resampled_a / resampled_b - 1)

    def to_dict(self) -> dict:
        return {"metric": self.metric, "level": self.level, "labels": list(self.labels),
                "energies_eV": [float(e) for e in self.energies],
                "estimators": {n: {"mean": self.mean(n).to_dict(), "mean_inner": self.mean(n, inner=True).to_dict(),
                                   "lines": {k: self.line(n, k).to_dict() for k in self.labels},
                                   "bias_eV": {k: float(b) for k, b in zip(self.labels, self.bias[n], strict=True)},
                                   "bias_interval_eV": {k: self.bias_of_line(n, k).to_dict() for k in self.labels}}
                               for n in self.value}}

    def __str__(self) -> str:
        names = list(self.value)
        width = max(24, *(len(n) + 2 for n in names))
        rows = ["line".ljust(10) + "".join(n.rjust(width) for n in names)]
        for label in self.labels:
            rows.append(label.ljust(10) + "".join(str(self.line(n, label)).rjust(width) for n in names))
        rows.append("mean".ljust(10) + "".join(str(self.mean(n)).rjust(width) for n in names))
        return "\n".join(rows)


def resolving_power_table(estimates: dict, true, wl_ids, wl_labels, *, metric: str = "kde", n_boot: int = 200,
                          level: float = 0.95, seed: int = 0) -> ResolvingPowerTable:
    """R of several estimators on the same pulses.

    estimates {name: (N,) eV}; true (N,) eV; wl_ids (N,) index into wl_labels. Pulses are resampled within their line.
    `metric`: "kde" (locally adaptive; its resamples keep the bandwidths), "scott" (fixed bandwidth) or "gaussian".
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r}: expected one of {sorted(METRICS)}")
    true, wl_ids = np.asarray(true, float), np.asarray(wl_ids)
    estimates = {name: np.asarray(v, float) for name, v in estimates.items()}
    for name, v in estimates.items():
        if v.shape != true.shape:
            raise ValueError(f"estimates '{name}' of shape {v.shape}: expected {true.shape}")
    power = METRICS[metric]
    lines = [int(k) for k in np.unique(wl_ids)]
    value = {n: np.empty(len(lines)) for n in estimates}
    bias = {n: np.empty(len(lines)) for n in estimates}
    bias_resamples = {n: np.empty((n_boot, len(lines))) for n in estimates}
    resamples = {n: np.empty((n_boot, len(lines))) for n in estimates}
    energies = np.empty(len(lines))
    rng = np.random.default_rng(seed)
    for column, line in enumerate(lines):
        rows = np.flatnonzero(wl_ids == line)
        energies[column] = energy = true[rows[0]]
        draws = rng.integers(0, len(rows), (n_boot, len(rows)))
        for name, v in estimates.items():
            mine = v[rows]
            value[name][column], resamples[name][:, column] = power.with_resamples(mine, energy, draws)
            bias[name][column] = np.median(mine) - energy
            bias_resamples[name][:, column] = np.median(mine[draws], axis=1) - energy
    labels = [wl_labels[k] for k in lines]
    return ResolvingPowerTable(labels, energies, value, resamples, bias, metric, level, bias_resamples)
