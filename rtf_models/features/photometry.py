"""The usable detections of a light curve, in flux, band by band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ZERO_POINT = 23.9  # AB magnitude of 1 microjansky
MAG_ERR_OF_RELATIVE = 2.5 / np.log(10.0)
LEAST_SN = 3.0
R_BAND = 1
BANDS = 3


@dataclass(frozen=True)
class BandPhotometry:
    """Detections of one band with S/N of at least 3, by time.

    time: days since the source's first detection; flux, flux_err: microjansky; mag, mag_err: AB magnitudes.
    """

    time: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray
    faint: int  # detections of this band left out for S/N below 3

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def peak(self) -> float:
        """Largest measured flux in microjansky: the fits' unit of flux."""
        return float(self.flux.max())

    @cached_property
    def epochs(self) -> int:
        """Number of different times."""
        return len(np.unique(self.time))


@dataclass(frozen=True)
class Photometry:
    """A light curve split by band (0 g, 1 r, 2 i); `detections` counts all rows given, usable or not."""

    bands: tuple[BandPhotometry, ...]
    detections: int

    @cached_property
    def reference(self) -> int | None:
        """The band with the most usable detections (r before g before i when equal); None without any."""
        most = max((len(band), b == R_BAND, -b) for b, band in enumerate(self.bands))
        return -most[2] if most[0] else None


def read_photometry(time, band, mag, mag_err) -> Photometry:
    """Splits raw arrays (n,) of days, band index, AB magnitude and its error into usable detections by band.

    Rows with a number that is not finite, an error that is not positive, a magnitude outside -5 to 40 or an unknown
    band are left out; rows of S/N below 3 (error above 0.36 mag) are counted as faint. Days count from the first
    row's time (of any kind: it is part of every prefix).
    """
    time = np.asarray(time, np.float64)
    mag = np.asarray(mag, np.float64)
    mag_err = np.asarray(mag_err, np.float64)
    band = np.asarray(band)
    sane = (
        np.isfinite(time) & np.isfinite(mag) & np.isfinite(mag_err) & (mag_err > 0) & (mag > -5) & (mag < 40)
    )
    bright = sane & (mag_err <= MAG_ERR_OF_RELATIVE / LEAST_SN)
    start = time[sane][0] if sane.any() else 0.0
    bands = []
    for b in range(BANDS):
        here = band == b
        keep = here & bright
        flux = 10.0 ** (-0.4 * (mag[keep] - ZERO_POINT))
        bands.append(
            BandPhotometry(
                time[keep] - start, flux, flux * mag_err[keep] / MAG_ERR_OF_RELATIVE, mag[keep], mag_err[keep],
                int((here & sane).sum() - keep.sum()),
            )
        )  # fmt: skip
    return Photometry(tuple(bands), len(time))


def magnitude(flux):
    """AB magnitude of a flux in microjansky; NaN where the flux is not positive."""
    flux = np.asarray(flux, np.float64)
    return ZERO_POINT - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
