"""Estimate against truth, and what is left over."""

from __future__ import annotations

import numpy as np

from venom_hw.evaluation import EstimatorReport

from .style import COLUMN, PAGE, estimator_colours, shown_estimators, styled_figure


def parity_and_residuals(report: EstimatorReport):
    """Above: estimated against true energy (medians, central 95 % of the pulses). Below: residuals in meV by line, the
    box holding the central 50 %, whiskers 95 %, with the bias of the median as dots."""
    names = shown_estimators(report)
    colour, energies = estimator_colours(names), report.tables["kde"].energies
    order = np.argsort(energies)
    with styled_figure(PAGE, 4.2) as figure:
        grid = figure.subplots(2, len(names), sharex="col", sharey="row", squeeze=False,
                               gridspec_kw={"height_ratios": [1.5, 1]})  # fmt: skip
        for (upper, lower), name in zip(grid.T, names, strict=True):
            groups = [report.estimates[name][report.energies == e] for e in energies[order]]
            cut = np.array([np.nanpercentile(g, [2.5, 25, 50, 75, 97.5]) for g in groups]).T
            x = energies[order]
            upper.plot(x, x, color="0.6", lw=0.7, zorder=0)
            upper.errorbar(x, cut[2], [cut[2] - cut[0], cut[4] - cut[2]], fmt="o", color=colour[name], capsize=1.5)
            upper.set_title(name, fontsize=7)
            left = 1e3 * (cut - x)
            lower.axhline(0, color="0.6", lw=0.7, zorder=0)
            lower.vlines(x, left[0], left[4], color=colour[name], lw=0.7)
            lower.vlines(x, left[1], left[3], color=colour[name], lw=3, alpha=0.5)
            lower.plot(x, left[2], "o", color=colour[name], ms=2.5)
            lower.set_xlabel("true energy [eV]")
        grid[0, 0].set_ylabel("estimated energy [eV]")
        grid[1, 0].set_ylabel("estimate - truth [meV]")
        return figure


def residual_histogram(report: EstimatorReport):
    """Residuals of all lines in units of each line's central width, against the normal curve: tails show here."""
    names = shown_estimators(report)
    colour, energies = estimator_colours(names), report.tables["kde"].energies
    grid = np.linspace(-6, 6, 97)
    with styled_figure(COLUMN, 2.4) as figure:
        axes = figure.subplots()
        for name in names:
            scaled = []
            for energy in energies:
                group = report.estimates[name][report.energies == energy]
                low, middle, high = np.nanpercentile(group, [15.87, 50, 84.13])
                scaled.append((group - middle) / max((high - low) / 2, 1e-12))
            axes.hist(np.clip(np.concatenate(scaled), -6, 6), grid, histtype="step", density=True, color=colour[name],
                      label=name)  # fmt: skip
        axes.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color="0.5", lw=0.7, label="normal")
        axes.set(yscale="log", ylim=(1e-4, 1), xlabel="(estimate - median) / sigma of the line", ylabel="density")
        axes.legend(loc="lower center")
        return figure
