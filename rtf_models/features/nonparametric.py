"""Shape of the light curve from Gaussian processes, no model of the event: the np_* features.

One process a band (`band_curve`), in flux over its largest measured value (one unit). Unless said otherwise a feature
is of the reference band: the one with the most detections. Days, magnitudes; "now" is its last detection so far.

    t0, peak_mag              time of the peak after the source's first detection; its magnitude
    rise_time                 first detection of the band to peak
    rise_halfmax, rise_efold  from 1/2, 1/e of the peak flux to it; decay_* likewise; fwhm = both halves
    rise_rate, decay_rate     mean slope before, after the peak, mag/day; near_peak_*: within 10 days of it
    dm15                      magnitudes faded 15 days after the peak
    chi2, baseline_chi2       per detection: of the process; of a constant
    gp_dfdt_now, _next        slope of the flux now, one day later, units/day; gp_d2fdt2_now: its change
    gp_predicted_mag_1d, _2d  magnitude one, two days from now; gp_extrap_slope: mean mag/day over those two
    gp_time_to_peak           peak - now (0 or less: the peak so far)
    gp_sigma_f                posterior error of the flux now; gp_post_var_mean, _max: variance on the grid
    gp_peak_to_peak, gp_snr_max, gp_dfdt_max, _min, gp_frac_of_peak (now), gp_skewness, gp_kurtosis (excess),
    gp_n_inflections, n_local_maxima (interior)        of the curve on its 50 times
    decay_power_law_index, _chi2   line through log flux against log days since the peak, detections after it;
                              chi squared per detection
    von_neumann_ratio, post_peak_monotonicity, rise_amplitude_over_noise: see `BandCurve`
    pre_peak_rms              scatter of the detections before the peak about the curve
    gp_fit_amp, gp_fit_lengthscale   chosen variance and length scale
    n_det, n_upper_limits     detections with S/N of at least 3; those below
    mag_at_30d.., delta_mag_30d..    magnitude 30, 60, 90 days after the peak; minus the peak's
    decay_deceleration        slope of the first half of the decay minus that of the second
    peak_color_g_r, color_g_r_30d..  g - r at the reference band's peak, and later
    peak_time_offset_g_r      peak of g minus peak of r; color_evolution_rate: slope of g - r after the peak
    von_neumann_mean, monotonicity_mean, rise_significance_max, n_bands_fit   over the bands with a curve

A day that was not observed yet (the grid ends now) gives NaN, never an extrapolation, but for the predictions.
"""

from __future__ import annotations

import numpy as np

from .band_curve import DM15_DAYS, NEAR_PEAK_DAYS, BandCurve, fit_band_curve
from .photometry import Photometry

_LATER_DAYS = (30, 60, 90)
_COLOUR_TIMES = 10


def nonparametric_features(photometry: Photometry, curves: tuple[BandCurve | None, ...]) -> dict[str, float]:
    """The np_* features that these detections define; `curves` one a band, from `band_curves`."""
    if photometry.reference is None:
        return {}
    band = photometry.bands[photometry.reference]
    values = {
        "np_n_det": float(len(band)),
        "np_n_upper_limits": float(band.faint),
        "np_n_bands_fit": float(sum(curve is not None for curve in curves)),
        "np_peak_mag": float(band.mag.min()),  # of the curve, where there is one
    }
    curve = curves[photometry.reference]
    if curve is None:
        return values
    for family in (_peak, _rise_and_decay, _now, _statistics, _power_law, _later):
        values |= {f"np_{name}": value for name, value in family(curve).items()}
    fitted = [c for c in curves if c is not None]
    values["np_von_neumann_mean"] = _mean([c.von_neumann for c in fitted])
    values["np_monotonicity_mean"] = _mean([c.monotonicity for c in fitted])
    values["np_rise_significance_max"] = max(c.rise_over_noise for c in fitted)
    if curves[0] is not None and curves[1] is not None:
        values |= _colours(curves[0], curves[1], curve.peak_time)
    return values


def band_curves(photometry: Photometry) -> tuple[BandCurve | None, ...]:
    """The smooth curve of each band (None: too few detections)."""
    return tuple(fit_band_curve(band) for band in photometry.bands)


def _mean(values: list[float]) -> float:
    values = [v for v in values if np.isfinite(v)]
    return sum(values) / len(values) if values else np.nan


def _peak(curve: BandCurve) -> dict[str, float]:
    band = curve.band
    fitted, _ = curve.process.predict(band.time)
    flux, error = band.flux / band.peak, band.flux_err / band.peak
    constant = np.average(flux, weights=error**-2.0)
    before = band.time < curve.peak_time
    return {
        "t0": curve.peak_time,
        "peak_mag": float(curve.mag[curve.at_peak]),
        "chi2": (((flux - fitted) / error) ** 2).mean(),
        "baseline_chi2": (((flux - constant) / error) ** 2).mean(),
        "pre_peak_rms": np.sqrt(((flux - fitted)[before] ** 2).mean()) if before.any() else np.nan,
        "gp_fit_amp": curve.process.amplitude,
        "gp_fit_lengthscale": float(curve.process.scale[0]),
        "von_neumann_ratio": curve.von_neumann,
    }


def _rise_and_decay(curve: BandCurve) -> dict[str, float]:
    peak, begin, end = curve.peak_time, curve.grid[0], curve.grid[-1]
    half_rise, half_decay = curve.rise_from(0.5), curve.decay_to(0.5)
    middle = 0.5 * (peak + end)
    return {
        "rise_time": peak - begin,
        "rise_halfmax": half_rise,
        "rise_efold": curve.rise_from(np.exp(-1)),
        "decay_halfmax": half_decay,
        "decay_efold": curve.decay_to(np.exp(-1)),
        "fwhm": half_rise + half_decay,
        "rise_rate": curve.slope(begin, peak),
        "decay_rate": curve.slope(peak, end),
        "near_peak_rise_rate": curve.slope(max(begin, peak - NEAR_PEAK_DAYS), peak),
        "near_peak_decay_rate": curve.slope(peak, min(end, peak + NEAR_PEAK_DAYS)),
        "decay_deceleration": curve.slope(peak, middle) - curve.slope(middle, end),
        "dm15": curve.mag_at(peak + DM15_DAYS) - curve.mag[curve.at_peak],
        "rise_amplitude_over_noise": curve.rise_over_noise,
        "post_peak_monotonicity": curve.monotonicity,
    }


def _now(curve: BandCurve) -> dict[str, float]:
    now = curve.grid[-1] + np.arange(3.0)
    flux, _ = curve.process.predict(now)
    first, second = curve.process.derivatives(now[:2])
    mag = curve.magnitude(flux)
    return {
        "gp_dfdt_now": first[0],
        "gp_dfdt_next": first[1],
        "gp_d2fdt2_now": second[0],
        "gp_predicted_mag_1d": mag[1],
        "gp_predicted_mag_2d": mag[2],
        "gp_extrap_slope": 0.5 * (mag[2] - mag[0]),
        "gp_time_to_peak": curve.peak_time - now[0],
        "gp_sigma_f": np.sqrt(curve.variance[-1]),
        "gp_frac_of_peak": curve.flux[-1] / curve.peak_flux,
    }


def _statistics(curve: BandCurve) -> dict[str, float]:
    first, second = curve.process.derivatives(curve.grid)
    step = np.diff(curve.flux)
    deviation = curve.flux - curve.flux.mean()
    spread = np.sqrt((deviation**2).mean())
    moments = deviation / spread if spread > 0 else deviation * np.nan
    return {
        "gp_peak_to_peak": np.ptp(curve.flux),
        "gp_snr_max": (curve.flux / np.sqrt(curve.variance + 1e-8)).max(),
        "gp_dfdt_max": first.max(),
        "gp_dfdt_min": first.min(),
        "gp_post_var_mean": curve.variance.mean(),
        "gp_post_var_max": curve.variance.max(),
        "gp_skewness": (moments**3).mean(),
        "gp_kurtosis": (moments**4).mean() - 3.0,
        "gp_n_inflections": float((np.diff(np.signbit(second)) != 0).sum()),
        "n_local_maxima": float(((step[:-1] > 0) & (step[1:] <= 0)).sum()),
    }


def _power_law(curve: BandCurve) -> dict[str, float]:
    band = curve.band
    after = band.time > curve.peak_time + 0.5
    if len(np.unique(band.time[after])) < 3:
        return {}
    x = np.log(band.time[after] - curve.peak_time)
    y, error = np.log(band.flux[after] / band.peak), np.hypot(band.flux_err[after] / band.flux[after], 0.01)
    weight = error**-2.0
    x = x - np.average(x, weights=weight)
    index = (weight * x) @ y / ((weight * x) @ x)
    line = np.average(y, weights=weight) + index * x
    return {"decay_power_law_index": -index, "decay_power_law_chi2": (((y - line) / error) ** 2).mean()}


def _later(curve: BandCurve) -> dict[str, float]:
    mags = {days: curve.mag_at(curve.peak_time + days) for days in _LATER_DAYS}
    peak = curve.mag[curve.at_peak]
    return {f"mag_at_{days}d": mag for days, mag in mags.items()} | {
        f"delta_mag_{days}d": mag - peak for days, mag in mags.items()
    }


def _colours(g: BandCurve, r: BandCurve, peak: float) -> dict[str, float]:
    values = {
        "np_peak_time_offset_g_r": g.peak_time - r.peak_time,
        "np_peak_color_g_r": g.mag_at(peak) - r.mag_at(peak),
    }
    for days in _LATER_DAYS:
        values[f"np_color_g_r_{days}d"] = g.mag_at(peak + days) - r.mag_at(peak + days)
    end = min(g.grid[-1], r.grid[-1])
    begin = max(peak, g.grid[0], r.grid[0])
    if end - begin > 1.0:
        t = np.linspace(begin, end, _COLOUR_TIMES)
        colour = g.magnitude(np.interp(t, g.grid, g.flux)) - r.magnitude(np.interp(t, r.grid, r.flux))
        known = np.isfinite(colour)
        if known.sum() >= 3:
            x = t[known] - t[known].mean()
            values["np_color_evolution_rate"] = x @ colour[known] / (x @ x)
    return values
