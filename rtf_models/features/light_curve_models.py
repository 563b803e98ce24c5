"""The eight analytic light-curve models of RTF: flux against time, one parameter vector each.

Written after the formulas of the system's description. Time is in days on any zero point (t0 is on the same one);
flux is in whatever unit the amplitude has (the fits use flux divided by its peak). Parameters that must be positive
are natural logarithms unless the name says log10. The parameter vectors of published fits carry one number more, the
log of an extra scatter: it may be given, and does not enter the flux.

    f = MODELS["Bazin"].flux(time, parameters)          # parameters (..., P) or (..., P + 1) -> f (..., time points)

References: Bazin et al. 2009; Villar et al. 2019; Arnett 1982; Kasen & Bildsten 2010; Nakar & Sari 2010;
Beuermann et al. 1999 (broken power law); Metzger 2019 (one-zone kilonova).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .kilonova import kilonova_flux

_LARGEST_EXPONENT = 60.0
_NICKEL_DAYS, _COBALT_DAYS = 8.8, 111.3


@dataclass(frozen=True)
class LightCurveModel:
    """One analytic model.

    `parameters`: names in order, without the trailing log extra scatter; `low`, `high`: search bounds for a light
    curve whose flux is divided by its peak, days counted from near the peak or the first detection; `shape` maps
    (time (n,), parameter columns (..., 1) each) to flux (..., n).
    """

    name: str
    parameters: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: Callable[..., np.ndarray]

    @property
    def key(self) -> str:
        """The model's name in feature names: lower case, words joined by underscores."""
        return "".join(f"_{c.lower()}" if c.isupper() and k and not self.name[k - 1].isupper() else c.lower()
                       for k, c in enumerate(self.name))  # fmt: skip

    def flux(self, time, parameters) -> np.ndarray:
        """Flux (..., n) at `time` (n,) days for `parameters` (..., P) or, scatter appended, (..., P + 1).

        Raises:
            ValueError: another number of parameters.
        """
        parameters = np.asarray(parameters, np.float64)
        count = len(self.parameters)
        if parameters.ndim == 0 or parameters.shape[-1] not in (count, count + 1):
            found = parameters.shape[-1] if parameters.ndim else 0
            raise ValueError(
                f"{self.name} takes {count} parameters ({', '.join(self.parameters)}) and optionally the log extra "
                f"scatter, not {found}"
            )
        return self.shape(np.asarray(time, np.float64), *(parameters[..., k, None] for k in range(count)))


def softplus(x):
    """ln(1 + e^x) + 1e-6: a phase that is positive and smooth at the start of the event."""
    return np.logaddexp(0.0, x) + 1e-6


def _exp(x):
    return np.exp(
        np.minimum(np.maximum(x, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
    )  # np.clip takes three times as long


def bazin(time, log_amplitude, baseline, t0, log_rise, log_fall):
    """A e^(-phase / fall) / (1 + e^(-phase / rise)) + B."""
    phase = time - t0
    return (
        _exp(log_amplitude - phase / _exp(log_fall) - np.logaddexp(0.0, -phase / _exp(log_rise))) + baseline
    )


def villar(time, log_amplitude, beta, log_gamma, t0, log_rise, log_fall):
    """Rise, then a straight plateau of length gamma days and slope -beta, then an exponential fall."""
    phase, gamma = time - t0, _exp(log_gamma)
    plateau = 1.0 - beta * phase
    fall = (1.0 - beta * gamma) * _exp((gamma - phase) / _exp(log_fall))
    late = expit(10.0 * (phase - gamma))
    # before the plateau's end `fall` may be huge and has no weight: kept out, so that 0 * huge does not appear
    blend = (1.0 - late) * plateau + np.where(late > 0.0, late * np.where(late > 1e-12, fall, 0.0), 0.0)
    return _exp(log_amplitude) * expit(phase / _exp(log_rise)) * blend


def tde(time, log_amplitude, baseline, t0, log_rise, log_fall, alpha):
    """Logistic rise, power-law fall (1 + s / fall)^-alpha (tidal disruption: alpha near 5/3)."""
    phase = time - t0
    return (
        _exp(log_amplitude - alpha * np.log1p(softplus(phase) / _exp(log_fall)))
        * expit(phase / _exp(log_rise))
        + baseline
    )


def arnett(time, log_amplitude, t0, log_diffusion, logit_nickel):
    """Decay of nickel and cobalt behind a diffusion time."""
    s, nickel = softplus(time - t0), expit(logit_nickel)
    heating = nickel * np.exp(-s / _NICKEL_DAYS) + (1.0 - nickel) * np.exp(-s / _COBALT_DAYS)
    return _exp(log_amplitude) * heating * -np.expm1(-_squared(s, log_diffusion))


def magnetar(time, log_amplitude, t0, log_spin_down, log_diffusion):
    """Spin-down of a magnetar behind a diffusion time."""
    s = softplus(time - t0)
    return (
        _exp(log_amplitude) * (1.0 + s / _exp(log_spin_down)) ** -2 * -np.expm1(-_squared(s, log_diffusion))
    )


def shock_cooling(time, log_amplitude, t0, n, log_transparency):
    """s^-n that ends when the envelope becomes transparent; a sharp logistic start."""
    phase = time - t0
    s = softplus(phase)
    return _exp(log_amplitude - n * np.log(s) - _squared(s, log_transparency)) * expit(5.0 * phase)


def afterglow(time, log_amplitude, t0, log_break, alpha1, alpha2):
    """Smoothly broken power law of slopes -alpha1 and -alpha2."""
    s = np.log(softplus(time - t0)) - log_break
    return _exp(log_amplitude - 0.5 * np.logaddexp(2.0 * alpha1 * s, 2.0 * alpha2 * s))


def _squared(s, log_scale):
    return np.minimum((s / _exp(log_scale)) ** 2, 700.0)


_MODELS = (
    LightCurveModel("Bazin", ("ln_amplitude", "baseline", "t0", "ln_rise", "ln_fall"),
                    (-3.0, -0.3, -100.0, -2.0, -2.0), (3.0, 0.3, 100.0, 5.0, 6.0), bazin),
    LightCurveModel("Villar", ("ln_amplitude", "beta", "ln_gamma", "t0", "ln_rise", "ln_fall"),
                    (-3.0, -0.01, -2.0, -100.0, -2.0, -2.0), (3.0, 0.05, 5.0, 100.0, 5.0, 6.0), villar),
    LightCurveModel("Tde", ("ln_amplitude", "baseline", "t0", "ln_rise", "ln_fall", "alpha"),
                    (-3.0, -0.3, -100.0, -2.0, -1.0, 0.2), (3.0, 0.3, 100.0, 5.0, 6.0, 4.0), tde),
    LightCurveModel("Arnett", ("ln_amplitude", "t0", "ln_diffusion", "logit_nickel"),
                    (-3.0, -100.0, 0.0, -5.0), (5.0, 100.0, 5.0, 5.0), arnett),
    LightCurveModel("Magnetar", ("ln_amplitude", "t0", "ln_spin_down", "ln_diffusion"),
                    (-3.0, -100.0, -1.0, 0.0), (7.0, 100.0, 6.0, 5.0), magnetar),
    LightCurveModel("ShockCooling", ("ln_amplitude", "t0", "n", "ln_transparency"),
                    (-5.0, -100.0, 0.0, -1.0), (5.0, 100.0, 3.0, 6.0), shock_cooling),
    LightCurveModel("Afterglow", ("ln_amplitude", "t0", "ln_break", "alpha1", "alpha2"),
                    (-7.0, -100.0, -2.0, -2.0, 0.3), (5.0, 100.0, 6.0, 1.5, 4.0), afterglow),
    LightCurveModel("MetzgerKN", ("log10_mass", "log10_velocity", "log10_opacity", "t0"),
                    (-3.0, -2.0, -1.0, -100.0), (-0.5, -0.3, 2.0, 100.0), kilonova_flux),
)  # fmt: skip

MODELS: dict[str, LightCurveModel] = {model.name: model for model in _MODELS}
"""The eight models by name, in the order of the feature `param_best_model`."""
