"""VENOM against the shared-template optimal filter on the same held-out pulses, both calibrated to energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.filter_baseline import fit_filter_baseline
from venom_hw.detector.resolving_power import compute_resolving_power
from venom_hw.detector.resolving_power_table import ResolvingPowerTable, resolving_power_table
from venom_hw.model import VenomCheckpoint

from .data import TrainingData

VENOM, FILTER = "VENOM", "optimal filter, shared template"
CALIBRATION_PULSES = 2000  # of each line
SNAPPING = 1.6  # ratio of R on lines to R between them above which the report warns


@dataclass(frozen=True)
class Evaluation:
    """tables {"kde", "gaussian"}; estimates {name: (N,) eV} of the held-out pulses; energies, wl_ids of those;
    between: rows {energy_eV, estimator, R, bias_eV, pulses} at energies that no training pulse has."""

    tables: dict[str, ResolvingPowerTable]
    estimates: dict[str, np.ndarray]
    energies: np.ndarray
    wl_ids: np.ndarray
    between: list[dict]
    mean_nll: float

    def to_dict(self) -> dict:
        """For report.json and the checkpoint."""
        out = {metric: table.to_dict() for metric, table in self.tables.items()}
        out["difference"] = {m: t.difference(VENOM, FILTER).to_dict() for m, t in self.tables.items()}
        return out | {"between_lines": self.between, "snapping": snapping(self), "mean_nll_eV": self.mean_nll}

    def summary(self) -> dict:
        """A few numbers for the checkpoint's header."""
        table = self.tables["kde"]
        return {
            "R_venom": table.mean(VENOM).to_dict(),
            "R_optimal_filter": table.mean(FILTER).to_dict(),
            "R_difference": table.difference(VENOM, FILTER).to_dict(),
            "validation_nll_eV": self.mean_nll,
        }


def _first_of_each_line(index: np.ndarray, wl_ids: np.ndarray) -> np.ndarray:
    lines = wl_ids[index]
    return np.concatenate([index[lines == k][:CALIBRATION_PULSES] for k in np.unique(lines)])


def evaluate(checkpoint: VenomCheckpoint, data: TrainingData, n_boot: int = 200) -> Evaluation:
    """Both calibrations (spline through zero and each line's median) come from training pulses only."""
    lines = data.lines
    baseline = fit_filter_baseline(lines, data.train_idx)
    some = _first_of_each_line(data.train_idx, lines.wl_ids)
    calibration = EnergyCalibration.fit(
        checkpoint.predict(lines.counts[some], lengths=lines.lengths[some])[0], lines.energies[some]
    )
    held = lines.select(data.val_idx)
    mu, logvar = checkpoint.predict(held.counts, lengths=held.lengths)
    nll = float(np.mean(0.5 * (logvar + (mu - held.energies) ** 2 * np.exp(-logvar))))
    estimates = {VENOM: calibration(mu), FILTER: baseline.predict(held.counts)}
    tables = {
        m: resolving_power_table(
            estimates, held.energies, held.wl_ids, held.wl_labels, metric=m, n_boot=n_boot
        )
        for m in ("kde", "gaussian")
    }
    between = []
    if data.test is not None:
        found = {
            VENOM: calibration(checkpoint.predict(data.test.counts, lengths=data.test.lengths)[0]),
            FILTER: baseline.predict(data.test.counts),
        }
        for energy in np.unique(data.test.energies):
            rows = data.test.energies == energy
            for name, values in found.items():
                between.append(
                    {
                        "energy_eV": float(energy),
                        "estimator": name,
                        "pulses": int(rows.sum()),
                        "R": compute_resolving_power(values[rows], float(energy)),
                        "bias_eV": float(np.median(values[rows]) - energy),
                    }
                )
    return Evaluation(tables, estimates, held.energies, held.wl_ids, between, nll)


def snapping(result: Evaluation) -> float | None:
    """How much larger the network's R is at the lines than at the energies between them: the largest ratio of a
    line's R to the R interpolated there (1 without snapping; nan-safe). None without a test between the lines.
    """
    rows = [(r["energy_eV"], r["R"]) for r in result.between if r["estimator"] == VENOM and np.isfinite(r["R"])]
    if len(rows) < 2:
        return None
    energy, power = np.array(sorted(rows)).T
    table = result.tables["kde"]
    return float(np.nanmax(table.value[VENOM] / np.interp(table.energies, energy, power)))


def text_report(result: Evaluation) -> str:
    """The tables as text."""
    table = result.tables["kde"]
    parts = [
        "Resolving power R = E / FWHM (kernel density), held-out pulses, energy calibrated, 95 % bootstrap intervals:",
        str(table),
        f"difference of the mean (paired): {table.difference(VENOM, FILTER)}",
        f"mean R = E / (2.355 rms): VENOM {result.tables['gaussian'].mean(VENOM)}, "
        f"optimal filter {result.tables['gaussian'].mean(FILTER)}",
    ]
    if result.between:
        parts.append("At energies between those trained on (R, and bias of the median in meV):")
        for row in result.between:
            parts.append(
                f"  {row['energy_eV']:.4f} eV  {row['estimator']:<34} R {row['R']:6.2f}  "
                f"bias {1e3 * row['bias_eV']:+7.2f} meV  ({row['pulses']} pulses)"
            )
    ratio = snapping(result)
    if ratio is not None and ratio > SNAPPING:
        parts.append(
            f"WARNING: R at a line is {ratio:.1f} times that between the lines: the network snaps to the lines, so "
            "this R is not a resolving power; train on more energies (between) and fewer pulses a line (line_pulses)"
        )
    return "\n".join(parts)
