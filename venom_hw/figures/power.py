"""Resolving power against wavelength, with intervals, the bound, and energies between the lines."""

from __future__ import annotations

import numpy as np

from venom_hw.detector.wavelength import wavelength_of
from venom_hw.evaluation import EstimatorReport
from venom_hw.evaluation.estimators import BOUND

from .style import COLUMN, estimator_colours, shown_estimators, styled_figure


def power_by_wavelength(report: EstimatorReport):
    """R = E / FWHM of each line (filled, 95 % bootstrap), at energies between the lines (open), and the bound."""
    table, names = report.tables["kde"], shown_estimators(report)
    colour = estimator_colours(names)
    wavelength = np.array([wavelength_of(e) for e in table.energies])
    order = np.argsort(wavelength)
    with styled_figure(COLUMN, 2.9) as figure:
        axes = figure.subplots()
        for shift, name in zip(np.linspace(-0.004, 0.004, len(names)), names, strict=True):
            intervals = [table.line(name, label) for label in table.labels]
            value = np.array([i.value for i in intervals])
            error = np.abs(np.array([[i.low, i.high] for i in intervals]).T - value)
            x = wavelength * (1 + shift)
            axes.errorbar(x[order], value[order], error[:, order], fmt="o-", capsize=1.5, elinewidth=0.7, lw=0.7,
                          color=colour[name], label=f"{name}: {table.mean(name)}")  # fmt: skip
            if report.between is not None and name in report.between["kde"].value:
                other = report.between["kde"]
                x = [wavelength_of(e) for e in other.energies]
                axes.plot(x, other.value[name], "s", mfc="none", ms=3, color=colour[name])
        if report.bound is not None:
            points = sorted(zip(wavelength, report.bound, strict=True))
            if report.between_bound is not None:
                x = [wavelength_of(e) for e in report.between["kde"].energies]
                points = sorted([*points, *zip(x, report.between_bound, strict=True)])
            axes.plot(*np.transpose(points), "k--", lw=0.8, label=BOUND)
        axes.set(xlabel="wavelength [nm]", ylabel="resolving power E / FWHM", ylim=(0, None))
        axes.set_ylim(top=1.05 * axes.get_ylim()[1])
        figure.legend(loc="outside lower center", ncols=1)
        if report.between is not None:
            untrained = report.provenance.get("between_untrained")
            other = "energies not trained on" if untrained else "energies between the lines"
            axes.set_title(f"filled: lines, held-out pulses; open: {other}", fontsize=6.5)
        return figure
