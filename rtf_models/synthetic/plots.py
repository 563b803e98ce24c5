"""Pictures of synthetic light curves, and of their numbers beside those of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from venom_hw.atomic import atomic_file

from ..data.source import BANDS, Source
from .observe import Sky
from .population import find_population
from .realism import QUANTITIES, summaries

COLOURS = ("#1b7837", "#b2182b", "#e08214")  # g, r, i
SHOWN = ("detections", "duration", "median gap of nights", "detections per night", "brightest", "faintest",
         "median error", "error against magnitude", "median g - r", "last g - r", "amplitude in r",
         "slope after peak in r")  # fmt: skip


def plot_light_curve(axes, source: Source) -> None:
    """Magnitude against days since the first detection, one colour a band; brighter is up."""
    for band, colour in enumerate(COLOURS):
        part = source.band == band
        if part.any():
            axes.errorbar(
                source.time[part] - source.time[0],
                source.mag[part],
                source.mag_err[part],
                fmt="o",
                ms=3,
                lw=0.8,
                color=colour,
                label=BANDS[band],
            )
    axes.invert_yaxis()


def _save(figure, path: Path, dpi: int = 130) -> Path:
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=dpi)
    return path


def plot_examples(sky: Sky, populations: Sequence[str], seed: int, path: Path, columns: int = 4) -> Path:
    """A row a population, its first sources of this seed: what the survey sees over the true light curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * columns, 2.2 * len(populations)), layout="constrained")
    axes = figure.subplots(len(populations), columns, squeeze=False)
    for row, name in zip(axes, populations, strict=True):
        for k, ax in enumerate(row):
            source, transient, truth = sky.source(find_population(name), seed, 9_000_000 + k, name)
            days = np.linspace(source.time[0] - 5, source.time[-1] + 5, 300)
            for band in np.unique(source.band):
                true = transient.magnitude(days - truth["t0"], np.full(300, band))
                ax.plot(
                    days - source.time[0],
                    np.where(true < 22, true, np.nan),
                    color=COLOURS[band],
                    lw=0.8,
                    alpha=0.6,
                )
            plot_light_curve(ax, source)
            ax.set_title(f"{name}, z = {transient.z:.3f}" if transient.z else name, fontsize=8)
            ax.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("days since first detection", fontsize=9)
    figure.supylabel("AB magnitude", fontsize=9)
    return _save(figure, path)


def plot_realism(real: Sequence[Source], synthetic: Sequence[Source], result: dict, path: Path) -> Path:
    """Histograms of twelve numbers of the real and the synthetic light curves, with their KS distances."""
    from matplotlib.figure import Figure

    a, b = summaries(real), summaries(synthetic)
    figure = Figure(figsize=(13, 9), layout="constrained")
    for ax, name in zip(figure.subplots(3, 4).flat, SHOWN, strict=True):
        k = list(QUANTITIES).index(name)
        x, y = (v[np.isfinite(v[:, k]), k] for v in (a, b))
        low, high = np.percentile(np.concatenate([x, y]), (0.5, 99.5))
        bins = np.linspace(low, high if high > low else low + 1, 31)
        ax.hist(
            x,
            bins,
            density=True,
            histtype="stepfilled",
            alpha=0.35,
            color="#555555",
            label=f"real ({len(real)})",
        )
        ax.hist(
            y,
            bins,
            density=True,
            histtype="step",
            lw=1.6,
            color="#0072b2",
            label=f"synthetic ({len(synthetic)})",
        )
        unit = QUANTITIES[name][1]
        ax.set_xlabel(f"{name} ({unit})" if unit else name, fontsize=9)
        ks = result["quantities"].get(name, {}).get("ks", float("nan"))
        ax.set_title(f"KS distance {ks:.2f}", fontsize=9)
        ax.set_yticks([])
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(
        f"Synthetic against real BTS light curves: classifier ROC-AUC {result['auc']:.3f} (0.5: the same)"
    )
    return _save(figure, path)
