"""Maps: the axes of PCA, clusters that stay apart, seeds, and what happens without umap-learn."""

import numpy as np
import pytest

from rtf_models.errors import MissingPackage
from rtf_models.evaluation import project, projection
from rtf_models.evaluation.errors import EvaluationError


def blobs(n=30, dimension=8):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], n)
    return 10 * np.eye(dimension)[labels] + rng.normal(0, 0.3, (3 * n, dimension)), labels


def nearest_is_of_the_class(points, labels):
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return (labels[distances.argmin(1)] == labels).mean()


def test_pca_gives_the_two_widest_axes():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(0, 1, (5, 5)))[0]
    values = rng.normal(0, 1, (400, 5)) * [9, 4, 0.1, 0.1, 0.1]
    points = project(values @ turn.T, "pca")
    for k in range(2):
        assert abs(np.corrcoef(points[:, k], values[:, k])[0, 1]) > 0.99
    assert np.array_equal(points, project(values @ turn.T, "pca")) and np.allclose(points.mean(0), 0)


@pytest.mark.parametrize("method", ["tsne", "pca", pytest.param("umap", marks=pytest.mark.slow)])
def test_clusters_stay_apart_and_seeds_repeat(method):
    values, labels = blobs()
    points = project(values, method, seed=1)
    assert points.shape == (90, 2) and np.isfinite(points).all()
    assert nearest_is_of_the_class(points, labels) == 1
    assert np.array_equal(points, project(values, method, seed=1))


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_few_points_and_one_dimension(method):
    values = np.random.default_rng(2).normal(0, 1, (6, 1))
    assert project(values, method).shape == (6, 2)


def test_without_umap_it_is_tsne(monkeypatch):
    def missing(module, extra):
        raise MissingPackage(f"{module}: pip install venom-hw[{extra}]")

    monkeypatch.setattr(projection, "require", missing)
    assert [projection.available_method(m) for m in ("umap", "pca")] == ["tsne", "pca"]


@pytest.mark.parametrize(
    "values, method, said",
    [(np.zeros((9, 2)), "isomap", "expected one of umap, tsne, pca"), (np.zeros((4, 2)), "pca", "five or more"),
     (np.full((9, 2), np.nan), "pca", "finite")],
    ids=["method", "few", "nan"],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(values, method, said):
    with pytest.raises(EvaluationError, match=said):
        project(values, method)
