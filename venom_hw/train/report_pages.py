"""The pages of a training report, each a figure made from plain arrays; no state of pyplot."""

from __future__ import annotations

import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from venom_hw.model import VenomCheckpoint

from .evaluate import VENOM, Evaluation, text_report
from .inspection import Inspection

SIZE = (11.0, 8.0)  # inches
COLOURS = ("#0b6e99", "#c1440e", "#5b8c3e", "#7a5195", "#b8860b", "#444444")
CHANNELS_A_PAGE = 16
LINES_OF_TEXT = 62


def estimator_colours(result: Evaluation) -> dict[str, str]:
    """A colour for each estimator of an evaluation, the network's always the first."""
    names = sorted(result.estimates, key=lambda n: n != VENOM)
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}


def line_colours(count: int) -> np.ndarray:
    """Colours (count, 4) from short wavelengths to long ones."""
    return matplotlib.colormaps["turbo"](np.linspace(0.1, 0.9, count))


def _grid(count: int) -> tuple[int, int]:
    columns = int(np.ceil(np.sqrt(count)))
    return int(np.ceil(count / columns)), columns


def _panels(count: int, title: str, **options) -> tuple[Figure, list]:
    """A figure with at least `count` axes; those left over are taken away."""
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.suptitle(title)
    axes = list(np.atleast_1d(figure.subplots(*_grid(count), squeeze=False, **options)).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def summary_page(result: Evaluation, checkpoint: VenomCheckpoint) -> Figure:
    """What was trained on what, by which command and settings, and the table of resolving powers."""
    training = checkpoint.training
    settings = ", ".join(f"{k} = {v}" for k, v in training.get("settings", {}).items())
    versions = ", ".join(f"{k} {v}" for k, v in training.get("versions", {}).items())
    data = ", ".join(f"{k} {v}" for k, v in checkpoint.data.items())
    parts = [
        f"command: {training.get('command', '')}",
        f"epochs: {training.get('epochs', '?')}, steps: {training.get('steps', '?')}, "
        f"parameters: {checkpoint.model.parameter_count()}, device: {training.get('device', 'cpu')}",
        f"data: {data}",
        f"settings: {settings}",
        f"versions: {versions}",
        "",
        text_report(result),
    ]
    lines = [
        wrapped
        for part in parts
        for line in part.split("\n")
        for wrapped in textwrap.wrap(line, 126, subsequent_indent="    ") or [""]
    ]
    if len(lines) > LINES_OF_TEXT:
        lines = [*lines[: LINES_OF_TEXT - 1], "... (all of it: report.txt)"]
    figure = Figure(figsize=SIZE)
    figure.suptitle("VENOM training report")
    figure.text(0.05, 0.93, "\n".join(lines), family="monospace", size=7.5, va="top", parse_math=False)
    return figure


def loss_page(history: list[dict]) -> Figure:
    """Loss, the quick R, learning rate and time, by epoch."""
    figure, (loss, power, rate, seconds) = _panels(4, "Training")
    epochs = [h["epoch"] for h in history]
    for axes, keys, label in (
        (loss, {"train_loss": "training", "val_loss": "held out (averaged weights)"}, "loss"),
        (power, {"val_R_rms": "held out, mean of lines"}, "E / (2.355 rms)"),
        (rate, {"lr": "at the epoch's end"}, "learning rate"),
        (seconds, {"seconds": "an epoch"}, "seconds"),
    ):
        for key, name in keys.items():
            axes.plot(epochs, [h.get(key, np.nan) for h in history], ".-", label=name)
        axes.set(xlabel="epoch", ylabel=label)
        axes.legend(fontsize=8)
    return figure


def spectra_page(result: Evaluation) -> Figure:
    """Estimated energies of each line, by every estimator."""
    table, colours = result.tables["kde"], estimator_colours(result)
    figure, panels = _panels(len(table.labels), "Spectra of the held-out pulses (energy calibrated)")
    for axes, label, energy, k in zip(panels, table.labels, table.energies, np.unique(result.wl_ids), strict=True):
        values = {name: estimate[result.wl_ids == k] for name, estimate in result.estimates.items()}
        low, high = np.nanpercentile(np.concatenate(list(values.values())), [0.3, 99.7])
        for name, some in values.items():
            axes.hist(some, np.linspace(low, high, 60), histtype="step", color=colours[name], label=name)
        axes.axvline(energy, color="0.6", lw=0.8)
        power = ", ".join(f"{table.value[name][list(table.labels).index(label)]:.1f}" for name in values)
        axes.set_title(f"{label}: R {power}", fontsize=9)
        axes.set_xlabel("estimated energy [eV]", fontsize=8)
    panels[0].legend(fontsize=6)
    return figure


def power_page(result: Evaluation) -> Figure:
    """R of each line with its interval, kernel density and Gaussian, and the bias; crosses: not trained on."""
    figure, axes = _panels(4, "Resolving power and bias, 95 % bootstrap intervals")
    colours = estimator_colours(result)
    for panel, (metric, table) in zip(axes[:2], result.tables.items(), strict=False):
        for name in table.value:
            intervals = [table.line(name, label) for label in table.labels]
            value = np.array([i.value for i in intervals])
            error = np.abs(np.array([[i.low, i.high] for i in intervals]).T - value)
            panel.errorbar(
                table.energies, value, error, fmt="o-", capsize=3, color=colours.get(name, "0.5"),
                label=f"{name}: mean R {table.mean(name)}",
            )
        panel.set(xlabel="photon energy [eV]", ylabel=f"R ({metric})")
    table = result.tables["kde"]
    for name, bias in table.bias.items():
        axes[2].plot(table.energies, 1e3 * np.asarray(bias), "o-", color=colours.get(name, "0.5"), label=name)
    for name, colour in colours.items():
        rows = [r for r in result.between if r["estimator"] == name]
        energy = [r["energy_eV"] for r in rows]
        axes[0].plot(energy, [r["R"] for r in rows], "x", color=colour)
        axes[2].plot(energy, [1e3 * r["bias_eV"] for r in rows], "x", color=colour)
    axes[2].set(xlabel="photon energy [eV]", ylabel="bias of the median [meV]")
    axes[3].axis("off")
    axes[3].text(0.0, 0.9, "Crosses: energies that no training pulse has.", size=9)
    for panel in axes[:3]:
        panel.legend(fontsize=7)
    return figure


def parity_page(result: Evaluation) -> Figure:
    """Estimate against truth: median and central 68 % and 95 % of each line."""
    colours = estimator_colours(result)
    figure, panels = _panels(len(colours), "Estimate against true energy")
    for axes, (name, colour) in zip(panels, colours.items(), strict=True):
        energies = np.unique(result.energies)
        found = np.array([
            np.nanpercentile(result.estimates[name][result.energies == e], [2.5, 16, 50, 84, 97.5]) for e in energies
        ]).T
        axes.plot(energies, energies, color="0.7", lw=1)
        for low, high, width in ((0, 4, 1), (1, 3, 4)):
            axes.vlines(energies, found[low], found[high], color=colour, lw=width, alpha=0.6)
        axes.plot(energies, found[2], "o", color=colour)
        axes.set(xlabel="true energy [eV]", ylabel="estimated energy [eV]")
        axes.set_title(f"{name}: median, central 68 % and 95 %", fontsize=9)
    return figure


def residual_page(energies: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Figure:
    """Errors of the network (not calibrated) against its stated sigma: energies, mu (N,) in eV, log sigma^2 (N,)."""
    figure, (histogram, by_line, pull, reliability) = _panels(4, "Residuals of the network, held-out pulses")
    residual, sigma = mu - energies, np.exp(0.5 * logvar)
    lines = np.unique(energies)
    limit = np.percentile(np.abs(residual), 99.5)
    for energy, colour in zip(lines, line_colours(len(lines))[::-1], strict=True):
        histogram.hist(
            1e3 * residual[energies == energy], np.linspace(-1e3 * limit, 1e3 * limit, 60), histtype="step",
            color=colour, density=True, label=f"{energy:.3f} eV",
        )
    histogram.set(xlabel="estimate - truth [meV]", ylabel="density")
    histogram.legend(fontsize=6)
    by_line.boxplot(
        [1e3 * residual[energies == e] for e in lines], tick_labels=[f"{e:.2f}" for e in lines], showfliers=False
    )
    by_line.axhline(0, color="0.7", lw=0.8)
    by_line.set(xlabel="photon energy [eV]", ylabel="estimate - truth [meV]")
    grid = np.linspace(-5, 5, 81)
    pulls = residual / sigma
    pull.hist(np.clip(pulls, -5, 5), grid, density=True, color=COLOURS[0], alpha=0.5,
              label=f"rms {np.sqrt(np.mean(pulls**2)):.2f}")
    pull.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color="0.3", label="unit normal")
    pull.set(xlabel="(estimate - truth) / stated sigma")
    pull.legend(fontsize=8)
    order = np.array_split(np.argsort(sigma), min(10, len(sigma)))
    stated = [1e3 * np.sqrt(np.mean(sigma[rows] ** 2)) for rows in order]
    found = [1e3 * np.sqrt(np.mean(residual[rows] ** 2)) for rows in order]
    reliability.plot(stated, found, "o-", color=COLOURS[0])
    reliability.plot(stated, stated, color="0.7", lw=1)
    reliability.set(xlabel="stated sigma [meV] (tenths of the pulses)", ylabel="rms of the residual [meV]")
    return figure


def attention_page(seen: Inspection) -> Figure:
    """Attention weights over time, beside the mean pulse."""
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.suptitle("Attention over time (mean of each line; band: central 68 % of pulses)")
    above, below = figure.subplots(2, 1, sharex=True)
    for k, colour in enumerate(line_colours(len(seen.labels))):
        above.plot(seen.time, seen.attention[k], color=colour, label=seen.labels[k])
        above.fill_between(seen.time, *seen.attention_spread[k], color=colour, alpha=0.12, lw=0)
        below.plot(seen.time, seen.pulse[k, :, 0], color=colour)
        below.plot(seen.time, seen.pulse[k, :, 1], color=colour, ls="--")
    above.set(ylabel="weight (sums to 1)")
    above.legend(fontsize=7)
    below.set(xlabel="time from the trigger [us]", ylabel="mean I (line), Q (dashed) [counts]")
    return figure


def feature_pages(seen: Inspection) -> list[Figure]:
    """Every feature channel of the backbone over time, mean of each line, 16 channels a page."""
    figures = []
    width = seen.features.shape[2]
    for first in range(0, width, CHANNELS_A_PAGE):
        channels = range(first, min(first + CHANNELS_A_PAGE, width))
        figure, panels = _panels(
            len(channels), f"Backbone features {first} to {channels[-1]} of {width} (mean of each line)", sharex=True
        )
        for axes, channel in zip(panels, channels, strict=True):
            for k, colour in enumerate(line_colours(len(seen.labels))):
                axes.plot(seen.time, seen.features[k, :, channel], color=colour, lw=0.9, label=seen.labels[k])
            axes.set_title(f"channel {channel}", fontsize=8)
            axes.tick_params(labelsize=6)
        panels[0].legend(fontsize=5)
        figures.append(figure)
    return figures
