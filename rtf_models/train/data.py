"""The sources of a run: splits read once, input statistics of the training split, class weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from rtf_models.classes import APPLECIDER, APPLECIDER6, ClassScheme
from rtf_models.data.alert_folder import open_alerts
from rtf_models.data.dataset import SourceDataset
from rtf_models.data.folder import open_split
from rtf_models.data.inputs import InputSpec
from rtf_models.data.source import Source
from rtf_models.data.splits import SPLITS

from .config import TrainConfig
from .errors import TrainError


@dataclass
class TrainingData:
    """Splits (test may be empty), class scheme, input conventions; the first `real` training sources are no synthetic
    ones.
    """

    train: list[Source]
    val: list[Source]
    test: list[Source]
    scheme: ClassScheme
    inputs: InputSpec
    real: int
    broken: list[str] = field(default_factory=list)

    def coarse_counts(self) -> dict[str, int]:
        """Training sources by coarse class; "unknown" are those without one."""
        found = Counter(self.scheme.coarse_id(s.label) for s in self.train)
        named = {name: found[k] for k, name in enumerate(self.scheme.coarse)}
        return named | ({"unknown": found[-1]} if found[-1] else {})

    def description(self) -> dict:
        """For summaries and checkpoints."""
        return {
            "train": len(self.train),
            "val": len(self.val),
            "test": len(self.test),
            "synthetic": len(self.train) - self.real,
            "detections": int(sum(len(s) for s in self.train)),
            "classes": self.coarse_counts(),
            "left_out": len(self.broken),
        }


def load_data(config: TrainConfig, quiet: bool = False) -> TrainingData:
    """Read all splits and fit the inputs' statistics to the training split.

    Raises TrainError where a split or an input that was asked for is missing, DataError for unusable folders.
    """
    splits: dict[str, list[Source]] = {}
    broken: list[str] = []
    scheme = None
    for split in SPLITS:
        try:
            folder = _open(config, split)
        except FileNotFoundError:
            if split != "test":
                raise
            splits[split] = []
            continue
        splits[split] = _read(folder, split, quiet)
        broken += [f"{b.path}: {b.reason}" for b in folder.broken]
        scheme = scheme or folder.scheme
    for split in SPLITS[:2]:
        if not splits[split]:
            raise TrainError(f"{config.data_dir or config.alert_dir}: no readable source in split '{split}'")
    scheme = _with_other(config, scheme)
    train, real = splits["train"], len(splits["train"])
    if config.synthetic_dir:
        if not (Path(config.synthetic_dir) / "train").is_dir():
            raise TrainError(f"--synthetic-dir {config.synthetic_dir}: expected a folder 'train' in it")
        folder = open_split(config.synthetic_dir, "train")
        if folder.scheme.fine[: len(scheme.fine)] != scheme.fine:
            raise TrainError(
                f"--synthetic-dir {config.synthetic_dir}: its labels are of the classes '{folder.scheme.name}', those "
                f"of the data of '{scheme.name}'; expected one scheme"
            )
        train = train + _read(folder, "synthetic", quiet)
        broken += [f"{b.path}: {b.reason}" for b in folder.broken]
    _check_inputs(config, train[:real])
    inputs = InputSpec.fit(
        train[:real],
        metadata=config.metadata_scaling.replace("-", "_") if config.use_metadata else "none",
        missing_mask=config.use_metadata and config.metadata_scaling == "global",
        images=config.use_images,
        features=config.features if config.use_gp else "none",
        feature_mask=config.use_gp and config.features == "causal",
        horizon=config.horizon,
    )  # fmt: skip
    return TrainingData(train, splits["val"], splits["test"], scheme, inputs, real, broken)


def _open(config: TrainConfig, split: str):
    if config.alert_dir:
        where = (config.alert_dir, config.splits, config.labels_dir, split)
        return open_alerts(*where, horizon=config.horizon, images=config.use_images)
    return open_split(config.data_dir, split)


def _read(folder: Sequence[Source], split: str, quiet: bool) -> list[Source]:
    bar = tqdm(folder, desc=f"read {split}", unit="source", disable=quiet, leave=False, mininterval=0.5)
    return list(bar)


def _with_other(config: TrainConfig, scheme: ClassScheme) -> ClassScheme:
    """The scheme that --num-classes asks for: the data's, or APPLECIDER with "other" as a sixth class."""
    if config.num_classes is None or config.num_classes == len(scheme.coarse):
        return scheme
    if scheme == APPLECIDER and config.num_classes == len(APPLECIDER6.coarse):
        return APPLECIDER6
    raise TrainError(
        f"--num-classes {config.num_classes}: the data have {len(scheme.coarse)} coarse classes "
        f"({', '.join(scheme.coarse)}); expected {len(scheme.coarse)}, or the option left away"
    )


def _check_inputs(config: TrainConfig, sources: Sequence[Source]) -> None:
    for wanted, there, option, what in (
        (config.use_metadata, any(s.metadata is not None for s in sources), "--use-metadata", "alert metadata"),
        (config.use_images, any(s.images is not None for s in sources), "--use-images", "cutouts"),
        (config.use_gp, any(s.features is not None for s in sources), "--use-gp",
         "features (python -m rtf_models preprocess --fit-gp makes them)"),
    ):  # fmt: skip
        if wanted and not there:
            raise TrainError(
                f"{option}: the training sources have no {what}; expected data with them, or no {option}"
            )


def make_dataset(config: TrainConfig, data: TrainingData, split: str) -> SourceDataset:
    """Dataset of a split: truncated at random for training alone, to --max-detections everywhere."""
    truncate = config.random_truncate and split == "train"
    return SourceDataset(
        getattr(data, split),
        data.inputs,
        random_truncate=truncate,
        min_detections=config.min_detections,
        max_detections=config.max_detections,
        seed=config.seed,
        scheme=data.scheme,
    )


def class_weights(config: TrainConfig, data: TrainingData) -> torch.Tensor | None:
    """Weights (coarse classes,) of the cross-entropy: 1/count or 1/sqrt(count), mean 1 over training sources; None.

    A class without sources gets 0.
    """
    if config.class_weights == "none":
        return None
    counts = np.array([data.coarse_counts()[name] for name in data.scheme.coarse], np.float64)
    if not counts.any():
        raise TrainError("--class-weights: no training source has a known class")
    power = 1.0 if config.class_weights == "balanced" else 0.5
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)
