"""The picture of a run: resolving power by line, spectra, bias, loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from venom_hw.atomic import atomic_file

from .evaluate import Evaluation
from .report_pages import estimator_colours


def plot_report(path: Path, result: Evaluation, history: list[dict], title: str) -> None:
    """Write a PNG of four panels, atomically."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    (power, spectrum), (bias, loss) = figure.subplots(2, 2)
    figure.suptitle(title, wrap=True)
    table, colours = result.tables["kde"], estimator_colours(result)
    for name, colour in colours.items():
        intervals = [table.line(name, label) for label in table.labels]
        value = np.array([i.value for i in intervals])
        error = np.abs(np.array([[i.low, i.high] for i in intervals]).T - value)
        power.errorbar(
            table.energies,
            value,
            error,
            fmt="o-",
            capsize=3,
            color=colour,
            label=f"{name}: mean R {table.mean(name)}",
        )
        rows = [r for r in result.between if r["estimator"] == name]
        power.plot([r["energy_eV"] for r in rows], [r["R"] for r in rows], "x", color=colour)
        bias.plot(table.energies, 1e3 * table.bias[name], "o", color=colour, label=f"{name}, lines")
        bias.plot(
            [r["energy_eV"] for r in rows],
            [1e3 * r["bias_eV"] for r in rows],
            "x",
            color=colour,
            label=f"{name}, energies not trained on",
        )
    low, high = 0.85 * result.energies.min(), 1.1 * result.energies.max()
    bins = np.linspace(low, high, 200)
    for name, colour in colours.items():
        spectrum.hist(result.estimates[name], bins, histtype="step", color=colour, label=name)
    for energy in np.unique(result.energies):
        spectrum.axvline(energy, color="0.8", zorder=0)
    epochs = [h["epoch"] for h in history]
    loss.plot(epochs, [h["train_loss"] for h in history], color="0.5", label="training")
    loss.plot(epochs, [h["val_loss"] for h in history], color="#0b6e99", label="held out (averaged weights)")
    for axes, x, y in (
        (power, "photon energy [eV]", "R (crosses: energies not trained on)"),
        (spectrum, "estimated energy [eV]", "held-out pulses"),
        (bias, "photon energy [eV]", "bias of the median [meV]"),
        (loss, "epoch", "loss"),
    ):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(fontsize=8)
    bias.axhline(0, color="0.8", zorder=0)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=130)
