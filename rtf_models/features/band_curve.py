"""The smooth light curve of one band, by a Gaussian process, and its shape: peak, rise, decay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import gaussian_process
from .gaussian_process import GaussianProcess
from .photometry import BandPhotometry

LEAST_EPOCHS = 2
GRID_POINTS = 50
AMPLITUDES = (0.1, 0.3)  # prior variances, of flux divided by its peak
DIVISORS = (6.0, 12.0, 24.0)  # of the duration: the length scales
NEAR_PEAK_DAYS = 10.0
DM15_DAYS = 15.0
_DARK = 1e-3  # of the peak: fluxes below have no magnitude


@dataclass(frozen=True)
class BandCurve:
    """Posterior of one band's flux, in units of its largest measured flux, on 50 times over its span.

    grid (50,) days since the source's first detection; flux, variance (50,) there.
    """

    band: BandPhotometry
    process: GaussianProcess
    grid: np.ndarray
    flux: np.ndarray
    variance: np.ndarray

    @cached_property
    def at_peak(self) -> int:
        return int(self.flux.argmax())

    @cached_property
    def peak_time(self) -> float:
        return float(self.grid[self.at_peak])

    @cached_property
    def peak_flux(self) -> float:
        return float(self.flux[self.at_peak])

    @cached_property
    def noise(self) -> float:
        """Median error of a detection, in the units of `flux`."""
        return float(np.median(self.band.flux_err)) / self.band.peak

    @cached_property
    def mag(self) -> np.ndarray:
        """(50,) AB magnitudes on the grid."""
        return self.magnitude(self.flux)

    def magnitude(self, flux):
        """AB magnitude of a flux in the units of this curve, NaN below a thousandth of the peak."""
        flux = np.asarray(flux, np.float64)
        return 23.9 - 2.5 * np.log10(np.where(flux > _DARK, flux, np.nan) * self.band.peak)

    def mag_at(self, time: float) -> float:
        """Magnitude at a time inside the span, by interpolation of the grid; NaN outside."""
        if not self.grid[0] <= time <= self.grid[-1]:
            return np.nan
        return float(self.magnitude(np.interp(time, self.grid, self.flux)))

    def rise_from(self, fraction: float) -> float:
        """Days from the last crossing of `fraction` of the peak before it to the peak; NaN if never so faint."""
        before = self.flux[: self.at_peak + 1]
        low = np.flatnonzero(before < fraction * self.peak_flux)
        return self.peak_time - self._crossing(low[-1], fraction) if len(low) else np.nan

    def decay_to(self, fraction: float) -> float:
        """Days from the peak to the first crossing of `fraction` of it afterwards; NaN if never so faint."""
        low = np.flatnonzero(self.flux[self.at_peak :] < fraction * self.peak_flux)
        return self._crossing(self.at_peak + low[0] - 1, fraction) - self.peak_time if len(low) else np.nan

    def _crossing(self, k: int, fraction: float) -> float:
        """Time at which the flux passes the fraction of the peak between grid points k and k + 1."""
        f0, f1 = self.flux[k], self.flux[k + 1]
        return self.grid[k] + (self.grid[k + 1] - self.grid[k]) * (fraction * self.peak_flux - f0) / (f1 - f0)

    def slope(self, begin: float, end: float) -> float:
        """Mean magnitudes a day over a stretch of the grid (least squares); NaN with fewer than 3 points on it."""
        on = (self.grid >= begin - 1e-9) & (self.grid <= end + 1e-9) & np.isfinite(self.mag)
        if on.sum() < 3:
            return np.nan
        t = self.grid[on] - self.grid[on].mean()
        return float(t @ self.mag[on] / (t @ t))

    @cached_property
    def von_neumann(self) -> float:
        """Mean square of successive differences of the measured fluxes over their variance."""
        flux = self.band.flux / self.band.peak
        spread = flux.var(ddof=1)
        return float((np.diff(flux) ** 2).mean() / spread) if spread > 0 else np.nan

    @cached_property
    def rise_over_noise(self) -> float:
        """(peak - first flux of the curve) / median error."""
        return (self.peak_flux - float(self.flux[0])) / self.noise

    @cached_property
    def monotonicity(self) -> float:
        """Part of the grid steps after the peak on which the flux falls; NaN when the peak is the last point."""
        after = np.diff(self.flux[self.at_peak :])
        return float((after < 0).mean()) if len(after) else np.nan


def fit_band_curve(band: BandPhotometry) -> BandCurve | None:
    """The smooth curve of a band; None with fewer than two different times.

    Length scales: duration / 6, 12, 24, none shorter than max(2 * median gap, 0.1 day). The original chooses by the
    smallest training RMS, which is nearly always the wiggliest curve of the grid: twice the inflections
    on real light curves, and features that tell classes apart less well than those of the marginal likelihood.
    """
    if band.epochs < LEAST_EPOCHS:
        return None
    begin, end = float(band.time[0]), float(band.time[-1])
    gaps = np.diff(band.time)
    floor = max(2.0 * float(np.median(gaps)), 0.1)
    scales = sorted({max((end - begin) / divisor, floor) for divisor in DIVISORS})
    amplitudes = np.repeat(AMPLITUDES, len(scales))
    process = gaussian_process.fit(
        band.time, band.flux / band.peak, (band.flux_err / band.peak) ** 2, amplitudes,
        np.tile(scales, len(AMPLITUDES)),
    )  # fmt: skip
    grid = np.linspace(begin, end, GRID_POINTS)
    flux, variance = process.predict(grid)
    return BandCurve(band, process, grid, flux, variance)
