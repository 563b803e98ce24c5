"""Distances in a flat universe of matter and a cosmological constant: H0 = 70 km/s/Mpc, Omega_m = 0.3.

The numbers come from astropy.cosmology, tabulated once.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ..errors import require

HUBBLE = 70.0  # km/s/Mpc
OMEGA_MATTER = 0.3
Z_TABLE_END = 10.0
Z_SMALLEST = 1e-4  # nearer than 0.4 Mpc redshift says nothing about distance


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log(1+z) grid, comoving distance in Mpc, and the number of events up to there (arbitrary unit)."""
    cosmology = require("astropy.cosmology", "rtf").FlatLambdaCDM(H0=HUBBLE, Om0=OMEGA_MATTER, Tcmb0=0)
    grid = np.linspace(0.0, np.log1p(Z_TABLE_END), 4001)
    z = np.expm1(grid)
    # events a year of ours: comoving volume element, and clocks there run slow by 1 + z; dz = (1 + z) dlog(1 + z)
    density = cosmology.differential_comoving_volume(z).value
    events = np.concatenate([[0.0], np.cumsum(np.diff(grid) * (density[1:] + density[:-1]) / 2)])
    return grid, cosmology.comoving_distance(z).value, events


def comoving_distance(z: np.ndarray | float) -> np.ndarray:
    """Comoving distance in Mpc, z from 0 to 10."""
    grid, distance, _ = _tables()
    return np.interp(np.log1p(z), grid, distance)


def distance_modulus(z: np.ndarray | float) -> np.ndarray:
    """m - M of the luminosity distance in mag, without any K correction; z from 1e-4 to 10."""
    z = np.maximum(z, Z_SMALLEST)
    return 5 * np.log10((1 + z) * comoving_distance(z)) + 25


def redshift_of_modulus(modulus: float) -> float:
    """The redshift at which the distance modulus is this (mag), within [1e-4, 10]."""
    grid = np.expm1(_tables()[0][1:])
    return float(np.interp(modulus, distance_modulus(grid), grid))


def sample_redshift(rng: np.random.Generator, low: float, high: float, size: int) -> np.ndarray:
    """(size,) redshifts between low and high of events with a constant rate in comoving volume and local time."""
    grid, _, events = _tables()
    ends = np.interp(np.log1p([low, high]), grid, events)
    return np.expm1(np.interp(rng.uniform(*ends, size), events, grid))
