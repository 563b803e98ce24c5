"""Fits of the eight analytic models to the reference band: the param_* features.

Flux is divided by its largest measured value; an error of 1 % of that peak is added in quadrature, so that no fit hangs
on one bright point. Each model starts from the best of a grid of shapes (amplitude and baseline solved linearly),
then all are refined together (`least_squares`). Chi squared is per detection throughout:

    chi2_<model>, dchi2_<model>     of each model; over the best one
    best_model, pso_chi2            index in MODELS and chi squared of the best
    delta_chi2                      second best minus best
    mag_chi2                        of the best, in magnitudes
    bazin_rise_tau, bazin_decay_tau days, of the Bazin fit
    n_obs, n_bands_fit              usable detections in all bands; bands with enough of them for a fit

The original searches with a particle swarm and then a variational posterior (param_svi_*); here the search is
deterministic and there is no posterior: those six names stay missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .least_squares import least_squares
from .light_curve_models import MODELS, LightCurveModel
from .photometry import BandPhotometry, Photometry, magnitude

LEAST_POINTS = 4
FLOOR = 0.01  # of the peak flux
STARTS = 2
ITERATIONS = 12
_WIDTH = 6  # parameters of the largest model; shorter ones are padded


@dataclass(frozen=True)
class Scaled:
    """A band's fluxes divided by the largest, with the error floor; time in days."""

    time: np.ndarray
    flux: np.ndarray
    error: np.ndarray


def scaled(band: BandPhotometry) -> Scaled:
    return Scaled(band.time, band.flux / band.peak, np.hypot(band.flux_err / band.peak, FLOOR))


@dataclass(frozen=True)
class _Fitted:
    """One model as it is fitted, with `count` parameters; `amplitude` and `baseline` (None: none) are solved linearly.

    grid (J, width): parameters with amplitude 1, baseline 0 and t0 relative to the brightest detection.
    """

    model: LightCurveModel
    low: np.ndarray
    high: np.ndarray
    grid: np.ndarray
    count: int
    t0: int
    amplitude: int
    baseline: int | None

    def flux(self, time, parameters):
        """(..., n) of padded parameters (..., width)."""
        count = len(self.model.parameters)
        f = self.model.flux(time, parameters[..., :count])
        if (
            self.amplitude >= count
        ):  # a model whose peak is 1: the fit adds the amplitude behind its parameters
            f = f * np.exp(parameters[..., self.amplitude, None])
        return f

    def starts(self, data: Scaled, count: int) -> np.ndarray:
        """The `count` best parameters of the grid (count, width)."""
        grid = self.grid.copy()
        grid[:, self.t0] += data.time[np.argmax(data.flux)]
        shape = self.flux(data.time, grid)
        weight = data.error**-2.0
        ff, fy = shape**2 @ weight + 1e-12, shape @ (weight * data.flux)
        amplitude, baseline = fy / ff, np.zeros(len(grid))
        if self.baseline is not None:
            f1, y1, w1 = shape @ weight, weight @ data.flux, weight.sum()
            baseline = (y1 * ff - f1 * fy) / np.maximum(ff * w1 - f1**2, 1e-9 * ff * w1)
            baseline = np.clip(baseline, self.low[self.baseline], self.high[self.baseline])
            amplitude = (fy - baseline * f1) / ff
        limits = np.exp([self.low[self.amplitude], self.high[self.amplitude]])
        amplitude = np.clip(amplitude, *limits)
        residual = data.flux - amplitude[:, None] * shape - baseline[:, None]
        best = np.argsort(residual**2 @ weight, kind="stable")[:count]
        chosen = grid[best]
        chosen[:, self.amplitude] = np.log(amplitude[best])
        if self.baseline is not None:
            chosen[:, self.baseline] = baseline[best]
        return chosen


def _days(*days):
    return np.log(days)


# shapes to start from, by parameter, t0 after a function of the others: days from the brightest detection
_GRIDS = {
    "Bazin": [(tr, tf, o - np.exp(tr) * np.log(max(np.exp(tf - tr) - 1.0, 0.1)))
              for tr, tf, o in product(_days(1, 3, 8), _days(5, 12, 25, 60), (-6.0, 0.0, 8.0))],
    "Villar": list(product((0.0, 0.012), _days(4, 20, 70), (-3.0, -12.0), _days(2, 6), _days(8, 30))),
    "Tde": list(product((0.0, -6.0, -16.0), _days(1.5, 5, 15), _days(10, 40), (1.0, 5 / 3, 3.0))),
    "Arnett": [(-x * np.exp(td), td, f) for x, td, f in product((0.6, 1.0, 1.6), _days(4, 10, 25), (-2.0, 0.0, 2.0))],
    "Magnetar": [(-x * np.exp(td), ts, td)
                 for x, ts, td in product((0.5, 0.9, 1.5), _days(3, 15, 60), _days(4, 10, 25))],
    "ShockCooling": list(product((-0.2, -2.0, -8.0), (0.2, 0.6, 1.2), _days(5, 20, 70))),
    "Afterglow": [(-x * np.exp(tb), tb, a1, a2)
                  for x, tb, a1, a2 in product((0.3, 1.0, 1.8), _days(4, 15), (-1.0, 0.5), (1.2, 2.5))],
    "MetzgerKN": [(m, -1.0, k, -x * 4.3 * 10 ** (0.5 * (m + k + 1.52)))
                  for m, k, x in product((-2.5, -1.2), (0.0, 1.4), (0.5, 1.0, 1.8))],
}  # fmt: skip
_GRID_COLUMNS = {
    "Bazin": ("ln_rise", "ln_fall", "t0"), "Villar": ("beta", "ln_gamma", "t0", "ln_rise", "ln_fall"),
    "Tde": ("t0", "ln_rise", "ln_fall", "alpha"), "Arnett": ("t0", "ln_diffusion", "logit_nickel"),
    "Magnetar": ("t0", "ln_spin_down", "ln_diffusion"), "ShockCooling": ("t0", "n", "ln_transparency"),
    "Afterglow": ("t0", "ln_break", "alpha1", "alpha2"),
    "MetzgerKN": ("log10_mass", "log10_velocity", "log10_opacity", "t0"),
}  # fmt: skip


def _fitted(model: LightCurveModel) -> _Fitted:
    names = (*model.parameters, *(() if "ln_amplitude" in model.parameters else ("ln_amplitude",)))
    padding = (0.0,) * (_WIDTH - len(names))
    extra = len(names) - len(model.parameters)
    grid = np.zeros((len(_GRIDS[model.name]), _WIDTH))
    for column, values in zip(_GRID_COLUMNS[model.name], np.array(_GRIDS[model.name]).T, strict=True):
        grid[:, names.index(column)] = values
    return _Fitted(
        model, np.array((*model.low, *(-3.0,) * extra, *(x - 1.0 for x in padding))),
        np.array((*model.high, *(3.0,) * extra, *(x + 1.0 for x in padding))), grid, len(names), names.index("t0"),
        names.index("ln_amplitude"), names.index("baseline") if "baseline" in names else None,
    )  # fmt: skip


_FITTED = tuple(_fitted(model) for model in MODELS.values())
_LOW = np.repeat([fitted.low for fitted in _FITTED], STARTS, 0)
_HIGH = np.repeat([fitted.high for fitted in _FITTED], STARTS, 0)
_T0 = np.repeat([np.eye(_WIDTH)[fitted.t0] for fitted in _FITTED], STARTS, 0)


def fit_models(data: Scaled) -> tuple[np.ndarray, np.ndarray]:
    """Best parameters (8, 6), padded, and chi squared (8,) of each model, in the order of MODELS."""

    def flux(parameters):  # (8 * STARTS, E, 6) -> (8 * STARTS, E, n)
        values = np.empty((*parameters.shape[:-1], len(data.time)))
        for k, fitted in enumerate(_FITTED):
            rows = slice(k * STARTS, (k + 1) * STARTS)
            moved = 1 + fitted.count  # the rows after these move padding only
            values[rows, :moved] = fitted.flux(data.time, parameters[rows, :moved])
            values[rows, moved:] = values[rows, :1]
        return values

    starts = np.concatenate([fitted.starts(data, STARTS) for fitted in _FITTED])
    shift = data.time[np.argmax(data.flux)] * _T0  # the bounds of t0 count from the brightest detection
    parameters, chi2 = least_squares(
        flux, starts, _LOW + shift, _HIGH + shift, data.flux, data.error, iterations=ITERATIONS
    )
    chi2 = chi2.reshape(-1, STARTS)
    best = chi2.argmin(1)
    row = np.arange(len(_FITTED))
    return parameters.reshape(-1, STARTS, _WIDTH)[row, best], chi2[row, best]


def parametric_features(photometry: Photometry) -> tuple[dict[str, float], np.ndarray | None]:
    """The param_* features, and the Bazin parameters (5,) of the reference band in scaled flux (None: no fit)."""
    values = {
        "param_n_obs": float(sum(len(band) for band in photometry.bands)),
        "param_n_bands_fit": float(sum(band.epochs >= LEAST_POINTS for band in photometry.bands)),
    }
    if photometry.reference is None or photometry.bands[photometry.reference].epochs < LEAST_POINTS:
        return values, None
    band = photometry.bands[photometry.reference]
    data = scaled(band)
    parameters, chi2 = fit_models(data)
    chi2 = chi2 / len(band)
    best = int(chi2.argmin())
    ordered = np.sort(chi2)
    model_flux = np.maximum(_FITTED[best].flux(data.time, parameters[best]), 1e-3) * band.peak
    mag_error = np.hypot(band.mag_err, FLOOR)
    values |= {
        "param_best_model": float(best),
        "param_pso_chi2": ordered[0],
        "param_delta_chi2": ordered[1] - ordered[0],
        "param_mag_chi2": (((band.mag - magnitude(model_flux)) / mag_error) ** 2).mean(),
        "param_bazin_rise_tau": np.exp(parameters[0, 3]),
        "param_bazin_decay_tau": np.exp(parameters[0, 4]),
    }
    for k, fitted in enumerate(_FITTED):
        values[f"param_chi2_{fitted.model.key}"] = chi2[k]
        values[f"param_dchi2_{fitted.model.key}"] = chi2[k] - ordered[0]
    return values, parameters[0, :5]
