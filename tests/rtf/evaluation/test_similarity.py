"""Similarity search: the neighbours of brute force, files that come back the same, precision by hand."""

import numpy as np
import pytest

from rtf_models.classes import APPLECIDER
from rtf_models.evaluation import SimilarityIndex, precision_at_k
from rtf_models.evaluation.errors import EvaluationError


@pytest.fixture
def stored(embeddings):
    rng = np.random.default_rng(0)
    return embeddings(rng.normal(0, 1, (500, 16)) * rng.uniform(0.1, 10, (500, 1)), rng.integers(0, 10, 500))


def brute_force(stored, queries, k):
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (stored.astype(float), queries.astype(float)))
    cosines = b @ a.T
    rows = np.argsort(-cosines, axis=1)[:, :k]
    return np.take_along_axis(cosines, rows, 1), rows


def test_neighbours_are_those_of_brute_force(stored):
    queries = np.random.default_rng(1).normal(0, 3, (40, 16))
    cosines, rows = SimilarityIndex.build(stored, APPLECIDER).search(queries, 10)
    expected = brute_force(stored.embeddings, queries, 10)
    assert np.array_equal(rows, expected[1]) and np.allclose(cosines, expected[0], atol=1e-6)


def test_the_length_of_a_fingerprint_does_not_matter(stored):
    index = SimilarityIndex.build(stored, APPLECIDER)
    query = stored.embeddings[7]
    for scale in (1e-3, 1.0, 1e4):
        cosines, rows = index.search(scale * query, 3)
        assert rows[0, 0] == 7 and cosines[0, 0] == pytest.approx(1, abs=1e-5)


def test_the_approximate_index_finds_nearly_all(stored):
    queries = np.random.default_rng(2).normal(0, 1, (100, 16))
    _, rows = SimilarityIndex.build(stored, APPLECIDER, "hnsw").search(queries, 10)
    _, exact = brute_force(stored.embeddings, queries, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)]) > 0.95


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_index_comes_back_the_same(stored, tmp_path, kind):
    index = SimilarityIndex.build(stored, APPLECIDER, kind)
    read = SimilarityIndex.load(index.save(tmp_path / "objects.index"))
    query = np.random.default_rng(3).normal(0, 1, 16)
    assert read.neighbours(query, 5) == index.neighbours(query, 5)
    assert (read.kind, len(read), read.dimension, read.scheme) == (kind, 500, 16, APPLECIDER)


def test_neighbours_have_names_and_classes(stored):
    index = SimilarityIndex.build(stored, APPLECIDER)
    found = index.neighbours(stored.embeddings[3], 4, leave_out="o3")
    assert len(found) == 4 and "o3" not in {one["object_id"] for one in found}
    for one in found:
        assert one["class"] == APPLECIDER.fine[stored.labels_fine[int(one["object_id"][1:])]]
    assert index.neighbours(stored.embeddings[3], 1)[0]["object_id"] == "o3"
    assert len(index.neighbours(stored.embeddings[3], 10_000)) == 500


def test_precision_by_hand(embeddings):
    """Four objects on a circle by angle: 0 (SN Ia), 10 (SN Ia), 25 (AGN), 90 (AGN); a query at 1 degree is SN Ia."""
    at = lambda degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1)  # noqa: E731
    index = SimilarityIndex.build(embeddings(at([0, 10, 25, 90]), [0, 0, 8, 8]), APPLECIDER)
    queries = embeddings(at([1, 80]), [0, 8], ids=["q0", "q1"])
    found = precision_at_k(index, queries, (1, 2, 3, 4))
    assert found["per_class"]["SN Ia"] == {"n": 1, "share": 0.5, "1": 1, "2": 1, "3": pytest.approx(2 / 3), "4": 0.5}
    assert found["per_class"]["AGN"] == {"n": 1, "share": 0.5, "1": 1, "2": 1, "3": pytest.approx(2 / 3), "4": 0.5}
    assert found["mean"]["3"] == found["macro"]["3"] == pytest.approx(2 / 3)
    own = precision_at_k(index, index_queries(embeddings, at), (1, 2))
    assert own["per_class"]["SN Ia"]["1"] == 1, "0 and 10 find each other, not themselves"
    assert own["per_class"]["AGN"]["1"] == 0.5, "25 finds 10; 90 finds 25"


def index_queries(embeddings, at):
    return embeddings(at([0, 10, 25, 90]), [0, 0, 8, 8])


def test_the_mean_over_classes_is_not_ruled_by_the_commonest(clusters, embeddings):
    rng = np.random.default_rng(4)
    noise = embeddings(rng.normal(0, 1, (1000, 8)), [0] * 900 + [8] * 100)
    found = precision_at_k(SimilarityIndex.build(noise, APPLECIDER), noise, (10,))
    assert found["mean"]["10"] == pytest.approx(0.82, abs=0.03) and found["macro"]["10"] == pytest.approx(0.5, abs=0.05)


def test_unlabelled_objects_take_no_part(embeddings):
    vectors = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1.0]])
    index = SimilarityIndex.build(embeddings(vectors, [-1, -1, 0, 8]), APPLECIDER)
    queries = embeddings([[1, 0], [0, 1]], [0, -1], ids=["a", "b"])
    found = precision_at_k(index, queries, (1, 2))
    assert found["n"] == 1 and found["mean"] == {"1": 1.0, "2": 0.5}
    assert index.class_of(0) == "unknown"


def test_what_does_not_fit_is_refused(stored, embeddings, tmp_path):
    index = SimilarityIndex.build(stored, APPLECIDER)
    with pytest.raises(EvaluationError, match="dimension 3: expected 16"):
        index.search(np.zeros((1, 3)), 1)
    with pytest.raises(EvaluationError, match="k = 0"):
        index.search(stored.embeddings[:1], 0)
    with pytest.raises(EvaluationError, match="index 'tree'"):
        SimilarityIndex.build(stored, APPLECIDER, "tree")
    with pytest.raises(EvaluationError, match="finite"):
        SimilarityIndex.build(embeddings([[np.nan, 1]], [0]), APPLECIDER)
    with pytest.raises(EvaluationError, match="labelled queries"):
        precision_at_k(index, embeddings(stored.embeddings[:2], [-1, -1]))
    (tmp_path / "no.index").write_bytes(b"nothing")
    with pytest.raises(EvaluationError, match="no.index"):
        SimilarityIndex.load(tmp_path / "no.index")


def test_damaged_index_files(stored, tmp_path):
    path = SimilarityIndex.build(stored, APPLECIDER).save(tmp_path / "a.index")
    whole = path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[100:160] = bytes(60)
    for content in (b"", whole[: len(whole) // 2], whole[:-30], bytes(spoiled), b"PK\3\4" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(EvaluationError, match="a.index"):
            SimilarityIndex.load(path)


def test_a_fingerprint_of_zeros_is_alike_to_nothing(embeddings):
    index = SimilarityIndex.build(embeddings([[0, 0], [1, 0]], [0, 8]), APPLECIDER)
    assert index.neighbours(np.array([0.0, 0.0]), 2)[0]["cosine"] == 0
