"""A judgement as one picture: R by line against the bound, bias, spectra, and what lies between the lines."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from venom_hw.atomic import write_atomically

from .estimators import BOUND, FILTERS, FLOAT, GOLDEN, QUANTISED
from .report import EstimatorReport

STYLE = {
    FILTERS["shared"]: ("#c1440e", "s"),
    FILTERS["per_wavelength"]: ("#e39b3b", "D"),
    FILTERS["iq"]: ("#8a5a9e", "^"),
    FLOAT: ("#0b6e99", "o"),
    QUANTISED: ("#3aa17e", "v"),
    GOLDEN: ("#222222", "x"),
}


def plot_report(path: Path, report: EstimatorReport, title: str = "") -> Path:
    """Write a PNG atomically."""
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    if title:
        figure.suptitle(title)
    (power, bias), (spectra, between) = figure.subplots(2, 2)
    kde = report.tables["kde"]
    _powers(power, kde, report.bound, report.names)
    power.set(xlabel="photon energy [eV]", ylabel="R = E / FWHM", title="held-out pulses of the lines")
    power.legend(fontsize=7)
    shift = _shifts(kde.energies, len(report.names))
    for name, dx in zip(report.names, shift, strict=True):
        intervals = [kde.bias_of_line(name, label) for label in kde.labels]
        colour, marker = STYLE.get(name, ("0.5", "."))
        bias.errorbar(kde.energies + dx, *_bars(intervals, 1e3), fmt=marker, ms=4, capsize=2, color=colour)
    bias.axhline(0, color="0.8", zorder=0)
    bias.set(xlabel="photon energy [eV]", ylabel="bias of the median [meV]", title="bias at the lines")
    low, high = report.energies.min(), report.energies.max()
    bins = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 240)
    for name in report.names:
        if name in (QUANTISED, GOLDEN):  # they would hide the float network's
            continue
        colour = STYLE.get(name, ("0.5", "."))[0]
        spectra.hist(report.estimates[name], bins, histtype="step", lw=1, color=colour, label=name)
    for energy in np.unique(report.energies):
        spectra.axvline(energy, color="0.85", zorder=0)
    spectra.set(xlabel="estimated energy [eV]", ylabel="pulses", title="spectra of the held-out pulses")
    spectra.legend(fontsize=7)
    if report.between is None:
        between.set_axis_off()
        between.text(0.5, 0.5, "no pulses between the lines", ha="center", transform=between.transAxes)
    else:
        off = report.between["kde"]
        _powers(between, off, report.between_bound, list(off.value))
        between.plot(kde.energies, kde.value[FLOAT], "o", mfc="none", color=STYLE[FLOAT][0], label=f"{FLOAT}, lines")
        between.set(xlabel="photon energy [eV]", ylabel="R = E / FWHM", title="between the lines (open: at the lines)")
        between.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return write_atomically(path, buffer.getvalue())


def _shifts(energies, count: int) -> np.ndarray:
    """Small offsets so that error bars at one energy do not hide each other."""
    return (np.arange(count) - (count - 1) / 2) * 0.004 * np.ptp(energies)


def _bars(intervals, scale: float = 1.0):
    value = scale * np.array([i.value for i in intervals])
    error = np.abs(scale * np.array([[i.low, i.high] for i in intervals]).T - value)
    return value, error


def _powers(axes, table, bound, names) -> None:
    for name, dx in zip(names, _shifts(table.energies, len(names)), strict=True):
        colour, marker = STYLE.get(name, ("0.5", "."))
        value, error = _bars([table.line(name, label) for label in table.labels])
        order = np.argsort(table.energies)
        axes.errorbar(table.energies[order] + dx, value[order], error[:, order], fmt=marker + "-", lw=0.8, ms=4,
                      capsize=2, color=colour, label=f"{name}: mean {table.mean(name)}")
    if bound is not None:
        order = np.argsort(table.energies)
        axes.plot(table.energies[order], bound[order], "k--", lw=1, label=f"{BOUND}: mean {bound.mean():.2f}")
    axes.set_ylim(bottom=0)
