"""The true light curve of one transient: magnitudes in g, r, i at any time, no survey yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.light_curve_models import MODELS
from .colour import WAVELENGTHS, dust, k_correction, share_of_r, temperature_of_colour
from .cosmology import distance_modulus
from .population import Normal, Population

PHASES = np.concatenate(
    [np.arange(-60.0, -6.0, 0.25), np.arange(-6.0, 12.0, 0.02), np.arange(12.0, 400.0, 0.25)]
)
GALACTIC_AV = 0.06  # mag, mean over the survey's sky
FAINTEST_SHARE = 1e-4  # of the peak: where a light curve begins and ends


@dataclass(frozen=True)
class Transient:
    """A transient somewhere: everything that its light curve needs.

    Attributes:
        population; shape: the model's parameters by name; companion_shape, companion_ratio: of a second model.
        peak: absolute magnitude in r; z, modulus: distance; host_av, galactic_av: dust, mag in V.
        colour_offset: mag, added to the class's g - r.
    """

    population: Population
    shape: dict[str, float]
    peak: float
    z: float
    modulus: float
    host_av: float
    galactic_av: float
    colour_offset: float
    companion_shape: dict[str, float] | None = None
    companion_ratio: float = 0.0

    def flux(self, phase: np.ndarray) -> np.ndarray:
        """The model (flux in r, or bolometric) at rest-frame days from t0, 1 at its maximum, never negative."""
        return self._raw(np.asarray(phase, float)) / self._scale[0]

    @property
    def peak_phase(self) -> float:
        """Rest-frame days from t0 to the maximum."""
        return self._scale[1]

    @property
    def _scale(self) -> tuple[float, float]:
        if "scale" not in self.__dict__:
            flux = self._raw(PHASES)
            top = int(np.argmax(flux))
            self.__dict__["scale"] = max(float(flux[top]), 1e-300), float(PHASES[top])
        return self.__dict__["scale"]

    def _raw(self, phase):
        flux = _model_flux(self.population.model, self.shape, phase)
        if self.companion_shape is not None:
            second = self.population.companion[0]
            first_top = _model_flux(self.population.model, self.shape, PHASES).max()
            top = _model_flux(second, self.companion_shape, PHASES).max()
            flux = (
                flux / first_top
                + self.companion_ratio * _model_flux(second, self.companion_shape, phase) / top
            )
        if self.population.onset:
            flux = np.where(phase >= 0, flux, 0.0)
        return np.maximum(flux, 0.0)

    def lifetime(self) -> tuple[float, float]:
        """Observed days from t0 between which the flux is above 1e-4 of its peak, at most 60 before to 400 after."""
        bright = np.flatnonzero(self.flux(PHASES) > FAINTEST_SHARE)
        return tuple(float(PHASES[k]) * (1 + self.z) for k in (bright[0], bright[-1]))

    def magnitude(self, days: np.ndarray, band: np.ndarray) -> np.ndarray:
        """AB magnitude at observed days from t0 in each band (ids 0 g, 1 r, 2 i); inf where there is no flux."""
        phase = np.asarray(days, float) / (1 + self.z)
        with np.errstate(divide="ignore"):
            shape = -2.5 * np.log10(self.flux(phase))
        return self.peak + self.modulus + shape + self._colour(phase - self.peak_phase, band)

    def brightest_r(self) -> float:
        """r magnitude at the maximum."""
        return float(self.peak + self.modulus + self._colour(np.zeros(1), np.ones(1, np.int64))[0])

    def _colour(self, phase, band):
        """Dust, colour and K correction."""
        index = self.population.spectral_index
        if index is None:
            temperature = temperature_of_colour(self.population.colour_at(phase) + self.colour_offset)
            spectrum = k_correction(temperature, band, self.z)
            if self.population.bolometric:
                at_peak = temperature_of_colour(self.population.colour_at(np.zeros(1)) + self.colour_offset)
                spectrum = spectrum + share_of_r(temperature) - share_of_r(at_peak)
        else:  # f_nu ~ nu^-index: redder bands are brighter
            longer = WAVELENGTHS[band] / (1 + self.z) / WAVELENGTHS[1]
            tilt = index + self.colour_offset / (2.5 * np.log10(WAVELENGTHS[1] / WAVELENGTHS[0]))
            spectrum = -2.5 * np.log10((1 + self.z) * longer**tilt)
        return spectrum + dust(band, self.z, self.host_av, self.galactic_av)


def _model_flux(model: str, shape: dict[str, float], phase: np.ndarray) -> np.ndarray:
    """A model with amplitude 1, no baseline and t0 = 0."""
    return MODELS[model].flux(phase, [shape.get(name, 0.0) for name in MODELS[model].parameters])


def draw(
    population: Population,
    rng: np.random.Generator,
    z: float | None,
    peak: float | None = None,
    shape: dict[str, Normal] | None = None,
) -> Transient:
    """A transient of a population at redshift z (None: the population's fixed distance).

    `peak`: absolute magnitude if already drawn; `shape`: distributions to use instead of the population's (a prior
    from fits).
    """
    shape = population.shape if shape is None else shape
    companion, ratio = None, 0.0
    values = {name: prior.sample(rng) for name, prior in shape.items()}
    if population.companion is not None:
        companion = {name: prior.sample(rng) for name, prior in population.companion[1].items()}
        ratio = float(np.exp(rng.uniform(*np.log(population.companion_ratio))))
    return Transient(
        population=population, shape=values, peak=population.peak.sample(rng) if peak is None else float(peak),
        z=0.0 if z is None else float(z),
        modulus=float(population.modulus if z is None else distance_modulus(z)),
        host_av=float(rng.exponential(population.host_av)), galactic_av=float(min(rng.exponential(GALACTIC_AV), 1.0)),
        colour_offset=float(rng.normal(0.0, population.colour_scatter)),
        companion_shape=companion, companion_ratio=ratio,
    )  # fmt: skip
