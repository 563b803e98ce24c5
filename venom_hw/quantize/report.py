"""Report of a quantisation: a text table, a JSON file and one page of plots."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from venom_hw.atomic import write_atomically
from venom_hw.detector.resolving_power_table import ResolvingPowerTable

from .evaluate import FLOAT, QUANTISED


def write_json(path: Path, report: dict[str, Any]) -> Path:
    return write_atomically(path, (json.dumps(report, indent=1, sort_keys=True) + "\n").encode())


def text_table(report: dict[str, Any]) -> str:
    """What a person wants to see at the end of the command."""
    power = report["resolving_power"]["kde"]
    rows = [f"{'line':>10s} {'R float':>9s} {'R quantised':>12s} {'95 % interval':>17s} {'fidelity %':>11s}"]
    for label in power["labels"]:
        own = power["estimators"][QUANTISED]["lines"][label]
        rows.append(
            f"{label:>10s} {power['estimators'][FLOAT]['lines'][label]['value']:9.2f} {own['value']:12.2f} "
            f"{own['low']:8.2f} {own['high']:8.2f} {report['fidelity']['per_line'][label]:11.2f}"
        )
    means = [power["estimators"][name]["mean"] for name in (FLOAT, QUANTISED)]
    rows.append(
        f"{'mean':>10s} {means[0]['value']:9.2f} {means[1]['value']:12.2f} {means[1]['low']:8.2f} "
        f"{means[1]['high']:8.2f} {report['fidelity']['per_cent']:11.2f}"
    )
    change = report["change_of_resolving_power"]
    rows.append(
        "change of mean R: "
        + "; ".join(
            f"{metric} {100 * c['value']:+.2f} % [{100 * c['low']:+.2f}, {100 * c['high']:+.2f}]"
            for metric, c in change.items()
        )
    )
    check = report["verification"]
    rows.append(
        f"files against network: {check['mismatches']} of {check['compared']:,} integers differ "
        f"on {check['windows']} windows"
    )
    saturated = sum(v["saturated"] for v in check["saturations"].values())
    worst = sorted(check["saturations"].items(), key=lambda kv: -kv[1]["saturated"] / kv[1]["values"])[:4]
    rows.append(
        f"saturated integers: {saturated:,}"
        + "".join(f"; {name} {100 * v['saturated'] / v['values']:.2g} %" for name, v in worst)
    )
    return "\n".join(rows)


def plot(
    path: Path,
    title: str,
    table: ResolvingPowerTable,
    difference: np.ndarray,
    sigma: np.ndarray,
    losses: list[float],
) -> Path:
    """R of each line (with intervals), histogram of (quantised - float) / sigma, training loss.  PNG below
    150 kB.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "venom"
    figure = Figure(figsize=(11, 3.6), dpi=90, layout="constrained")
    power, spread, training = figure.subplots(1, 3)
    places = np.arange(len(table.labels))
    for shift, name, colour in ((-0.12, FLOAT, "tab:grey"), (0.12, QUANTISED, "tab:blue")):
        intervals = [table.line(name, label) for label in table.labels]
        value = np.array([i.value for i in intervals])
        errors = np.array([[i.value - i.low, i.high - i.value] for i in intervals]).T
        power.errorbar(
            places + shift,
            value,
            errors,
            fmt="o",
            ms=4,
            capsize=2,
            color=colour,
            label=f"{name}: mean {value.mean():.2f}",
        )
    power.set_xticks(places, table.labels, rotation=60, fontsize=7)
    power.set(ylabel="R = E / FWHM (95 % bootstrap)", title=title)
    power.legend(fontsize=8)
    scaled = 100 * difference / sigma
    limit = max(1.0, float(np.percentile(np.abs(scaled), 99.5)))
    spread.hist(np.clip(scaled, -limit, limit), bins=80, color="tab:blue")
    spread.set(
        xlabel="(quantised - float) / sigma, per cent",
        ylabel="held-out pulses",
        title=f"fidelity: rms {np.sqrt(np.mean(scaled**2)):.2f} % of sigma",
    )
    if losses:
        training.semilogy(losses, lw=0.7, color="tab:blue")
    training.set(xlabel="step", ylabel="loss", title="fine-tuning")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return write_atomically(path, buffer.getvalue())
