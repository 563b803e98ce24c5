"""Objects alike: nearest fingerprints by cosine, through FAISS."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf_models.classes import ClassScheme
from rtf_models.embedding import BROKEN_NPZ, Embeddings
from rtf_models.errors import require
from venom_hw.atomic import write_atomically

from .errors import EvaluationError
from .probe import labels_of

KINDS = ("flat", "hnsw")
HNSW_LINKS, HNSW_BUILD, HNSW_SEARCH = 32, 200, 128


@dataclass(frozen=True)
class SimilarityIndex:
    """Normalised fingerprints in a FAISS index of inner products: exact ("flat"), or approximate and faster for
    millions of objects ("hnsw", Malkov and Yashunin 2018).

    object_ids (N,) str, labels (N,) int64 fine ids (-1 unknown), in the order of the rows.
    """

    index: object
    kind: str
    object_ids: np.ndarray
    labels: np.ndarray
    scheme: ClassScheme

    def __len__(self) -> int:
        return len(self.object_ids)

    @property
    def dimension(self) -> int:
        return int(self.index.d)

    @classmethod
    def build(cls, embeddings: Embeddings, scheme: ClassScheme, kind: str = "flat") -> SimilarityIndex:
        """Raises EvaluationError for an unknown kind or values that are not finite, MissingPackage without FAISS."""
        faiss = require("faiss", "rtf")
        if kind not in KINDS:
            raise EvaluationError(f"index '{kind}': expected one of {', '.join(KINDS)}")
        vectors = normalised(embeddings.embeddings)
        if kind == "flat":
            index = faiss.IndexFlatIP(vectors.shape[1])
        else:
            index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD, HNSW_SEARCH
        index.add(vectors)
        ids = np.asarray(embeddings.obj_ids).astype(str)
        return cls(index, kind, ids, labels_of(embeddings, "fine", scheme), scheme)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each query (Q, D): cosines (Q, k) descending and rows (Q, k); fewer where there are fewer.

        Raises EvaluationError for k below 1 or queries of another dimension.
        """
        queries = np.atleast_2d(np.asarray(queries, np.float32))
        if k < 1:
            raise EvaluationError(f"k = {k}: expected 1 neighbour or more")
        if queries.shape[1] != self.dimension:
            raise EvaluationError(
                f"queries of dimension {queries.shape[1]}: expected {self.dimension}, as in the index; "
                "fingerprints of one network only can be compared"
            )
        return self.index.search(normalised(queries), min(k, len(self)))

    def neighbours(self, query: np.ndarray, k: int, *, leave_out: str | None = None) -> list[dict]:
        """The k nearest of one query (D,): object_id, cosine, class; `leave_out` is an object id, the query's own."""
        cosines, rows = self.search(query, k + (leave_out is not None))
        found = [
            {"object_id": str(self.object_ids[row]), "cosine": float(cosine), "class": self.class_of(row)}
            for cosine, row in zip(cosines[0], rows[0], strict=True)
            if row >= 0 and self.object_ids[row] != leave_out
        ]
        return found[:k]

    def class_of(self, row: int) -> str:
        label = int(self.labels[row])
        return self.scheme.fine[label] if label >= 0 else "unknown"

    def save(self, path: str | Path) -> Path:
        """Write index and objects as one npz file, whole or not at all; its path."""
        faiss = require("faiss", "rtf")
        buffer = io.BytesIO()
        header = json.dumps({"kind": self.kind, "scheme": self.scheme.to_dict()})
        np.savez(buffer, faiss=faiss.serialize_index(self.index), object_ids=self.object_ids, labels=self.labels,
                 header=np.array(header))  # fmt: skip
        return write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> SimilarityIndex:
        """Raises EvaluationError for a file that `save` did not write."""
        faiss = require("faiss", "rtf")
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                scheme = ClassScheme.from_dict(header["scheme"], str(path))
                index = faiss.deserialize_index(file["faiss"])
                loaded = cls(index, header["kind"], file["object_ids"], file["labels"], scheme)
        except (*BROKEN_NPZ, RuntimeError) as error:
            raise EvaluationError(f"{path}: {error}; expected an index that search --save-index wrote") from error
        if not index.ntotal == len(loaded) == len(loaded.labels):
            raise EvaluationError(f"{path}: {index.ntotal} vectors and {len(loaded)} objects; expected as many")
        return loaded


def normalised(vectors: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length one, contiguous; a vector of zeros stays one, alike to nothing.

    Raises EvaluationError for values that are not finite.
    """
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise EvaluationError(f"fingerprints of shape {vectors.shape}: expected (N, D) of finite numbers")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(norms > 0, norms, 1.0), np.float32)


def precision_at_k(
    index: SimilarityIndex, queries: Embeddings, ks: Sequence[int] = (1, 5, 10, 20), level: str = "coarse"
) -> dict:
    """How many of the k nearest labelled objects are of the query's class, the query itself left out.

    Result: n queries, per_class {name: {n, share of the index (what chance would give), "1": ..., "5": ...}},
    mean over queries and macro over classes, each by k. Unlabelled queries and neighbours take no part.
    Raises EvaluationError where nothing is labelled.
    """
    scheme, ks = index.scheme, sorted({int(k) for k in ks})
    names = getattr(scheme, level)
    known = index.labels >= 0
    stored = index.labels.copy()
    if level == "coarse":
        stored = np.array([scheme.coarse_id(int(k)) for k in stored], np.int64)
    wanted = labels_of(queries, level, scheme)
    rows = np.flatnonzero(wanted >= 0)
    if not len(rows) or not known.any() or not ks or ks[0] < 1:
        raise EvaluationError(
            f"{len(rows)} labelled queries, {int(known.sum())} labelled objects in the index, k = {ks}: expected one "
            "or more of each"
        )
    spare = int((~known).sum())
    _, found = index.search(queries.embeddings[rows], ks[-1] + 1 + min(spare, len(index)))
    ids = np.asarray(queries.obj_ids).astype(str)[rows]
    values = np.full((len(rows), len(ks)), np.nan)
    for i, (own, near) in enumerate(zip(ids, found, strict=True)):
        near = near[near >= 0]
        near = near[known[near] & (index.object_ids[near] != own)]
        for j, k in enumerate(ks):
            if len(near):
                values[i, j] = (stored[near[:k]] == wanted[rows[i]]).mean()
    classes = [k for k in range(len(names)) if (wanted[rows] == k).any()]
    per_class = {}
    for k in classes:
        mean = np.nanmean(values[wanted[rows] == k], axis=0)
        per_class[names[k]] = {"n": int((wanted[rows] == k).sum()), "share": float((stored[known] == k).mean()),
                               **_by_k(ks, mean)}  # fmt: skip
    macro = [np.mean([c[str(k)] for c in per_class.values()]) for k in ks]
    return {
        "n": len(rows),
        "per_class": per_class,
        "mean": _by_k(ks, np.nanmean(values, axis=0)),
        "macro": _by_k(ks, macro),
    }


def _by_k(ks: Sequence[int], values) -> dict[str, float]:
    return {str(k): float(value) for k, value in zip(ks, values, strict=True)}
