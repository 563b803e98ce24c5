"""The 30 alert fields that go with each detection, and what counts as missing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Names of the ZTF alert schema's `candidate` record, in the order of the channels.
METADATA_FIELDS = (
    "sgscore1", "sgscore2", "distpsnr1", "distpsnr2", "nmtchps", "sharpnr", "scorr", "diffmaglim", "sky", "ndethist",
    "ncovhist", "sigmapsf", "chinr", "classtar", "rb", "chipsf", "distnr", "magnr", "fwhm", "srmag1", "sgmag1",
    "simag1", "szmag1", "srmag2", "sgmag2", "simag2", "szmag2", "clrcoeff", "clrcounc", "zpclrcov",
)
NO_VALUE = -999.0  # ZTF's mark of a missing number
_PLACE = {name: k for k, name in enumerate(METADATA_FIELDS)}


def metadata_row(candidate: Mapping) -> np.ndarray:
    """(30,) float32 of a packet's `candidate` (or of an entry of `prv_candidates`, where about half do not exist).

    NaN where a value is missing: no such key, None, -999, or not a number.
    """
    row = np.full(len(METADATA_FIELDS), np.nan, np.float32)
    for k, name in enumerate(METADATA_FIELDS):
        value = candidate.get(name)
        if isinstance(value, int | float | np.number) and not isinstance(value, bool) and value != NO_VALUE:
            row[k] = value
    row[~np.isfinite(row)] = np.nan
    return row


def unfilled(values: np.ndarray) -> np.ndarray:
    """Metadata (L, 30) of the original's files, where missing values are 0, with NaN for what was probably missing.

    A zero is taken for a value where it is a common measurement: rb, classtar and nmtchps of a row that has other
    values, and sgscore1, sgscore2 where there is a distance to that star.
    """
    values = np.array(values, np.float32)
    missing = values == 0
    filled = ~missing.all(axis=1)
    for name in ("rb", "classtar", "nmtchps"):
        missing[filled, _PLACE[name]] = False
    for star in "12":
        missing[values[:, _PLACE["distpsnr" + star]] != 0, _PLACE["sgscore" + star]] = False
    values[missing | ~np.isfinite(values)] = np.nan
    return values
