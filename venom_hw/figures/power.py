"""Resolving power against wavelength, with intervals, the bound, and energies between the lines."""

from __future__ import annotations

import numpy as np

from venom_hw.detector.wavelength import wavelength_of

from .estimates import Estimates
from .style import COLUMN, estimator_colours, styled_figure


def power_by_wavelength(found: Estimates):
    """R = E / FWHM of each line (filled, 95 % bootstrap), at energies not trained on (open), and the bound."""
    table, colour = found.table, estimator_colours(found.names)
    wavelength = np.array([wavelength_of(e) for e in table.energies])
    order = np.argsort(wavelength)
    with styled_figure(COLUMN, 2.9) as figure:
        axes = figure.subplots()
        for shift, name in zip(np.linspace(-0.004, 0.004, len(found.names)), found.names, strict=True):
            intervals = [table.line(name, label) for label in table.labels]
            value = np.array([i.value for i in intervals])
            error = np.abs(np.array([[i.low, i.high] for i in intervals]).T - value)
            x = wavelength * (1 + shift)
            axes.errorbar(x[order], value[order], error[:, order], fmt="o-", capsize=1.5, elinewidth=0.7, lw=0.7,
                          color=colour[name], label=f"{name}: {table.mean(name)}")  # fmt: skip
            rows = sorted((wavelength_of(r["energy_eV"]), r["R"]) for r in found.between if r["estimator"] == name)
            if rows:
                axes.plot(*np.transpose(rows), "s", mfc="none", ms=3, color=colour[name])
        if found.bound is not None:
            axes.plot(wavelength[order], found.bound[order], "k--", lw=0.8, label="Cramer-Rao bound of the detector")
        axes.set(xlabel="wavelength [nm]", ylabel="resolving power E / FWHM", ylim=(0, None))
        axes.set_ylim(top=1.05 * axes.get_ylim()[1])
        figure.legend(loc="outside lower center", ncols=1)
        if found.between:
            axes.set_title("filled: lines, held-out pulses; open: energies not trained on", fontsize=6.5)
        return figure
