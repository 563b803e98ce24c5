"""Estimate against truth, and what is left over."""

from __future__ import annotations

import numpy as np

from .estimates import Estimates
from .style import PAGE, estimator_colours, styled_figure


def parity_and_residuals(found: Estimates):
    """Above: estimated against true energy (medians, central 95 % of the pulses). Below: residuals in meV by line, the
    box holding the central 50 %, whiskers 95 %, with the bias of the median as dots."""
    colour = estimator_colours(found.names)
    energies = found.table.energies
    order = np.argsort(energies)
    with styled_figure(PAGE, 4.2) as figure:
        grid = figure.subplots(2, len(found.names), sharex="col", sharey="row", squeeze=False,
                               gridspec_kw={"height_ratios": [1.5, 1]})  # fmt: skip
        for (upper, lower), name in zip(grid.T, found.names, strict=True):
            groups = [found.values[name][found.energies == e] for e in energies[order]]
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


def residual_histogram(found: Estimates):
    """Residuals of all lines in units of each line's central width, against the normal curve: tails show here."""
    colour = estimator_colours(found.names)
    grid = np.linspace(-6, 6, 97)
    with styled_figure(3.4, 2.4) as figure:
        axes = figure.subplots()
        for name in found.names:
            scaled = []
            for energy in found.table.energies:
                group = found.values[name][found.energies == energy]
                low, middle, high = np.nanpercentile(group, [15.87, 50, 84.13])
                scaled.append((group - middle) / max((high - low) / 2, 1e-12))
            axes.hist(np.clip(np.concatenate(scaled), -6, 6), grid, histtype="step", density=True, color=colour[name],
                      label=name)  # fmt: skip
        axes.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color="0.5", lw=0.7, label="normal")
        axes.set(yscale="log", ylim=(1e-4, 1), xlabel="(estimate - median) / sigma of the line", ylabel="density")
        axes.legend(loc="lower center")
        return figure
