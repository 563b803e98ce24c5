"""What a judgement found, as numbers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.detector.resolving_power_metrics import METRICS
from venom_hw.detector.resolving_power_table import ResolvingPowerTable

from .between import SNAPPING, snapping
from .errors import EvaluationError
from .estimators import FILTERS, FLOAT, GOLDEN, QUANTISED, SLOPES

FORMAT = "venom-hw/evaluation/1"
FEW = 200


@dataclass(frozen=True)
class EstimatorReport:
    """tables {metric: table of all estimators at the lines}; estimates {name: (N,) eV} of the held-out pulses, energies
    (N,) eV and wl_ids (N,) of those; bound (lines,) R at the Cramer-Rao bound or None; between, between_bound: the same
    at energies between the lines, or None; integers: golden against quantised; slopes {network: (smallest, largest) of
    its calibration at the lines}; notes; provenance; stored_R {line: R} of a filter, as the folder's metadata.json
    has it (opt_filt_R), or None."""

    tables: dict[str, ResolvingPowerTable]
    estimates: dict[str, np.ndarray]
    energies: np.ndarray
    wl_ids: np.ndarray
    bound: np.ndarray | None
    between: dict[str, ResolvingPowerTable] | None
    between_bound: np.ndarray | None
    integers: dict | None
    slopes: dict[str, tuple[float, float]]
    notes: list[str]
    provenance: dict
    stored_R: dict[str, float] | None = None

    @property
    def names(self) -> list[str]:
        return list(self.estimates)

    def pairs(self) -> list[tuple[str, str]]:
        """Which differences are worth a line: the network against each filter, then down the ladder of proof."""
        there = set(self.names)
        wanted = [(FLOAT, f) for f in FILTERS.values()] + [(QUANTISED, FLOAT), (GOLDEN, QUANTISED)]
        return [(a, b) for a, b in wanted if {a, b} <= there]

    def snapping(self) -> dict[str, float]:
        """R at a line over R between the lines, the largest of each estimator (1: none). By the width and by the rms
        error: what snaps to the nearest line is narrow between the lines too, but in the wrong place."""
        found = {}
        for metric in ("kde", "gaussian") if self.between is not None else ():
            for name in self.between[metric].value:
                ratio = snapping(self.tables[metric], self.between[metric], name)
                if ratio is not None:
                    found[name] = max(ratio, found.get(name, 0.0))
        return found

    def warnings(self) -> list[str]:
        """The notes, and what the numbers themselves warn of."""
        out = list(self.notes)
        fewest = min(self.provenance["held_out"].values(), default=FEW)
        if fewest < FEW:
            out.append(
                f"{fewest} held-out pulses of a line: with fewer than {FEW} the adaptive R scatters by 13 % and more."
            )
        for name, (low, high) in self.slopes.items():
            if low < SLOPES[0] or high > SLOPES[1]:
                out.append(squeezed(name, low, high))
        for name, ratio in self.snapping().items():
            if ratio > SNAPPING and name in FILTERS.values():
                out.append(self._bent(name, ratio))
            elif ratio > SNAPPING:
                out.append(
                    f"{name}: R at a line is {ratio:.1f} times that between the lines. It snaps to the lines, so this "
                    "is no resolving power: train it on more energies."
                )
        return out + self._above_the_bound()

    def _bent(self, name: str, ratio: float) -> str:
        """The warning about a filter: it knows nothing of lines, but it was calibrated on few of them."""
        off = self.between["kde"]
        k = int(np.nanargmax(np.abs(off.bias[name])))
        return (
            f"{name}: R at a line is {ratio:.1f} times that between the lines. A filter cannot snap: its energy "
            "calibration, a spline through the lines, is off between them, most at "
            f"{off.labels[k]} ({1e3 * off.bias[name][k]:+.0f} meV). Calibrate it on more lines."
        )

    def bound_holds(self, metric: str) -> bool:
        """Whether the bound is one for this metric: a clip of peak heights cuts the tails of R by the rms error."""
        return metric != "gaussian" or not self.provenance.get("peak_sigma")

    def _above_the_bound(self) -> list[str]:
        """A warning for each metric and estimator whose intervals lie above the bound, at a line or in the mean."""
        out, clipped = [], []
        for metric, table in self.tables.items() if self.bound is not None else ():
            for name in self.names:
                above = [
                    f"{label} (R {table.line(name, label)}, bound {bound:.1f})"
                    for label, bound in zip(table.labels, self.bound, strict=True)
                    if table.line(name, label).low > bound
                ]
                if table.mean(name).low > self.bound.mean():
                    above.append(f"all lines (mean R {table.mean(name)}, bound {self.bound.mean():.1f})")
                if above and not self.bound_holds(metric):
                    clipped.append(f"{name} at {', '.join(above)}")
                elif above:
                    out.append(
                        f"{name} is above the bound of an unbiased estimator at {', '.join(above)} by "
                        f"{METRICS[metric].title}: a prior, a bias, or a peaked distribution."
                    )
        if clipped:
            out.append(
                f"E / (2.355 rms) is above the bound: {'; '.join(clipped)}. The bound does not hold for it here: "
                f"{self.clip_said()}."
            )
        return out

    def clip_said(self) -> str:
        """Why the bound does not hold for R by the rms error."""
        return (
            f"the judged pulses are clipped at {self.provenance['peak_sigma']:g} sigma of their heights, which cuts "
            "tails; --peak-sigma 0 judges all"
        )

    def to_dict(self) -> dict:
        """JSON form; `read_report` reads it back."""
        kde = self.tables["kde"]
        out = {
            "format": FORMAT,
            "provenance": self.provenance,
            "metrics": {m: METRICS[m].title for m in self.tables},
            "tables": {m: t.to_dict() for m, t in self.tables.items()},
            "differences": [
                {"of": a, "from": b}
                | {m: {"absolute": t.difference(a, b).to_dict(), "relative": t.relative_difference(a, b).to_dict(),
                       "absolute_inner": t.difference(a, b, inner=True).to_dict()}
                   for m, t in self.tables.items()}
                for a, b in self.pairs()
            ],
            "integers": self.integers,
            "calibration_slopes": {name: list(both) for name, both in self.slopes.items()},
            "snapping": self.snapping(),
            "warnings": self.warnings(),
            "interval_widening": {m: METRICS[m].widening for m in self.tables},
            "stored_filter_R": self.stored_R,
        }
        if self.bound is not None:
            out["bound"] = {"lines": dict(zip(kde.labels, map(float, self.bound), strict=True)),
                            "mean": float(self.bound.mean()), "mean_inner": float(self.bound[kde.inner()].mean()),
                            "holds_for": [m for m in self.tables if self.bound_holds(m)]}
            if not self.bound_holds("gaussian"):
                out["bound"]["gaussian"] = self.clip_said()
        if self.between is not None:
            out["between"] = {"tables": {m: t.to_dict() for m, t in self.between.items()}}
            if self.between_bound is not None:
                out["between"]["bound"] = [float(b) for b in self.between_bound]
        return out


def squeezed(name: str, low: float, high: float) -> str:
    """The warning about a network whose own energies are far from energies."""
    return (
        f"{name}: its calibration has slopes from {low:.2f} to {high:.2f} at the lines, where a network that knows "
        "energies has 1. R is not to be trusted: what a flat calibration squeezes looks narrow. Train longer."
    )


def read_report(path: str | os.PathLike) -> dict:
    """report.json of a judgement (or the folder that holds it). Raises EvaluationError for anything else."""
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: {error}; expected report.json of python -m venom_hw.evaluation") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        found = stored.get("format") if isinstance(stored, dict) else stored
        raise EvaluationError(f"{path}: format {found!r}; expected {FORMAT!r}")
    return stored
