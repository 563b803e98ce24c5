"""Sources as a torch data set, and the batches that a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..classes import APPLECIDER, ClassScheme
from ..errors import DataError
from .inputs import InputSpec
from .source import Source


class SourceDataset(Dataset):
    """Inputs and labels of sources, whole or as prefixes.

    Args:
        sources: a SourceFolder or a list.
        inputs: what the network takes.
        random_truncate: each item is a prefix whose length is drawn between `min_detections` and the whole; a function
            of (seed, epoch, index) only, so the same whatever the workers and the order. Shorter sources stay whole.
        min_detections: shortest prefix.
        max_detections: only this many first detections.
        seed: of the prefixes.
        scheme: gives the coarse labels; default: the sources' own (`sources.scheme`), else APPLECIDER.
    """

    def __init__(self, sources: Sequence[Source], inputs: InputSpec, *, random_truncate: bool = False,
                 min_detections: int = 3, max_detections: int | None = None, seed: int = 0,
                 scheme: ClassScheme | None = None):
        for field, value in (("min_detections", min_detections), ("max_detections", max_detections)):
            if value is not None and value < 1:
                raise DataError("data set", field, f"{value}", "1 or more")
        self.sources, self.inputs = sources, inputs
        self.random_truncate, self.min_detections, self.max_detections = random_truncate, min_detections, max_detections
        self.seed, self.epoch = seed, 0
        self.scheme = scheme or getattr(sources, "scheme", None) or APPLECIDER
        self._whole: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def set_epoch(self, epoch: int) -> None:
        """New prefixes. To be called before the epoch's loader starts its workers."""
        self.epoch = int(epoch)

    def _count(self, index: int, whole: int) -> int:
        """Detections of an item whose source has `whole` usable ones."""
        if not self.random_truncate or whole <= self.min_detections:
            return whole
        draw = np.random.default_rng([self.seed, self.epoch, index])
        return int(draw.integers(self.min_detections, whole, endpoint=True))

    def lengths(self) -> np.ndarray:
        """(N,) int64: detections of each item in this epoch, for batches of similar lengths."""
        if self._whole is None:
            whole = (self.inputs.length(self.sources[k], self.max_detections) for k in range(len(self)))
            self._whole = np.fromiter(whole, np.int64, len(self))
        return np.fromiter((self._count(k, int(n)) for k, n in enumerate(self._whole)), np.int64, len(self))

    def __getitem__(self, index: int) -> dict:
        """{"x": (L, C) float32, "label_fine", "label_coarse", "obj_id", "seq_len" [, "images"] [, "gp_features"]}."""
        index = range(len(self))[index]
        source = self.sources[index]
        whole = self.inputs.length(source, self.max_detections)
        count = self._count(index, whole)
        uncut = count == whole and (self.max_detections is None or self.max_detections >= len(source))
        item = self.inputs.prepare(source, None if uncut else count)
        for key in ("x", "images", "gp_features"):
            if key in item:
                item[key] = torch.from_numpy(item[key])
        label = source.label if self.scheme.coarse_id(source.label) >= 0 else -1
        item |= {"label_fine": label, "label_coarse": self.scheme.coarse_id(label), "obj_id": source.object_id}
        return item


def collate_fn(batch: Sequence[dict]) -> dict:
    """A batch of items, padded with zeros to the longest.

    Returns:
        {"x": (B, L, C) float32, "pad_mask": (B, L) bool, True on padding, "label_fine", "label_coarse": (B,) int64,
        "obj_ids": list of str}, with "images" (B, 3, 63, 63) and "gp_features" (B, G) where the items have them.
    """
    lengths = torch.tensor([item["seq_len"] for item in batch])
    x = torch.nn.utils.rnn.pad_sequence([item["x"] for item in batch], batch_first=True)
    out = {"x": x, "pad_mask": torch.arange(x.shape[1])[None, :] >= lengths[:, None]}
    for key in ("label_fine", "label_coarse"):
        out[key] = torch.tensor([int(item[key]) for item in batch], dtype=torch.int64)
    out["obj_ids"] = [item["obj_id"] for item in batch]
    for key in ("images", "gp_features"):
        if key in batch[0]:
            out[key] = torch.stack([item[key] for item in batch])
    return out
