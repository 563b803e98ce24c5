"""One object's photometry, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError

BANDS = ("g", "r", "i")
N_METADATA = 30
N_FEATURES = 114
STAMP = 63  # pixels


@dataclass(frozen=True, eq=False)
class Source:
    """One object's detections, sorted by time. Arrays are not to be written to: prefixes share them.

    Attributes:
        object_id: the survey's name of the object.
        time: (L,) float64, days; JD or MJD as read, only differences matter.
        band: (L,) int64, 0 g, 1 r, 2 i.
        mag, mag_err: (L,) float32, PSF magnitude of the difference image and its uncertainty, AB mag.
        label: fine class id, -1 unknown.
        metadata: (L, 30) float32, NaN where missing (`metadata.METADATA_FIELDS`); or None.
        images: index -> (3, 63, 63) float32: science, template, difference in pixel units, loaded when called; or None.
        has_image: (L,) bool, which indices `images` takes; or None.
        features: (K, 114) float32, NaN where missing; or None.
        feature_counts: (K,) int64, ascending: features[k] was computed from the first feature_counts[k] detections and
            nothing later.

    Raises:
        DataError: shapes that do not go together, no detection, a value that is no number or not finite, times not
            ascending, feature counts beyond the detections.
    """

    object_id: str
    time: np.ndarray
    band: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray
    label: int = -1
    metadata: np.ndarray | None = None
    images: Callable[[int], np.ndarray] | None = None
    has_image: np.ndarray | None = None
    features: np.ndarray | None = None
    feature_counts: np.ndarray | None = None

    def __post_init__(self):
        kinds = {"time": np.float64, "band": np.int64, "mag": np.float32, "mag_err": np.float32,
                 "metadata": np.float32, "has_image": np.bool_, "features": np.float32, "feature_counts": np.int64}
        for field, kind in kinds.items():
            if (value := getattr(self, field)) is not None:
                value = np.asarray(value)
                if value.dtype.kind not in "biuf" and value.size:
                    raise self._error(field, f"values of type {value.dtype}", "real numbers")
                object.__setattr__(self, field, value.astype(kind, copy=False))
        object.__setattr__(self, "label", int(self.label))
        self._check()

    def _check(self):
        count = len(self.time) if self.time.ndim == 1 else 0
        if not count:
            raise self._error("time", f"shape {self.time.shape}", "one value a detection, at least one")
        shapes = {"band": (count,), "mag": (count,), "mag_err": (count,), "metadata": (count, N_METADATA),
                  "has_image": (count,)}
        if self.features is not None:
            rows = len(self.features) if self.features.ndim else 0
            shapes |= {"features": (rows, N_FEATURES), "feature_counts": (rows,)}
            if self.feature_counts is None:
                raise self._error("feature_counts", "missing", "the detections that each row of features has seen")
        for field, shape in shapes.items():
            value = getattr(self, field)
            if value is not None and value.shape != shape:
                raise self._error(field, f"shape {value.shape}", f"{shape}")
        for field in ("time", "mag", "mag_err"):
            bad = np.flatnonzero(~np.isfinite(getattr(self, field)))
            if bad.size:
                raise self._error(field, f"{getattr(self, field)[bad[0]]} at detection {bad[0]}", "finite numbers")
        if self.band.min() < 0 or self.band.max() >= len(BANDS):
            raise self._error("band", f"values {np.unique(self.band).tolist()}", "0 (g), 1 (r) or 2 (i)")
        if (np.diff(self.time) < 0).any():
            raise self._error("time", "not ascending", "detections sorted by time")
        if self.feature_counts is not None:
            self._check_counts(count)

    def _check_counts(self, count: int):
        """A vector of more detections than there are would know what comes after them."""
        found = self.feature_counts
        if (np.diff(found) <= 0).any() or (found.size and not 1 <= found[0] <= found[-1] <= count):
            raise self._error("feature_counts", f"{found.tolist()}", f"ascending counts from 1 to {count}")

    def _error(self, field, what, expected):
        return DataError(f"source {self.object_id}", field, what, expected)

    def __len__(self) -> int:
        return len(self.time)

    def prefix(self, n: int) -> Source:
        """The first `n` detections (all of them if there are fewer) and the features that only these have gone into."""
        if n < 1:
            raise DataError(f"source {self.object_id}", None, f"a prefix of {n} detections", "at least 1")
        if n >= len(self):
            return self if self.feature_counts is None else self._cut(len(self))
        return self._cut(n)

    def _cut(self, n: int) -> Source:
        rows = None if self.feature_counts is None else int(np.searchsorted(self.feature_counts, n, side="right"))
        cut = lambda values, end: None if values is None else values[:end]  # noqa: E731
        return replace(self, time=self.time[:n], band=self.band[:n], mag=self.mag[:n], mag_err=self.mag_err[:n],
                       metadata=cut(self.metadata, n), has_image=cut(self.has_image, n),
                       features=cut(self.features, rows), feature_counts=cut(self.feature_counts, rows))

    def within(self, days: float) -> Source:
        """The detections up to `days` after the first one (that day included)."""
        return self.prefix(self.count_within(days))

    def count_within(self, days: float) -> int:
        """How many detections lie up to `days` after the first one."""
        return int(np.searchsorted(self.time - self.time[0], days, side="right"))

    def features_at(self, n: int) -> np.ndarray | None:
        """(114,) of the largest stored count that is at most `n` detections; None if there is none."""
        if self.features is None:
            return None
        row = int(np.searchsorted(self.feature_counts, n, side="right")) - 1
        return self.features[row] if row >= 0 else None
