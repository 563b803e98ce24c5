"""Colours and magnitudes of a blackbody in the ZTF bands, at one wavelength a band."""

from __future__ import annotations

import numpy as np

WAVELENGTHS_ANGSTROM = np.array([4746.48, 6366.38, 7829.03])  # pivot wavelengths of ZTF g, r, i (SVO)
LOG_WAVELENGTHS = np.log10(WAVELENGTHS_ANGSTROM)
LOWEST_LOG_TEMPERATURE, HIGHEST_LOG_TEMPERATURE = 3.3, 4.8
_HC_OVER_K_ANGSTROM_KELVIN = 1.438776877e8


def _photon_energy(log_temperature):
    """h nu / k T of the three bands (..., 3)."""
    temperature = 10.0 ** np.asarray(log_temperature, np.float64)[..., None]
    return _HC_OVER_K_ANGSTROM_KELVIN / (WAVELENGTHS_ANGSTROM * temperature)


def magnitudes(log_temperature) -> np.ndarray:
    """AB magnitudes (..., 3) in g, r, i of a blackbody of this log10 temperature (K), up to one constant."""
    u = _photon_energy(log_temperature)
    log_flux = -3.0 * LOG_WAVELENGTHS - np.log10(np.expm1(u))
    return -2.5 * (log_flux - log_flux[..., 1:2])


def magnitude_slopes(log_temperature) -> np.ndarray:
    """Derivative of the magnitudes (..., 3) by log10 temperature, relative to that of r."""
    u = _photon_energy(log_temperature)
    slope = u / -np.expm1(-u)
    return -2.5 * (slope - slope[..., 1:2])
