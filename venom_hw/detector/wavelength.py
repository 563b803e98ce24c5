"""Laser lines: wavelength, photon energy, and the file names that carry them."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import DataError

HC_EV_NM = 1239.841984332  # h c in eV nm, CODATA 2018 (exact constants of the 2019 SI)

_NAME = re.compile(r"^(\d+(?:\.\d+)?)\s*nm$", re.IGNORECASE)


def photon_energy(wavelength_nm: float) -> float:
    """Photon energy in eV of a wavelength in nm, E = hc / lambda."""
    return HC_EV_NM / wavelength_nm


def wavelength_of(energy_ev: float) -> float:
    """Wavelength in nm of a photon energy in eV."""
    return HC_EV_NM / energy_ev


def line_label(wavelength_nm: float) -> str:
    """Label and file stem of a line: ``808nm``, ``405.9nm`` (at most three decimals)."""
    return f"{wavelength_nm:.3f}".rstrip("0").rstrip(".") + "nm"


def parse_wavelength(path: Path) -> float:
    """Wavelength in nm from a file name such as ``808nm.npz`` or ``405.9nm.npz``.

    Raises DataError if the name carries none, or one outside 50 nm ... 50 um.
    """
    stem = Path(path).name.removesuffix(".npz")
    match = _NAME.match(stem)
    if match is None:
        raise DataError(path, None, f"no wavelength in the file name '{Path(path).name}'",
                        "a name such as 808nm.npz or 405.9nm.npz (auxiliary files: noise.npz, sweep.npz)")
    value = float(match.group(1))
    if not 50.0 <= value <= 50000.0:
        raise DataError(path, None, f"wavelength {value:g} nm in the file name", "50 to 50000 nm")
    return value
