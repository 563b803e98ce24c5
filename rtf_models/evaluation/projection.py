"""Maps of a latent space: two dimensions for the eye."""

from __future__ import annotations

import warnings

import numpy as np

from rtf_models.errors import MissingPackage, require

from .errors import EvaluationError

METHODS = ("umap", "tsne", "pca")
TITLES = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
NEIGHBOURS, MIN_DIST, PERPLEXITY, SEED = 30, 0.3, 30, 42


def project(embeddings: np.ndarray, method: str, *, seed: int = SEED) -> np.ndarray:
    """(N, D) -> (N, 2) float64. UMAP: 30 neighbours, min_dist 0.3, cosine; t-SNE: perplexity 30, from PCA; fewer
    neighbours for few points.

    Raises EvaluationError for another method, fewer than five points or values that are not finite; MissingPackage
    without scikit-learn, or umap-learn for "umap".
    """
    embeddings = np.asarray(embeddings, np.float64)
    if method not in METHODS:
        raise EvaluationError(f"method '{method}': expected one of {', '.join(METHODS)}")
    if embeddings.ndim != 2 or len(embeddings) < 5 or not np.isfinite(embeddings).all():
        raise EvaluationError(f"fingerprints of shape {embeddings.shape}: expected five or more of finite numbers")
    return {"umap": _umap, "tsne": _tsne, "pca": _pca}[method](embeddings, seed)


def available_method(method: str) -> str:
    """The method, or "tsne" where it is "umap" and umap-learn is not installed."""
    if method != "umap":
        return method
    try:
        require("umap", "umap")
    except MissingPackage:
        return "tsne"
    return method


def _umap(embeddings: np.ndarray, seed: int) -> np.ndarray:
    umap = require("umap", "umap")
    neighbours = min(NEIGHBOURS, len(embeddings) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, and that a seed means one thread
        reducer = umap.UMAP(n_components=2, n_neighbors=neighbours, min_dist=MIN_DIST, metric="cosine",
                            random_state=seed, n_jobs=1)  # fmt: skip
        return np.asarray(reducer.fit_transform(embeddings), np.float64)


def _tsne(embeddings: np.ndarray, seed: int) -> np.ndarray:
    manifold = require("sklearn.manifold", "rtf")
    perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
    tsne = manifold.TSNE(2, perplexity=perplexity, init="pca" if embeddings.shape[1] > 1 else "random",
                         random_state=seed)  # fmt: skip
    return np.asarray(tsne.fit_transform(embeddings), np.float64)


def _pca(embeddings: np.ndarray, seed: int) -> np.ndarray:
    centred = embeddings - embeddings.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2].sum(1, keepdims=True) + (axes[:2].sum(1, keepdims=True) == 0))
    points = centred @ axes.T
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
