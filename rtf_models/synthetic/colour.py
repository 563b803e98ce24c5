"""Colour of a transient in g, r and i: a black body whose temperature follows the class's g - r curve.

A class gives its g - r (AB) against rest-frame days from peak. Each value is read as the temperature of a black body
of that colour, and the black body gives the other bands and the K correction: a real spectrum's lines are not there,
which matters most beyond z = 0.2 and for supernovae of type Ia in i. Dust: Cardelli, Clayton & Mathis (1989, ApJ 345,
245) with R_V = 3.1, in the host and in the Milky Way.
"""

from __future__ import annotations

from functools import cache

import numpy as np

# Effective wavelengths of the ZTF filters in micrometres (Bellm et al. 2019, PASP 131, 018002; SVO filter profiles).
WAVELENGTHS = np.array([0.4746, 0.6366, 0.7829])
REFERENCE = 1  # r: absolute magnitudes and the models' light curves are those of r in the rest frame
_HC_OVER_K = 14_387.77  # second radiation constant in micrometre kelvin
COLDEST, HOTTEST = 1_500.0, 100_000.0  # kelvin


def blackbody(wavelength: np.ndarray | float, temperature: np.ndarray | float) -> np.ndarray:
    """B_nu in arbitrary units; wavelength in micrometres, temperature in kelvin, broadcast together."""
    return wavelength**-3.0 / np.expm1(_HC_OVER_K / (wavelength * np.asarray(temperature, float)))


def colour_of_temperature(temperature: np.ndarray | float) -> np.ndarray:
    """g - r (AB mag) of a black body at rest."""
    g, r = (blackbody(WAVELENGTHS[k], temperature) for k in (0, 1))
    return -2.5 * np.log10(g / r)


@cache
def _temperatures() -> tuple[np.ndarray, np.ndarray]:
    """Log temperature from hottest to coldest, and its g - r, ascending."""
    logs = np.linspace(np.log(HOTTEST), np.log(COLDEST), 600)
    return logs, colour_of_temperature(np.exp(logs))


def temperature_of_colour(g_r: np.ndarray | float) -> np.ndarray:
    """Temperature in kelvin of a black body with this g - r at rest, between 1,500 K and 100,000 K."""
    logs, colours = _temperatures()
    return np.exp(np.interp(g_r, colours, logs))


def k_correction(temperature: np.ndarray, band: np.ndarray, z: float) -> np.ndarray:
    """What to add to M_r(rest) + distance modulus for the observed AB magnitude in each `band` (ids 0 g, 1 r, 2 i).

    f_nu(observed) = (1 + z) L_nu(rest) / (4 pi d_L^2): colour and bandwidth in one.
    """
    there = blackbody(WAVELENGTHS[band] / (1 + z), temperature)
    here = blackbody(WAVELENGTHS[REFERENCE], temperature)
    return -2.5 * np.log10((1 + z) * there / here)


def share_of_r(temperature: np.ndarray) -> np.ndarray:
    """What to add to a bolometric magnitude for r at rest, up to a constant (Stefan-Boltzmann)."""
    return -2.5 * np.log10(blackbody(WAVELENGTHS[REFERENCE], temperature) / np.asarray(temperature, float) ** 4)


def extinction(wavelength: np.ndarray | float) -> np.ndarray:
    """A(lambda) / A(V), R_V = 3.1; Cardelli et al. 1989, optical part continued into the near ultraviolet.

    wavelength in micrometres; the law is cut at 0.3 micrometres, which only redshifts beyond 0.6 reach.
    """
    y = 1 / np.maximum(wavelength, 0.3) - 1.82
    a = np.polynomial.polynomial.polyval(
        y, [1, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999])  # fmt: skip
    b = np.polynomial.polynomial.polyval(
        y, [0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002])  # fmt: skip
    return a + b / 3.1


def dust(band: np.ndarray, z: float, host_av: float, galactic_av: float) -> np.ndarray:
    """Extinction in mag in each observed band: the host's at the rest-frame wavelength, and the Milky Way's."""
    observed = WAVELENGTHS[band]
    return host_av * extinction(observed / (1 + z)) + galactic_av * extinction(observed)
