"""Figures of a data folder: traces, mean pulses, heights, loop, noise, and a page of numbers."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .folder_summary import FolderSummary, LineSummary

A4 = (11.7, 8.3)
I_COLOUR, Q_COLOUR, PHASE_COLOUR, BAD_COLOUR = "#0b6e99", "#c1440e", "#2e7d32", "0.7"


def new_figure(title: str, size=A4) -> Figure:
    """An empty figure drawn by Agg, whatever display there is."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


def line_colours(summary: FolderSummary) -> list:
    """From violet to red, as the lines are: the colour of each, shortest wavelength first."""
    from matplotlib import colormaps

    return [colormaps["turbo"](x) for x in np.linspace(0.08, 0.92, len(summary.lines))]


def summary_page(summary: FolderSummary) -> Figure:
    """The numbers: rate, loop, noise, and a table of the lines."""
    figure = new_figure(f"Data summary: {summary.name}")
    axes = figure.subplots()
    axes.axis("off")
    about = summary.to_dict()
    said = [f"raw rate {summary.rate_hz / 1e6:g} MHz, {summary.samples} samples a trace "
            f"({summary.time_us[-1]:.0f} us), values in {summary.unit}",
            f"loop of the mean pulses: centre {summary.centre.real:.4g}, {summary.centre.imag:.4g}; radius "
            f"{summary.radius:.4g}", f"noise from {summary.noise_source}",
            f"{sum(x.pulses for x in summary.lines)} pulses, {sum(x.used for x in summary.lines)} used"]
    said += [f"{key}: {str(value)[:90]}" for key, value in about["metadata"].items() if key != "opt_filt_R"]
    axes.text(0.0, 0.98, "\n".join(said), va="top", fontsize=10, transform=axes.transAxes)
    stored = summary.metadata.get("opt_filt_R") or {}
    header = ["line", "E [eV]", "pulses", "bad in\nmask", "outside\nclip", "used", "samples at\nthe rail",
              "height\nmedian", "height\nspread", "peak\nphase [rad]", "decay\n[us]", "noise rms\nI, Q",
              "R of OF\n(stored)"]
    rows = []
    for x in about["lines"]:
        tau = "-" if x["tau_us"] is None else f"{x['tau_us']:.1f}"
        r = next((v for k, v in stored.items() if k.removesuffix("nm") == x["line"].removesuffix("nm")), None)
        rows.append([x["line"], f"{x['energy_eV']:.4f}", x["pulses"], x["masked"], x["clipped"], x["used"],
                     x["saturated_samples"], f"{x['height_median']:.4g}", f"{x['height_spread']:.3g}",
                     f"{x['peak_phase_rad']:.3f}", tau, ", ".join(f"{v:.3g}" for v in x["noise_rms"]),
                     "-" if not isinstance(r, int | float) else f"{r:.1f}"])
    table = axes.table(rows, colLabels=header, cellLoc="right", bbox=(0, 0.02, 1, min(0.68, 0.1 + 0.06 * len(rows))))
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    return figure


def traces_page(summary: FolderSummary, only: str | None = None) -> Figure:
    """Raw I and Q over time: a few traces of each line, as they are in the files."""
    lines = [x for x in summary.lines if only in (None, x.label)]
    figure = new_figure(f"{summary.name}: raw traces, {len(lines[0].examples)} a line")
    rows = figure.subplots(len(lines), 2, sharex=True, squeeze=False)
    for (left, right), line in zip(rows, lines, strict=True):
        for axes, view, colour, name in ((left, np.real, I_COLOUR, "I"), (right, np.imag, Q_COLOUR, "Q")):
            axes.plot(summary.time_us, view(line.examples).T, color=colour, lw=0.4, alpha=0.6)
            axes.set_ylabel(f"{line.label}\n{name} [{summary.unit}]", fontsize=8)
            axes.tick_params(labelsize=7)
    for axes in rows[-1]:
        axes.set_xlabel("time [us]")
    return figure


def draw_mean(axes, summary: FolderSummary, line: LineSummary) -> None:
    """Mean I and Q of a line's used pulses, and their phase on a second axis."""
    axes.plot(summary.time_us, line.mean.real, color=I_COLOUR, label="I")
    axes.plot(summary.time_us, line.mean.imag, color=Q_COLOUR, label="Q")
    axes.set(xlabel="time [us]", ylabel=f"mean I, Q [{summary.unit}]", title=f"mean of {line.used} pulses")
    other = axes.twinx()
    other.plot(summary.time_us, line.phase, color=PHASE_COLOUR, label="phase", lw=1)
    other.set_ylabel("phase about the loop centre [rad]", color=PHASE_COLOUR)
    axes.legend(loc="upper right", fontsize=8)


def draw_heights(axes, line: LineSummary) -> None:
    """Histogram of the stored heights: used, clipped, flagged bad."""
    low, high = np.percentile(line.heights[np.isfinite(line.heights)], [0.2, 99.8])
    span = max(high - low, 1e-12)
    bins = np.linspace(low - 0.05 * span, high + 0.05 * span, 80)
    finite = np.nan_to_num(line.heights, nan=np.inf)
    axes.hist(np.clip(finite, bins[0], bins[-1]), bins, color=BAD_COLOUR,
              label=f"left out: {line.masked} bad, {line.clipped} outside the clip")
    axes.hist(np.clip(finite[line.kept], bins[0], bins[-1]), bins, color=I_COLOUR, label=f"used: {line.used}")
    for edge in line.height_range:
        if np.isfinite(edge):
            axes.axvline(edge, color="k", lw=0.8, ls="--")
    axes.set(xlabel="stored peak height", ylabel="pulses", title="peak heights, with the MAD clip", yscale="log")
    axes.legend(fontsize=8)


def draw_loop(axes, summary: FolderSummary, line: LineSummary) -> None:
    """Samples of some pulses in the I/Q plane, the mean pulse's way, and the fitted circle."""
    z = line.points.ravel()
    axes.hexbin(z.real, z.imag, gridsize=70, bins="log", cmap="Greys", mincnt=1)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = summary.centre + summary.radius * np.exp(1j * angle)
    axes.plot(circle.real, circle.imag, color=Q_COLOUR, lw=0.8, label="loop of all lines")
    axes.plot(line.mean.real, line.mean.imag, color=I_COLOUR, lw=1, label="mean pulse")
    axes.plot(summary.centre.real, summary.centre.imag, "+", color=Q_COLOUR)
    axes.set(xlabel=f"I [{summary.unit}]", ylabel=f"Q [{summary.unit}]", title="I/Q loop")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(fontsize=8, loc="upper right")


def draw_noise(axes, summary: FolderSummary) -> None:
    """One-sided power spectral densities of the noise in I, Q, and phase."""
    for name, colour in (("I", I_COLOUR), ("Q", Q_COLOUR)):
        if name in summary.noise:
            axes.loglog(summary.frequency, summary.noise[name], color=colour, label=name)
    axes.set(xlabel="frequency [Hz]", ylabel=f"PSD of I, Q [{summary.unit}$^2$/Hz]",
             title=f"noise ({summary.noise_source})")
    if "phase" in summary.noise:
        other = axes.twinx()
        other.loglog(summary.frequency, summary.noise["phase"], color=PHASE_COLOUR, lw=1)
        other.set_ylabel("PSD of phase [rad$^2$/Hz]", color=PHASE_COLOUR)
        axes.legend(fontsize=8)


def line_page(summary: FolderSummary, line: LineSummary) -> Figure:
    """Four panels of one line."""
    figure = new_figure(f"{summary.name}: {line.label}, {line.energy_ev:.4f} eV")
    (mean, heights), (loop, noise) = figure.subplots(2, 2)
    draw_mean(mean, summary, line)
    draw_heights(heights, line)
    draw_loop(loop, summary, line)
    draw_noise(noise, summary)
    return figure


def comparison_page(summary: FolderSummary) -> Figure:
    """All lines against each other: phase pulses, their shapes, heights over energy, where pulses are lost."""
    figure = new_figure(f"{summary.name}: all lines")
    (phase, shape), (height, count) = figure.subplots(2, 2)
    colours = line_colours(summary)
    for line, colour in zip(summary.lines, colours, strict=True):
        phase.plot(summary.time_us, line.phase, color=colour, label=line.label, lw=1)
        shape.semilogy(summary.time_us, np.maximum(line.phase / line.phase.max(), 1e-4), color=colour, lw=1)
    phase.set(xlabel="time [us]", ylabel="mean phase [rad]", title="mean pulses")
    phase.legend(fontsize=8)
    shape.set(xlabel="time [us]", ylabel="phase / peak", ylim=(1e-3, 1.5), title="shape (equal only if it is linear)")
    energy = [x.energy_ev for x in summary.lines]
    good = [np.abs(x.heights[x.kept]) for x in summary.lines]
    height.errorbar(energy, [np.median(g) for g in good], [g.std() for g in good], fmt="o-", capsize=3, color=I_COLOUR)
    height.set(xlabel="photon energy [eV]", ylabel="|stored height|, median and scatter", title="response")
    height.set_xlim(left=0)
    height.set_ylim(bottom=0)
    place = np.arange(len(summary.lines))
    bottom = np.zeros(len(place))
    for name, colour, values in (("used", I_COLOUR, [x.used for x in summary.lines]),
                                 ("outside the clip", Q_COLOUR, [x.clipped for x in summary.lines]),
                                 ("bad in mask", BAD_COLOUR, [x.masked for x in summary.lines])):
        count.bar(place, values, bottom=bottom, color=colour, label=name)
        bottom = bottom + values
    count.set_xticks(place, [x.label for x in summary.lines], rotation=60, fontsize=8)
    count.set(ylabel="pulses", title="pulses of each line")
    count.legend(fontsize=8)
    return figure


def heights_page(summary: FolderSummary) -> Figure:
    """Heights of all lines in one histogram: how far apart they lie."""
    figure = new_figure(f"{summary.name}: stored peak heights")
    axes = figure.subplots()
    every = np.concatenate([x.heights[x.kept] for x in summary.lines])
    bins = np.linspace(every.min(), every.max(), 200)
    for line, colour in zip(summary.lines, line_colours(summary), strict=True):
        axes.hist(line.heights[line.kept], bins, histtype="step", color=colour, label=line.label)
    axes.set(xlabel="stored peak height", ylabel="used pulses")
    axes.legend(fontsize=8)
    return figure


def noise_page(summary: FolderSummary) -> Figure:
    """The noise spectra alone."""
    figure = new_figure(summary.name, (8.0, 6.0))
    draw_noise(figure.subplots(), summary)
    return figure


def loop_page(summary: FolderSummary) -> Figure:
    """The loop of each line side by side."""
    columns = int(np.ceil(np.sqrt(len(summary.lines))))
    figure = new_figure(f"{summary.name}: I/Q loops")
    grid = np.ravel(figure.subplots(-(-len(summary.lines) // columns), columns, squeeze=False))
    for axes, line in zip(grid, summary.lines, strict=False):
        draw_loop(axes, summary, line)
        axes.set_title(line.label, fontsize=9)
        axes.get_legend().remove()
    for axes in grid[len(summary.lines):]:
        axes.axis("off")
    return figure
