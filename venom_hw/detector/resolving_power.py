"""Resolving power R = E / FWHM, from kernel density estimates and from the rms error."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .adaptive_width import AdaptiveLine, robust_sigma

FWHM_PER_SIGMA = float(2.0 * np.sqrt(2.0 * np.log(2.0)))  # 2.3548
_BINS_PER_BANDWIDTH = 8


def adaptive_fwhm(values) -> float:
    """Full width at half maximum of the locally adaptive kernel density (`adaptive_width`), in the values' unit.

    NaN for fewer than 10 values or values without spread; ValueError for values that are not (N,) finite.
    """
    return AdaptiveLine(values).fwhm()


def kde_fwhm(values) -> float:
    """Full width at half maximum of a Gaussian kernel density estimate, the kernel's own width taken out in quadrature.

    Scott's bandwidth, sigma N^-1/5, with the smaller of the robust and the plain sigma; evaluated on a histogram of
    eight bins a bandwidth. For Gaussian values the result is unbiased within 4 % at 200 values and 2 % at 1,000.
    NaN for fewer than 10 values or values without spread.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape}, finite: {np.isfinite(values).all()}; expected (N,) finite")
    if len(values) < 10:
        return float("nan")
    sigma = min(s for s in (robust_sigma(values), float(values.std()), np.inf) if s > 0)
    if not np.isfinite(sigma):
        return float("nan")
    bandwidth = sigma * len(values) ** -0.2
    step = bandwidth / _BINS_PER_BANDWIDTH
    middle = np.median(values)
    half = min(np.abs(values - middle).max(), 8 * sigma) + 5 * bandwidth
    bins = 2 * int(np.ceil(half / step)) + 1
    counts, edges = np.histogram(values, bins, (middle - step * bins / 2, middle + step * bins / 2))
    density = gaussian_filter1d(counts.astype(float), bandwidth / step, mode="constant", truncate=5.0)
    peak = int(np.argmax(density))
    level = density[peak] / 2
    right = peak + int(np.argmax(density[peak:] < level))
    left = peak - int(np.argmax(density[peak::-1] < level))
    upper = right - (level - density[right]) / (density[right - 1] - density[right])
    lower = left + (level - density[left]) / (density[left + 1] - density[left])
    width = (upper - lower) * step
    return float(np.sqrt(max(width**2 - (FWHM_PER_SIGMA * bandwidth) ** 2, 0.0)))


def compute_resolving_power(values, energy: float, adaptive: bool = True) -> float:
    """R = E / FWHM of estimates `values` (N,) in eV of photons that all have `energy` eV (mkidcalculator's convention).

    `adaptive`: width of the locally adaptive kernel density (Shimazaki and Shinomoto 2010), as mkidcalculator does,
    else of a fixed kernel of Scott's bandwidth, its own width taken out: faster, and the cross-check. For Gaussian
    values both scatter by 6 % at 1,000 values (13 % at 200, 3 % at 4,000).
    Feed it energies, not filter responses: with a non-linear detector the two differ widely.
    """
    width = adaptive_fwhm(values) if adaptive else kde_fwhm(values)
    return float("nan") if not width > 0 else float(energy / width)


def scott_resolving_power(values, energy: float) -> float:
    """R = E / FWHM of a fixed-bandwidth kernel density (`kde_fwhm`)."""
    return compute_resolving_power(values, energy, adaptive=False)


def gaussian_resolving_power(values, energy: float) -> float:
    """R = E / (2.355 rms error); a bias of the line counts as error."""
    rms = float(np.sqrt(np.mean((np.asarray(values, float) - energy) ** 2)))
    return float("inf") if rms == 0 else float(energy / (FWHM_PER_SIGMA * rms))


def summarize_resolving_power(pred, true, wl_ids) -> dict:
    """Gaussian R of each line: {"per_line": {wl_id: R}, "mean": over the lines without the two edge ones (if there are
    three or more), "mean_all": over all}. pred, true (N,) in eV."""
    pred, true, wl_ids = np.asarray(pred), np.asarray(true), np.asarray(wl_ids)
    lines = np.unique(wl_ids)
    per_line = {int(k): gaussian_resolving_power(pred[wl_ids == k], float(true[wl_ids == k][0])) for k in lines}
    by_energy = [k for _, k in sorted((float(true[wl_ids == k][0]), int(k)) for k in lines)]
    inner = by_energy[1:-1] if len(by_energy) >= 3 else by_energy
    return {"per_line": per_line, "mean": float(np.mean([per_line[k] for k in inner])),
            "mean_all": float(np.mean(list(per_line.values())))}
