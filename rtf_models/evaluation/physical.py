"""Reconstruction in the units of the sky: magnitudes, days, bands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import ClassScheme
from rtf_models.data.source import BANDS, Source

from .errors import EvaluationError
from .reconstruction import Reconstruction, reconstruct


def physical_metrics(
    checkpoint: Checkpoint,
    sources: Iterable[Source],
    *,
    scheme: ClassScheme | None = None,
    counts: int | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    keep: int = 0,
    progress: bool = False,
) -> dict:
    """How far decoded light curves are from the ones that were encoded.

    Summary (mag and days): mean_abs_dmag, the mean over sources of their means; median_abs_dmag, the median over
    sources of their medians; p90_abs_dmag, the mean over sources of their 90th percentiles; mean_abs_days;
    band_accuracy; baseline_abs_dmag, the first of these for a decoder that knows only a source's median magnitude in
    each band; pooled_median_abs_dmag, over all detections alike; per_band mean |dmag| by true band; per_class the same
    summary by coarse class; n sources, detections. keep: that many sources of each class are returned as `curves`
    (object_id, class, true and decoded dicts of days, mag, band) for plots; leave them out of JSON.
    Raises EvaluationError where there are no sources.
    """
    scheme = scheme or getattr(sources, "scheme", None) or checkpoint.scheme
    rows, pooled, curves, kept = [], [], [], {}
    for one in reconstruct(
        checkpoint, sources, counts=counts, batch_size=batch_size, device=device, progress=progress
    ):
        true, decoded = (in_units(checkpoint, part) for part in (one.true, one.decoded))
        coarse = scheme.coarse_id(one.label)
        row, residual = _row(one, true, decoded)
        rows.append({**row, "class": scheme.coarse[coarse] if coarse >= 0 else None})
        pooled.append(residual)
        if kept.setdefault(coarse, 0) < keep:
            kept[coarse] += 1
            bands = {"true": one.band, "decoded": one.band_logits.argmax(1)}
            curves.append({"object_id": one.object_id, "class": rows[-1]["class"],
                           "true": true | {"band": bands["true"]},
                           "decoded": decoded | {"band": bands["decoded"]}})  # fmt: skip
    if not rows:
        raise EvaluationError("no sources to reconstruct: expected at least one")
    result = summary(rows) | {"pooled_median_abs_dmag": float(np.median(np.concatenate(pooled)))}
    found = [name for name in scheme.coarse if any(row["class"] == name for row in rows)]
    result["per_class"] = {name: summary([row for row in rows if row["class"] == name]) for name in found}
    return result | ({"curves": curves} if keep else {})


def in_units(checkpoint: Checkpoint, channels: np.ndarray) -> dict[str, np.ndarray]:
    """The four continuous channels (L, 4) as days, days_since_previous, mag, mag_err."""
    values = checkpoint.inputs.to_physical(channels)
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def _row(one: Reconstruction, true: dict, decoded: dict) -> tuple[dict, np.ndarray]:
    """Numbers of one source, and its |dmag| by detection."""
    residual = np.abs(decoded["mag"] - true["mag"])
    medians = np.array([_median(true["mag"][one.band == band]) for band in range(len(BANDS))])
    row = {
        "mean": residual.mean(),
        "median": np.median(residual),
        "p90": np.percentile(residual, 90),
        "days": np.abs(decoded["days"] - true["days"]).mean(),
        "band": (one.band_logits.argmax(1) == one.band).mean(),
        "baseline": np.abs(true["mag"] - medians[one.band]).mean(),
        "n": len(one),
        "by_band": {b: residual[one.band == k].mean() for k, b in enumerate(BANDS) if (one.band == k).any()},
    }
    return row, residual


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def summary(rows: Sequence[dict]) -> dict:
    """The summary of the rows of some sources, as plain numbers."""

    def over(name: str, average=np.mean) -> float:
        return float(average([row[name] for row in rows]))

    bands = {b: [row["by_band"][b] for row in rows if b in row["by_band"]] for b in BANDS}
    return {
        "n": len(rows),
        "detections": int(sum(row["n"] for row in rows)),
        "mean_abs_dmag": over("mean"),
        "median_abs_dmag": over("median", np.median),
        "p90_abs_dmag": over("p90"),
        "mean_abs_days": over("days"),
        "median_abs_days": over("days", np.median),
        "band_accuracy": over("band"),
        "baseline_abs_dmag": over("baseline"),
        "per_band": {b: float(np.mean(values)) for b, values in bands.items() if values},
    }
