"""Real and synthetic pulses side by side: mean pulses, scores, noise that the components leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from venom_hw.atomic import atomic_file

from ..dataset import PulseSet
from .cross_spectrum import spectrum_of_traces
from .generator import PulseGenerator
from .moments import line_rows
from .pca import PcaGenerator, principal_components

PULSES = 2000  # of each line that are looked at
COLOURS = ("#0b6e99", "#c1440e", "#4a7c2f", "#8a4f9e", "#b38600", "#4d4d4d")


def _both(generator: PulseGenerator, pulses: PulseSet, seed: int):
    """(label, energy, real counts, synthetic counts) of each line that the generator's energies cover."""
    rng = np.random.default_rng(seed)
    low, high = generator.energy_range
    for energy, label, rows in line_rows(pulses, np.arange(len(pulses))):
        if low <= energy <= high:
            rows = rows[:PULSES]
            yield label, energy, pulses.counts[rows], generator.sample(np.full(len(rows), energy), rng)


def _some(items: list, number: int) -> list:
    return [items[k] for k in sorted({round(x) for x in np.linspace(0, len(items) - 1, number)})]


def plot_generator(generator: PulseGenerator, pulses: PulseSet, path, seed: int = 0) -> Path:
    """Write a PNG of six panels, atomically; the path. Synthetic pulses are drawn dashed, real ones solid.

    Mean pulses in I and Q and their difference in standard errors, variances of the scores (of a template generator: on
    the pulses' own principal components), skewness and excess kurtosis of the leading scores (zero in what is drawn
    from Gaussians), spectra of what the components leave.
    """
    lines = list(_both(generator, pulses, seed))
    time = (np.arange(generator.length) - generator.window.n_pre) / generator.window.rate_hz * 1e6
    basis = _basis(generator, lines)
    figure = Figure(figsize=(14, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{generator.kind} generator, lines {', '.join(generator.labels)} (solid: real, dashed: synthetic)")
    (mean_i, mean_q, error), (variance, shape, spectrum) = figure.subplots(2, 3)
    for number, (label, _, real, made) in enumerate(_some(lines, 5)):
        colour = COLOURS[number]
        for k, axes in enumerate((mean_i, mean_q)):
            axes.plot(time, real[..., k].mean(0), color=colour, lw=1, label=label)
            axes.plot(time, made[..., k].mean(0), "--", color=colour, lw=1)
        standard = np.sqrt((real.var(0) + made.var(0)) / len(real))
        difference = (made.mean(0, dtype=float) - real.mean(0, dtype=float)) / np.maximum(standard, 1e-9)
        error.plot(time, difference[:, 0], color=colour, lw=0.7)
        error.plot(time, difference[:, 1], ":", color=colour, lw=0.7)
        _scores(variance, shape, basis, real, made, colour)
    _spectra(spectrum, basis, _some(lines, 2), generator)
    for axes, x, y in ((mean_i, "time after the trigger [us]", "mean I [counts]"),
                       (mean_q, "time after the trigger [us]", "mean Q [counts]"),
                       (error, "time after the trigger [us]", "synthetic less real mean [standard errors]"),
                       (variance, "principal component", "variance of the scores [counts$^2$]"),
                       (shape, "principal component", "skewness (dots), excess kurtosis (crosses), real"),
                       (spectrum, "frequency [kHz]", "residual spectrum [counts$^2$]")):
        axes.set(xlabel=x, ylabel=y)
    variance.set_yscale("log")
    spectrum.set(xscale="log", yscale="log")
    spectrum.legend(fontsize=7)
    mean_i.legend(fontsize=7)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return Path(path)


def _basis(generator: PulseGenerator, lines) -> np.ndarray:
    if isinstance(generator, PcaGenerator):
        return generator.basis
    real = np.concatenate([r for _, _, r, _ in lines]).reshape(-1, 2 * generator.length)
    return principal_components(np.cov(real, rowvar=False), min(50, real.shape[1]))


def _scores(variance, shape, basis, real, made, colour) -> None:
    score = [(c.reshape(len(c), -1) - c.reshape(len(c), -1).mean(0)) @ basis for c in (real, made)]
    index = np.arange(1, basis.shape[1] + 1)
    for values, style in zip(score, ("-", "--"), strict=True):
        variance.plot(index, values.var(axis=0), style, color=colour, lw=1)
    leading = score[0][:, :20]
    standard = leading / np.maximum(leading.std(axis=0), 1e-9)
    shape.plot(index[:20], (standard**3).mean(axis=0), ".", color=colour)
    shape.plot(index[:20], (standard**4).mean(axis=0) - 3, "x", color=colour, ms=4)


def _spectra(axes, basis, lines, generator: PulseGenerator) -> None:
    frequency = np.fft.rfftfreq(generator.length, 1 / generator.window.rate_hz)[1:] / 1e3
    for (label, _, real, made), shade in zip(lines, (1.0, 0.45), strict=False):
        for counts, style in ((real, "-"), (made, "--")):
            flat = counts.reshape(len(counts), -1) - counts.reshape(len(counts), -1).mean(axis=0)
            left = (flat - (flat @ basis) @ basis.T).reshape(counts.shape)
            density = spectrum_of_traces(left)[1:]
            parts = (("II", density[:, 0, 0].real), ("QQ", density[:, 1, 1].real), ("|IQ|", np.abs(density[:, 0, 1])))
            for (name, values), colour in zip(parts, COLOURS, strict=False):
                axes.plot(frequency, np.maximum(values, 1e-6), style, color=colour, alpha=shade, lw=1,
                          label=f"{name}, {label}" if style == "-" else None)
