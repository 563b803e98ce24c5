"""How real synthetic light curves look: summary numbers of two sets of sources, side by side and to a classifier.

A classifier that is trained to tell the two sets apart and cannot (ROC-AUC 0.5) sees no difference in these numbers;
1.0 means that each curve gives itself away. The numbers below are those a network could use too: cadence, counts,
magnitudes, errors, colours, speeds and scatter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ..data.source import Source
from ..errors import require
from .errors import SyntheticError

SAME_NIGHT = 0.5  # days
COLOUR_PAIR = 0.6  # days between the two detections of a colour

# name -> (group, unit)
QUANTITIES: dict[str, tuple[str, str]] = {
    "detections": ("count", ""), "share of g": ("count", ""), "detections per night": ("cadence", ""),
    "duration": ("cadence", "d"), "median gap of nights": ("cadence", "d"), "longest gap": ("cadence", "d"),
    "share of 1-day gaps": ("cadence", ""), "shortest gap": ("cadence", "d"),
    "brightest": ("magnitude", "mag"), "median magnitude": ("magnitude", "mag"), "faintest": ("magnitude", "mag"),
    "first magnitude": ("magnitude", "mag"), "last magnitude": ("magnitude", "mag"),
    "median error": ("error", "mag"), "largest error": ("error", "mag"), "error against magnitude": ("error", "dex"),
    "scatter of that": ("error", "dex"),
    "median g - r": ("colour", "mag"), "first g - r": ("colour", "mag"), "last g - r": ("colour", "mag"),
    "days to brightest": ("shape", "d"), "amplitude in r": ("shape", "mag"),
    "slope after peak in r": ("shape", "mag/d"),
    "slope after peak in g": ("shape", "mag/d"), "night-to-night scatter": ("shape", "of error"),
    "same-night scatter": ("shape", "of error"),
}  # fmt: skip


def summary(source: Source) -> np.ndarray:
    """(quantities,) float64 in the order of QUANTITIES; NaN where a source does not say."""
    t, band, mag, err = source.time, source.band, source.mag.astype(float), source.mag_err.astype(float)
    nights = np.unique(np.floor(t))
    gaps = np.diff(nights)
    excess = np.log10(err) - np.log10(np.hypot(0.025, 0.20 * 10 ** (0.3 * (mag - 20))))
    pairs = _colours(source)
    brightest = int(np.argmin(mag))
    r, g = band == 1, band == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of empty means: NaN is meant
        values = {
            "detections": len(source), "share of g": g.mean(), "detections per night": len(source) / len(nights),
            "duration": t[-1] - t[0], "median gap of nights": np.median(gaps) if len(gaps) else np.nan,
            "longest gap": gaps.max() if len(gaps) else np.nan, "share of 1-day gaps": (gaps == 1).mean(),
            "shortest gap": np.diff(t).min() if len(t) > 1 else np.nan,
            "brightest": mag.min(), "median magnitude": np.median(mag), "faintest": mag.max(),
            "first magnitude": mag[0], "last magnitude": mag[-1],
            "median error": np.median(err), "largest error": err.max(),
            "error against magnitude": np.median(excess), "scatter of that": excess.std(),
            "median g - r": np.median(pairs) if len(pairs) else np.nan,
            "first g - r": pairs[0] if len(pairs) else np.nan, "last g - r": pairs[-1] if len(pairs) else np.nan,
            "days to brightest": t[brightest] - t[0], "amplitude in r": np.ptp(mag[r]) if r.any() else np.nan,
            "slope after peak in r": _slope(t[r], mag[r]), "slope after peak in g": _slope(t[g], mag[g]),
            "night-to-night scatter": _scatter(t, band, mag, err, 0.5, 4.5),
            "same-night scatter": _scatter_of_pairs(t, band, mag, err),
        }  # fmt: skip
    return np.array([values[name] for name in QUANTITIES], float)


def _colours(source: Source) -> np.ndarray:
    """g - r of each g detection with the nearest r one, in order of time."""
    g, r = source.band == 0, source.band == 1
    if not g.any() or not r.any():
        return np.zeros(0)
    distance = np.abs(source.time[g][:, None] - source.time[r][None])
    nearest = distance.argmin(1)
    close = distance[np.arange(len(nearest)), nearest] < COLOUR_PAIR
    return (source.mag[g].astype(float) - source.mag[r].astype(float)[nearest])[close]


def _slope(t, mag):
    """mag a day over the 30 days after the band's brightest detection."""
    if len(t) < 4:
        return np.nan
    top = t[np.argmin(mag)]
    part = (t >= top) & (t <= top + 30)
    if part.sum() < 3 or np.ptp(t[part]) < 3:
        return np.nan
    return float(np.polyfit(t[part] - top, mag[part], 1)[0])


def _scatter(t, band, mag, err, shortest, longest):
    """Robust scatter about straight lines through neighbours, in units of the reported errors."""
    residuals = []
    for b in (0, 1):
        part = np.flatnonzero(band == b)
        part = part[np.unique(np.floor(t[part]), return_index=True)[1]]
        if len(part) < 3:
            continue
        a, m, c = part[:-2], part[1:-1], part[2:]
        near = (
            (t[m] - t[a] > shortest)
            & (t[m] - t[a] < longest)
            & (t[c] - t[m] > shortest)
            & (t[c] - t[m] < longest)
        )
        w = (t[m] - t[a]) / (t[c] - t[a])
        off = mag[m] - (1 - w) * mag[a] - w * mag[c]
        residuals += list((off / np.sqrt(err[m] ** 2 + ((1 - w) * err[a]) ** 2 + (w * err[c]) ** 2))[near])
    return 1.4826 * np.median(np.abs(residuals)) if len(residuals) > 2 else np.nan


def _scatter_of_pairs(t, band, mag, err):
    residuals = []
    for b in (0, 1):
        part = np.flatnonzero(band == b)
        close = np.diff(t[part]) < SAME_NIGHT
        residuals += list((np.diff(mag[part]) / np.hypot(err[part][1:], err[part][:-1]))[close])
    return float(np.sqrt(np.mean(np.square(residuals)))) if len(residuals) > 1 else np.nan


def summaries(sources: Sequence[Source]) -> np.ndarray:
    """(sources, quantities); see `summary`."""
    return np.array([summary(source) for source in sources])


def separability(
    real: np.ndarray,
    synthetic: np.ndarray,
    *,
    seed: int = 0,
    folds: int = 5,
    columns: Sequence[str] | None = None,
) -> float:
    """ROC-AUC of gradient-boosted trees that tell synthetic from real, cross-validated; 0.5 is perfect likeness.

    Args:
        real, synthetic: (sources, quantities) of `summaries`.
        columns: only these quantities.

    Raises:
        SyntheticError: fewer than `folds` sources of a kind. MissingPackage: no scikit-learn.
    """
    if min(len(real), len(synthetic)) < folds:
        raise SyntheticError(
            f"{len(real)} real and {len(synthetic)} synthetic sources: expected {folds} or more of each"
        )
    ensemble = require("sklearn.ensemble", "rtf")
    selection = require("sklearn.model_selection", "rtf")
    metrics = require("sklearn.metrics", "rtf")
    keep = [list(QUANTITIES).index(name) for name in (columns or QUANTITIES)]
    x = np.concatenate([real, synthetic])[:, keep]
    y = np.repeat([0, 1], [len(real), len(synthetic)])
    model = ensemble.HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=seed
    )
    split = selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    score = selection.cross_val_predict(model, x, y, cv=split, method="predict_proba")[:, 1]
    return float(metrics.roc_auc_score(y, score))


def compare(real: Sequence[Source], synthetic: Sequence[Source], *, seed: int = 0, by_group: bool = True) -> dict:
    """Both sets side by side: quantiles, Kolmogorov-Smirnov distances, AUC of a classifier, and by group if asked.

    Returns {"quantities": {name: {unit, group, real: [5, 25, 50, 75, 95 %], synthetic: [...], ks}}, "auc",
    "auc_by_group": {group: AUC}, "auc_without": {group: AUC without it}, "real": count, "synthetic": count}.
    """
    from scipy.stats import ks_2samp

    a, b = summaries(real), summaries(synthetic)
    rows = {}
    for k, (name, (group, unit)) in enumerate(QUANTITIES.items()):
        x, y = (values[np.isfinite(values[:, k]), k] for values in (a, b))
        if len(x) and len(y):
            rows[name] = {"group": group, "unit": unit, "ks": float(ks_2samp(x, y).statistic),
                          "real": np.percentile(x, (5, 25, 50, 75, 95)).tolist(),
                          "synthetic": np.percentile(y, (5, 25, 50, 75, 95)).tolist()}  # fmt: skip
    groups = sorted({group for group, _ in QUANTITIES.values()})
    of = {g: [n for n, (group, _) in QUANTITIES.items() if group == g] for g in groups}
    rest = {g: [n for n, (group, _) in QUANTITIES.items() if group != g] for g in groups}
    return {"real": len(a), "synthetic": len(b), "auc": separability(a, b, seed=seed),
            "auc_by_group": {g: separability(a, b, seed=seed, columns=of[g]) for g in groups if by_group},
            "auc_without": {g: separability(a, b, seed=seed, columns=rest[g]) for g in groups if by_group},
            "quantities": rows}  # fmt: skip
