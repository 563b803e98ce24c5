"""VENOM against the shared-template optimal filter on the same held-out pulses, both calibrated to energy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.filter_baseline import FilterBaseline, fit_filter_baseline
from venom_hw.detector.resolving_power import compute_resolving_power
from venom_hw.detector.resolving_power_table import ResolvingPowerTable, resolving_power_table
from venom_hw.model import VenomCheckpoint

from .data import TrainingData, first_of_each_line

VENOM, FILTER = "VENOM", "optimal filter, shared template"
CALIBRATION_PULSES = 2000  # of each line
SNAPPING = 1.6  # ratio of R on lines to R between them above which the report warns


@dataclass(frozen=True)
class Evaluation:
    """tables {"kde", "gaussian"}; estimates {name: (N,) eV} of the held-out pulses; energies, wl_ids of those;
    between: rows {energy_eV, estimator, R, bias_eV, pulses} at energies that no training pulse has; left_out {name:
    why} of estimators that these pulses do not allow; stored_R {line: R} of an optimal filter as the data folder's
    metadata.json has it (opt_filt_R), computed by others on pulses of their choice."""

    tables: dict[str, ResolvingPowerTable]
    estimates: dict[str, np.ndarray]
    energies: np.ndarray
    wl_ids: np.ndarray
    between: list[dict]
    mean_nll: float
    left_out: dict[str, str] = field(default_factory=dict)
    stored_R: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """For report.json and the checkpoint."""
        out = {metric: table.to_dict() for metric, table in self.tables.items()}
        compared = {m: t for m, t in self.tables.items() if FILTER in t.value}
        return out | {
            "difference": {m: t.difference(VENOM, FILTER).to_dict() for m, t in compared.items()},
            "left_out": self.left_out,
            "stored_opt_filt_R": self.stored_R or None,
            "between_lines": self.between,
            "snapping": snapping(self),
            "mean_nll_eV": self.mean_nll,
        }

    def summary(self) -> dict:
        """A few numbers for the checkpoint's header."""
        table = self.tables["kde"]
        numbers = {"R_venom": table.mean(VENOM).to_dict(), "validation_nll_eV": self.mean_nll}
        if FILTER in table.value:
            numbers["R_optimal_filter"] = table.mean(FILTER).to_dict()
            numbers["R_difference"] = table.difference(VENOM, FILTER).to_dict()
        return numbers


def _baseline(data: TrainingData) -> tuple[FilterBaseline | None, dict[str, str]]:
    """The filter, or None with {FILTER: why}: pulses that a network can learn from may not do for a filter (postage
    stamps have no noise windows).
    """
    try:
        return fit_filter_baseline(data.lines, data.train_idx), {}
    except ValueError as error:
        return None, {FILTER: str(error)}


def evaluate(checkpoint: VenomCheckpoint, data: TrainingData, n_boot: int = 200) -> Evaluation:
    """Both calibrations (spline through zero and each line's median) come from training pulses only.

    Where the pulses do not allow the filter it is left out. Raises ValueError for a network that cannot be calibrated.
    """
    lines = data.lines
    baseline, left_out = _baseline(data)
    some = first_of_each_line(data.train_idx, lines.wl_ids, CALIBRATION_PULSES)
    calibration = EnergyCalibration.fit(
        checkpoint.predict(lines.counts[some], lengths=lines.lengths[some])[0], lines.energies[some]
    )
    held = lines.select(data.val_idx)
    mu, logvar = checkpoint.predict(held.counts, lengths=held.lengths)
    nll = float(np.mean(0.5 * (logvar + (mu - held.energies) ** 2 * np.exp(-logvar))))
    estimates = {VENOM: calibration(mu)}
    if baseline is not None:
        estimates[FILTER] = baseline.predict(held.counts)
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
        }
        if baseline is not None:
            found[FILTER] = baseline.predict(data.test.counts)
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
    return Evaluation(
        tables, estimates, held.energies, held.wl_ids, between, nll, left_out, dict(lines.opt_R or {})
    )


def largest_ratio(line_energies, line_power, energies, power) -> float | None:
    """How much larger R (`line_power`) is at the lines than R (`power`) at other energies, interpolated there: the
    largest ratio of all lines, 1 without snapping. None for fewer than two finite values to interpolate between.
    """
    energies, power = np.asarray(energies, float), np.asarray(power, float)
    order = np.argsort(energies)
    order = order[np.isfinite(power[order])]
    if len(order) < 2:
        return None
    return float(np.nanmax(np.asarray(line_power) / np.interp(line_energies, energies[order], power[order])))


def snapping(result: Evaluation) -> float | None:
    """`largest_ratio` of the network at the lines to it between them; None without a test between the lines."""
    rows = [(r["energy_eV"], r["R"]) for r in result.between if r["estimator"] == VENOM]
    table = result.tables["kde"]
    return largest_ratio(table.energies, table.value[VENOM], [e for e, _ in rows], [r for _, r in rows])


def _stored_lines(result: Evaluation) -> list[str]:
    """The folder's own R of an optimal filter, beside that of the filter fitted here."""
    if not result.stored_R:
        return []
    table = result.tables["kde"]
    rows = ["R of an optimal filter as stored in the folder's metadata.json (opt_filt_R), and recomputed here:"]
    for label, value in result.stored_R.items():
        known = FILTER in table.value and label in table.labels
        rows.append(
            f"  {label:<10} stored {value:6.2f}   recomputed {table.line(FILTER, label) if known else 'left out'}"
        )
    return rows


def text_report(result: Evaluation) -> str:
    """The tables as text."""
    table = result.tables["kde"]
    parts = [
        "Resolving power R = E / FWHM (kernel density), held-out pulses, energy calibrated, 95 % bootstrap intervals:",
        str(table),
    ]
    by_rms = f"mean R = E / (2.355 rms): VENOM {result.tables['gaussian'].mean(VENOM)}"
    if FILTER in table.value:
        parts.append(f"difference of the mean (paired): {table.difference(VENOM, FILTER)}")
        by_rms += f", optimal filter {result.tables['gaussian'].mean(FILTER)}"
    parts.append(by_rms)
    parts += [f"left out: {name} ({why})" for name, why in result.left_out.items()]
    parts += _stored_lines(result)
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
