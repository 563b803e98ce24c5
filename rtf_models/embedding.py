"""Sources in, fingerprints out: the one way in which every room embeds light curves.

Batches hold sources of similar length, results come in the order of the sources. Each source is read once, a few
thousand are held at a time, so a folder of any size fits in memory.
"""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from venom_hw.atomic import atomic_file

from .checkpoint import Checkpoint
from .data.dataset import collate_fn
from .data.source import Source
from .errors import RtfError

CHUNK = 16  # batches prepared at a time, sorted by length among themselves
POSITIONS = 256 * 257  # at most so many padded positions in a batch


BROKEN_NPZ = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, SyntaxError, zipfile.BadZipFile,
              zlib.error, tokenize.TokenError)  # what NumPy lets through  # fmt: skip


class EmbeddingError(RtfError):
    """A file of embeddings lacks something, or there is nothing to embed; the message names file and field."""


@dataclass(frozen=True)
class Embeddings:
    """Fingerprints of N sources: embeddings (N, D) float32, recon_errors (N,) float32 (NaN: not computed),
    labels_fine and labels_coarse (N,) int64 (-1 = unknown), obj_ids (N,) str, lengths (N,) int64 detections encoded.
    """

    embeddings: np.ndarray
    recon_errors: np.ndarray
    labels_fine: np.ndarray
    labels_coarse: np.ndarray
    obj_ids: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.embeddings)

    def select(self, rows: np.ndarray) -> Embeddings:
        """The given rows (indices or a mask), in their order."""
        return Embeddings(*(getattr(self, name)[rows] for name in FIELDS))

    def save(self, path: str | os.PathLike) -> Path:
        """Write an npz with the original's keys (and `lengths`), atomically; its path."""
        with atomic_file(path) as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in FIELDS})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Embeddings:
        """Read a file of `save`, or the original's (whose lengths are unknown: -1). Raises EmbeddingError."""
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                missing = [name for name in FIELDS[:-1] if name not in file]
                if missing:
                    raise EmbeddingError(
                        f"{path}: no field '{missing[0]}'; expected {', '.join(FIELDS[:-1])}"
                    )
                values = {name: file[name] for name in FIELDS if name in file}
        except EmbeddingError:
            raise
        except BROKEN_NPZ as error:
            raise EmbeddingError(f"{path}: {error}; expected an npz of embeddings") from error
        if values["embeddings"].ndim != 2 or values["embeddings"].dtype.kind != "f":
            found = f"{values['embeddings'].dtype} of shape {values['embeddings'].shape}"
            raise EmbeddingError(f"{path}: field 'embeddings' is {found}, expected (N, D) of floating-point numbers")
        n = len(values["embeddings"])
        values.setdefault("lengths", np.full(n, -1, np.int64))
        for name, value in values.items():
            rows = len(value) if value.ndim else "no"
            if rows != n:
                raise EmbeddingError(f"{path}: field '{name}' has {rows} rows, expected {n} as in 'embeddings'")
        return cls(**values)


FIELDS = ("embeddings", "recon_errors", "labels_fine", "labels_coarse", "obj_ids", "lengths")


def sorted_batches(
    lengths: Sequence[int], batch_size: int, positions: int = POSITIONS
) -> Iterator[list[int]]:
    """Indices in batches of similar length, the shortest first; a batch has at most `positions` padded positions
    (one source may be longer than that alone).
    """
    batch: list[int] = []
    for index in np.argsort(lengths, kind="stable"):
        longest = int(lengths[index])  # sorted: the newest is the longest
        if batch and (len(batch) >= batch_size or (len(batch) + 1) * longest > positions):
            yield batch
            batch = []
        batch.append(int(index))
    if batch:
        yield batch


@torch.no_grad()
def embed_batch(
    model: torch.nn.Module, batch: dict, device: torch.device, reconstruct: bool = True
) -> tuple[Tensor, Tensor]:
    """Latents (B, D) and reconstruction errors (B,) (NaN unless asked for) of a collated batch, on the CPU."""
    inputs = {
        name: batch[name].to(device) for name in ("x", "pad_mask", "images", "gp_features") if name in batch
    }
    latent = model.embed(**inputs).float().cpu()
    if not reconstruct:
        return latent, torch.full((len(latent),), float("nan"))
    return latent, model.reconstruction_error(**inputs).float().cpu()


def embed_sources(
    checkpoint: Checkpoint,
    sources: Iterable[Source],
    *,
    counts: int | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    reconstruct: bool = True,
    allow_future_features: bool = False,
    progress: bool = False,
) -> Embeddings:
    """Embed sources with a checkpoint's network and input conventions.

    counts: only the first so many detections of each (shorter sources whole). device: where to compute (default:
    where the model is). allow_future_features: hand a network of the original (inputs.features == "file") the features
    of whole curves with the first `counts` detections, to repeat its numbers. Raises EmbeddingError where there are no
    sources or counts is below 1.
    """
    if counts is not None and counts < 1:
        raise EmbeddingError(f"counts = {counts}: expected 1 or more detections")
    model = checkpoint.model
    device = torch.device(device) if device is not None else next(model.parameters()).device
    training = model.training
    model.to(device).eval()
    parts: list[tuple[np.ndarray, ...]] = []
    try:
        with tqdm(
            total=_count(sources), desc="embed", unit="source", disable=not progress, leave=False
        ) as bar:
            for items in _prepared(checkpoint, sources, counts, batch_size * CHUNK, allow_future_features):
                latent = np.empty((len(items), model.latent_dim), np.float32)
                errors = np.empty(len(items), np.float32)
                lengths = np.array([item["seq_len"] for item in items], np.int64)
                for rows in sorted_batches(lengths, batch_size):
                    z, e = embed_batch(model, collate_fn([items[i] for i in rows]), device, reconstruct)
                    latent[rows], errors[rows] = z.numpy(), e.numpy()
                    bar.update(len(rows))
                fine = np.array([item["label_fine"] for item in items], np.int64)
                coarse = np.array([item["label_coarse"] for item in items], np.int64)
                parts.append(
                    (latent, errors, fine, coarse, np.array([item["obj_id"] for item in items]), lengths)
                )
    finally:
        model.train(training)
    if not parts:
        raise EmbeddingError("no sources to embed: expected at least one")
    return Embeddings(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _count(sources: Iterable) -> int | None:
    try:
        return len(sources)
    except TypeError:
        return None


def _prepared(
    checkpoint: Checkpoint, sources: Iterable[Source], counts: int | None, chunk: int, future: bool = False
) -> Iterator[list[dict]]:
    """Items for collate_fn, a chunk at a time."""
    items: list[dict] = []
    for source in sources:
        item = checkpoint.inputs.prepare(source, counts, allow_future_features=future)
        item |= {k: torch.from_numpy(item[k]) for k in ("x", "images", "gp_features") if k in item}
        coarse = checkpoint.scheme.coarse_id(source.label)
        fine = int(source.label) if coarse >= 0 else -1
        item |= {"label_fine": fine, "label_coarse": coarse, "obj_id": source.object_id}
        items.append(item)
        if len(items) == chunk:
            yield items
            items = []
    if items:
        yield items
