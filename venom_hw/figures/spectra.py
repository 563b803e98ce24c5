"""Spectra: what each estimator makes of photons of one energy, line by line."""

from __future__ import annotations

import numpy as np

from venom_hw.evaluation import EstimatorReport
from venom_hw.evaluation.estimators import FLOAT

from .style import COLUMN, PAGE, colours, estimator_colours, shown_estimators, styled_figure

BINS_A_LINE = 45
SPAN = 3.0  # half-width of a line's panel in units of the widest estimator's full width


def line_spectra(report: EstimatorReport):
    """A panel a line: histogram of every estimator, its R, and the true energy."""
    table, names = report.tables["kde"], shown_estimators(report)
    colour = estimator_colours(names)
    count = len(table.labels)
    columns = min(count, 5)
    rows = -(-count // columns)
    with styled_figure(PAGE, 1.5 * rows + 0.6) as figure:
        panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes in panels[count:]:
            axes.remove()
        for axes, label, energy in zip(panels, table.labels, table.energies, strict=False):
            values = {name: report.estimates[name][report.energies == energy] for name in names}
            k = table.labels.index(label)
            powers = [table.value[name][k] for name in names if table.value[name][k] > 0]
            width = energy / min(powers, default=10.0)
            bins = np.linspace(energy - SPAN * width / 2, energy + SPAN * width / 2, BINS_A_LINE)
            for row, name in enumerate(names):
                axes.hist(values[name], bins, histtype="step", color=colour[name], lw=0.9)
                axes.text(0.04, 0.93 - 0.13 * row, f"R {table.value[name][k]:.1f}", transform=axes.transAxes, va="top",
                          color=colour[name], fontsize=6.5)  # fmt: skip
            axes.axvline(energy, color="0.6", lw=0.6, zorder=0)
            axes.set_title(label.replace("nm", " nm"))
            axes.set_yticks([])
            axes.set_ylim(top=1.25 * axes.get_ylim()[1])
        handles = [panels[0].plot([], color=colour[name], label=name)[0] for name in names]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 3))
        figure.supxlabel("estimated energy [eV]", fontsize=8)
        return figure


def full_spectrum(report: EstimatorReport, name: str = FLOAT):
    """All lines of one estimator in one axis, as a spectrometer would show a lamp."""
    table = report.tables["kde"]
    with styled_figure(COLUMN, 2.2) as figure:
        axes = figure.subplots()
        energies = table.energies
        low, high = 0.9 * energies.min(), 1.1 * energies.max()
        smallest = min(np.diff(np.sort(energies)).min() / 12, energies.min() / 150) if len(energies) > 1 else 0.01
        bins = np.linspace(low, high, int(np.clip((high - low) / smallest, 60, 800)))
        shade = colours(len(energies))
        for k, (energy, label) in enumerate(zip(energies, table.labels, strict=True)):
            axes.hist(report.estimates[name][report.energies == energy], bins, color=shade[k], alpha=0.75, label=label)
            axes.axvline(energy, color="0.4", lw=0.4, zorder=0)
        step = 1e3 * (bins[1] - bins[0])
        axes.set(xlabel="estimated energy [eV]", ylabel=f"pulses / {step:.2g} meV", xlim=(low, high))
        axes.set_title(name)
        axes.legend(ncols=1 if len(energies) < 6 else 2)
        return figure
