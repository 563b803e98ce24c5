"""Pictures: figures without pyplot's state, written whole; colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from venom_hw.atomic import write_atomically

# Okabe and Ito 2008, the yellow darkened
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A800", "#000000", "#7F3C8D", "#8C564B")
UNKNOWN_COLOUR = "#BBBBBB"
BAND_COLOURS = {0: "tab:blue", 1: "tab:red", 2: "tab:orange"}


def save_figure(figure: Figure, path: str | Path, dpi: int = 150) -> Path:
    """Write a PNG atomically; its path."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return write_atomically(path, buffer.getvalue())


def dot_size(n: int) -> float:
    """Of n points in a map: smaller the more there are."""
    return float(np.clip(6000 / max(n, 1), 2, 25))


def scatter_classes(axes, points: np.ndarray, labels: np.ndarray, names) -> None:
    """Points (N, 2) coloured by label, those without one grey below all, the rarest class on top."""
    labels, size = np.asarray(labels), dot_size(len(points))
    if (labels < 0).any():
        axes.scatter(*points[labels < 0].T, s=size, lw=0, color=UNKNOWN_COLOUR, label="unknown", rasterized=True)
    present = sorted((k for k in range(len(names)) if (labels == k).any()), key=lambda k: -(labels == k).sum())
    for k in present:
        rows = labels == k
        axes.scatter(*points[rows].T, s=size, lw=0, alpha=0.75, color=PALETTE[k % len(PALETTE)],
                     label=f"{names[k]} ({rows.sum()})", rasterized=True)  # fmt: skip
    axes.set(xticks=[], yticks=[])


def light_curves(curves: list[dict], title: str = "") -> Figure:
    """True and decoded light curves side by side, a row each; magnitudes upside down, as the sky has them."""
    figure = Figure(figsize=(12, 4 * len(curves)), layout="constrained")
    rows = figure.subplots(len(curves), 2, squeeze=False, sharex="row", sharey="row")
    for axes, curve in zip(rows, curves, strict=True):
        for ax, part in zip(axes, ("true", "decoded"), strict=True):
            data = curve[part]
            for band, colour in BAND_COLOURS.items():
                rows_of = np.asarray(data["band"]) == band
                if rows_of.any():
                    ax.errorbar(data["days"][rows_of], data["mag"][rows_of], np.abs(data["mag_err"][rows_of]),
                                fmt="o", ms=4, lw=0.8, color=colour, label="gri"[band])  # fmt: skip
            ax.set(xlabel="days since the first detection", ylabel="magnitude",
                   title=f"{curve['object_id']} ({curve['class'] or 'unknown'}), {part}")  # fmt: skip
            ax.legend(fontsize=8)
        axes[0].invert_yaxis()
    if title:
        figure.suptitle(title)
    return figure


def score_lines(rows: list[dict], level: str = "coarse") -> Figure:
    """Accuracy, balanced accuracy and AUC against the number of detections, of all sources and of long enough ones."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    labels = [str(row["detections"]) for row in rows]
    at = np.arange(len(rows))
    for ax, score in zip(figure.subplots(1, 3), ("accuracy", "balanced_accuracy", "roc_auc"), strict=True):
        series = {
            "linear probe, all sources": [row[level] for row in rows],
            "linear probe, at least N detections": [
                None if row["detections"] == "all" else row["at_least"][level] for row in rows
            ],
            "class head": [row["head"] if level == "coarse" else None for row in rows],
        }
        for k, (name, metrics) in enumerate(series.items()):
            values = np.array([np.nan if m is None or m[score] is None else m[score] for m in metrics], float)
            if np.isnan(values).all():
                continue
            bars = [m and m.get("intervals", {}).get(score) or [v, v] for m, v in zip(metrics, values, strict=True)]
            low, high = np.array(bars, float).T
            ax.errorbar(at + 0.06 * (k - 1), values, [np.maximum(values - low, 0), np.maximum(high - values, 0)],
                        fmt="o-", ms=4, lw=1, capsize=2, color=PALETTE[k], label=name)  # fmt: skip
        ax.set_xticks(at, labels)
        ax.set(xlabel="detections", title=f"{score.replace('_', ' ')} ({level})")
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    return figure
