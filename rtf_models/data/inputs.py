"""What a network's inputs are and how they are scaled: kept in the checkpoint, so that one description serves all."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from .feature_stats import read_feature_stats
from .scaling import fit_base, fit_features, fit_metadata
from .source import BANDS, N_FEATURES, N_METADATA, Source
from .stamp import EMPTY_STAMP, scaled_stamp

BASE = ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")
MICROJANSKY = 23.9  # AB magnitude of 1 uJy
LIMIT = 10.0  # scaled metadata and features are clipped to +-LIMIT
_CHOICES = {"metadata": ("none", "global", "per_sample", "raw"), "features": ("none", "causal", "file")}


@dataclass(frozen=True)
class InputSpec:
    """Input channels of a network, and their scaling.

    A detection becomes [log1p(dt), log1p(dt_prev), logflux, logflux_err, g, r, i, 30 metadata, 30 missing], with
    dt, dt_prev in days since the first and the previous detection, logflux = -0.4 (mag - zero_point),
    logflux_err = 0.4 mag_err; the first four as (value - base_mean) / base_std.

    Attributes:
        metadata: "none"; "global": (value - centre) / scale of the training set, missing values 0; "per_sample": the
            original's scaling, by median and interquartile range of the very sequence (constant fields become 0);
            "raw": as read, missing values 0.
        missing_mask: 30 more channels, 1 where a metadata value is missing ("global" only).
        images: one cutout triplet a source.
        features: "none"; "causal": of the largest stored count of detections that is at most the number seen, scaled by
            the training set; "file": the original's: of a whole source whatever the file holds, computed from the whole
            light curve; of a prefix the vector of the prefix where there is one, else zeros.
        feature_mask: 114 more values, 1 where a feature is missing ("causal" only).
        zero_point: AB mag.
        base_mean, base_std, metadata_center, metadata_scale, feature_center, feature_scale: 4, 30, 114 numbers.
        horizon: days after the first detection that are used; None: all.
        max_len: first detections that are used; None: all.
    """

    metadata: str = "none"
    missing_mask: bool = False
    images: bool = False
    features: str = "none"
    feature_mask: bool = False
    zero_point: float = MICROJANSKY
    base_mean: tuple[float, ...] = (0.0,) * 4
    base_std: tuple[float, ...] = (1.0,) * 4
    metadata_center: tuple[float, ...] = (0.0,) * N_METADATA
    metadata_scale: tuple[float, ...] = (1.0,) * N_METADATA
    feature_center: tuple[float, ...] = (0.0,) * N_FEATURES
    feature_scale: tuple[float, ...] = (1.0,) * N_FEATURES
    horizon: float | None = 100.0
    max_len: int | None = None

    def __post_init__(self):
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise self._error(field, repr(getattr(self, field)), " | ".join(choices))
        if self.missing_mask and self.metadata != "global":
            raise self._error("missing_mask", f"with metadata '{self.metadata}'", "metadata 'global'")
        if self.feature_mask and self.features != "causal":
            raise self._error("feature_mask", f"with features '{self.features}'", "features 'causal'")
        sizes = {"base_mean": 4, "base_std": 4, "metadata_center": N_METADATA, "metadata_scale": N_METADATA,
                 "feature_center": N_FEATURES, "feature_scale": N_FEATURES}
        for field, size in sizes.items():
            values = tuple(float(x) for x in getattr(self, field))
            object.__setattr__(self, field, values)
            if len(values) != size or not np.isfinite(values).all():
                raise self._error(field, f"{len(values)} values", f"{size} finite numbers")
            if not field.endswith(("mean", "center")) and min(values) <= 0:
                raise self._error(field, f"smallest {min(values)}", "positive numbers")
        if self.horizon is not None and not self.horizon >= 0:
            raise self._error("horizon", f"{self.horizon}", "days, 0 or more")
        if self.max_len is not None and self.max_len < 1:
            raise self._error("max_len", f"{self.max_len}", "1 or more")

    @staticmethod
    def _error(field, what, expected):
        return DataError("input description", field, what, expected)

    # sizes
    @property
    def in_channels(self) -> int:
        """Channels of a detection: 7, 37 or 67."""
        return 4 + len(BANDS) + N_METADATA * ((self.metadata != "none") + self.missing_mask)

    @property
    def gp_dim(self) -> int:
        """Length of the feature vector: 0, 114 or 228."""
        return N_FEATURES * ((self.features != "none") + self.feature_mask)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the input channels, in order (metadata by number, see `metadata.METADATA_FIELDS`)."""
        extra = [f"metadata_{k}" for k in range(N_METADATA)] if self.metadata != "none" else []
        mask = [f"missing_{k}" for k in range(N_METADATA)] if self.missing_mask else []
        return (*BASE, *BANDS, *extra, *mask)

    # for a checkpoint's header
    def to_dict(self) -> dict:
        """For JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping) -> InputSpec:
        """The description of a `to_dict`; DataError for unknown or damaged entries."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(content) - known):
            raise cls._error(unknown[0], "unknown entry", f"{sorted(known)}")
        try:
            return cls(**content)
        except DataError:
            raise
        except (TypeError, ValueError) as error:
            raise cls._error(None, f"{error}", "entries as to_dict gives them") from error

    # sources to arrays
    def length(self, source: Source, n: int | None = None) -> int:
        """How many detections `prepare` uses."""
        count = len(source) if n is None else min(n, len(source))
        if self.horizon is not None:
            count = min(count, source.count_within(self.horizon))
        return count if self.max_len is None else min(count, self.max_len)

    def prepare(self, source: Source, n: int | None = None, *, allow_future_features: bool = False) -> dict:
        """The network's inputs for the first `n` detections (all if None); nothing later goes into them.

        Args:
            allow_future_features: with features "file", hand over the whole curve's vector for a prefix too, to repeat
                the original's numbers: it knows detections after `n`.

        Returns:
            {"x": (L, in_channels) float32, "seq_len": L}, with "images" (3, 63, 63) float32 (zeros where there is no
            stamp) and "gp_features" (gp_dim,) float32 where the network takes them.
        """
        if n is not None and n < 1:
            raise DataError(f"source {source.object_id}", None, f"a prefix of {n} detections", "at least 1")
        count = self.length(source, n)
        parts = [self._base(source, count), np.eye(len(BANDS), dtype=np.float32)[source.band[:count]]]
        if self.metadata != "none":
            parts += self._metadata(source, count)
        out = {"x": np.concatenate(parts, axis=1), "seq_len": count}
        if self.images:
            out["images"] = self._stamp(source, count)
        if self.features != "none":
            seen = len(source) if n is None or allow_future_features else n
            out["gp_features"] = self._features(source, seen if self.features == "file" else count)
        return out

    def _base(self, source: Source, count: int) -> np.ndarray:
        time = source.time[:count]
        raw = np.empty((count, 4), np.float32)
        raw[:, 0] = np.log1p((time - time[0]).astype(np.float32))
        raw[:, 1] = np.log1p(np.diff(time, prepend=time[0]).astype(np.float32))
        raw[:, 2] = -0.4 * (source.mag[:count].astype(np.float64) - self.zero_point)
        raw[:, 3] = np.float32(0.4) * source.mag_err[:count]
        mean, std = self._arrays["base"]
        return (raw - mean) / std

    @functools.cached_property
    def _arrays(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        pairs = {"base": (self.base_mean, self.base_std), "metadata": (self.metadata_center, self.metadata_scale),
                 "features": (self.feature_center, self.feature_scale)}
        return {key: tuple(np.asarray(x, np.float32) for x in pair) for key, pair in pairs.items()}

    def _metadata(self, source: Source, count: int) -> list[np.ndarray]:
        values = source.metadata
        values = np.full((count, N_METADATA), np.nan, np.float32) if values is None else values[:count]
        missing = ~np.isfinite(values)
        if self.metadata == "global":
            center, scale = self._arrays["metadata"]
            scaled = np.where(missing, 0, np.clip((values - center) / scale, -LIMIT, LIMIT)).astype(np.float32)
            return [scaled, missing.astype(np.float32)] if self.missing_mask else [scaled]
        filled = np.where(missing, np.float32(0), values)
        return [per_sample_scaled(filled) if self.metadata == "per_sample" else filled]

    @staticmethod
    def _stamp(source: Source, count: int) -> np.ndarray:
        if source.images is None or source.has_image is None or not source.has_image[:count].any():
            return EMPTY_STAMP.copy()
        return scaled_stamp(source.images(int(np.flatnonzero(source.has_image[:count])[-1])))

    def _features(self, source: Source, seen: int) -> np.ndarray:
        """The vector of the largest stored count that is at most `seen` detections."""
        values = source.features_at(seen)
        values = np.full(N_FEATURES, np.nan, np.float32) if values is None else values
        missing = ~np.isfinite(values)
        if self.features == "file":
            return np.clip(np.where(missing, np.float32(0), values), -LIMIT, LIMIT)
        center, scale = self._arrays["features"]
        scaled = np.where(missing, 0, np.clip((values - center) / scale, -LIMIT, LIMIT)).astype(np.float32)
        return np.concatenate([scaled, missing.astype(np.float32)]) if self.feature_mask else scaled

    # arrays to physics
    def to_physical(self, cont) -> dict[str, np.ndarray]:
        """Days and magnitudes of (..., 4) continuous channels, such as a decoder's.

        Returns:
            {"days": since the first detection, "days_since_previous", "mag": AB mag, "mag_err"}, each (...) float64.
        """
        cont = np.asarray(cont, np.float64)
        mean, std = self._arrays["base"]
        values = cont * std.astype(np.float64) + mean.astype(np.float64)
        return {"days": np.expm1(values[..., 0]), "days_since_previous": np.expm1(values[..., 1]),
                "mag": self.zero_point - 2.5 * values[..., 2], "mag_err": 2.5 * values[..., 3]}

    # where the numbers come from
    @classmethod
    def fit(cls, sources: Sequence[Source], *, metadata: str = "none", missing_mask: bool | None = None,
            images: bool = False, features: str = "none", feature_mask: bool | None = None,
            zero_point: float = MICROJANSKY, horizon: float | None = 100.0, max_len: int | None = None,
            max_sources: int = 20_000, seed: int = 0, progress: bool = False) -> InputSpec:
        """The description for a training set: one pass over it.

        The four base channels are scaled by mean and standard deviation between their 0.1 and 99.9 percentiles;
        metadata and features by median and interquartile range. Of more than `max_sources` sources, that many (drawn
        with `seed`) are read. Masks default to on where there is something to mask.

        Raises:
            DataError: no sources, or metadata or features asked for that no source has.
        """
        spec = cls(metadata=metadata, missing_mask=metadata == "global" if missing_mask is None else missing_mask,
                   images=images, features=features, zero_point=zero_point, horizon=horizon, max_len=max_len,
                   feature_mask=features == "causal" if feature_mask is None else feature_mask)
        chosen = _chosen(sources, max_sources, seed, progress)
        base, metadata_rows, feature_rows = [], [], []
        for source in chosen:
            count = spec.length(source)
            base.append(spec._base(source, count))
            if metadata == "global" and source.metadata is not None:
                metadata_rows.append(source.metadata[:count])
            if features == "causal" and source.features is not None:
                feature_rows.append(source.features[source.feature_counts <= count])
        mean, std = fit_base(base)
        numbers = {"base_mean": mean, "base_std": std}
        if metadata == "global":
            numbers["metadata_center"], numbers["metadata_scale"] = fit_metadata(metadata_rows)
        if features == "causal":
            numbers["feature_center"], numbers["feature_scale"] = fit_features(feature_rows)
        return replace(spec, **{key: tuple(value.tolist()) for key, value in numbers.items()})

    @classmethod
    def original(cls, kind: str = "compact", stats: str | Path | None = None, *, metadata: bool | None = None,
                 images: bool = False, features: bool = False, horizon: float | None = None,
                 max_len: int | None = 257) -> InputSpec:
        """The original's conventions.

        Args:
            kind: "compact" (preprocessed npz; no zero point, per-sample metadata) or "photo_events" (zero point 23.9).
            stats: feature_stats_day100.npz of photo_events; without it the channels are not scaled.
            metadata: 30 more channels; default: with "compact" only, as the original has it.
            horizon: days; default: 100 for photo_events, none for compact files (they were cut when they were made).
        """
        if kind not in ("compact", "photo_events"):
            raise cls._error("kind", repr(kind), "'compact' or 'photo_events'")
        metadata = kind == "compact" if metadata is None else metadata
        common = {"metadata": "per_sample" if metadata else "none", "images": images,
                  "features": "file" if features else "none", "max_len": max_len}
        if kind == "compact":
            return cls(zero_point=0.0, horizon=horizon, **common)
        horizon = 100.0 if horizon is None else horizon
        if stats is None:
            return cls(zero_point=MICROJANSKY, horizon=horizon, **common)
        mean, std = read_feature_stats(stats)
        return cls(zero_point=MICROJANSKY, horizon=horizon, base_mean=tuple(mean.tolist()),
                   base_std=tuple((std + np.float32(1e-8)).tolist()), **common)


def per_sample_scaled(values: np.ndarray) -> np.ndarray:
    """The original's metadata scaling of one sequence, (L, 30): by median and interquartile range, clipped to +-10."""
    low, median, high = np.percentile(values, [25, 50, 75], axis=0)
    spread = high - low
    scaled = (values - median) / np.where(spread > 1e-6, spread, 1.0)
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)


def _chosen(sources: Sequence[Source], limit: int, seed: int, progress: bool):
    if not len(sources):
        raise DataError("training set", None, "no sources", "at least one")
    places = np.arange(len(sources))
    if len(places) > limit:
        places = np.sort(np.random.default_rng(seed).choice(places, limit, replace=False))
    if progress:
        from tqdm import tqdm

        places = tqdm(places, desc="input statistics", unit="source", leave=False)
    return (sources[int(k)] for k in places)
