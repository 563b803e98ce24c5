"""MLP probes: what they learn, and that the test set chooses nothing."""

import numpy as np
import pytest
import torch

from rtf_models.classes import APPLECIDER
from rtf_models.evaluation import linear_probe, mlp_probe
from rtf_models.evaluation.errors import EvaluationError
from rtf_models.evaluation.mlp import DECODERS, Decoder, _epoch, class_weights

FEW = {"linear": Decoder((), 0.0, 15), "mlp2": Decoder((16, 8), 0.1, 30)}
COUNTS = {0: 60, 3: 40, 8: 20}


def rings(rng, embeddings, n=150):
    """Two classes on rings about each other: no plane parts them."""
    labels = np.repeat([0, 8], n)
    radius = np.where(labels == 0, 1.0, 3.0) + rng.normal(0, 0.15, 2 * n)
    angle = rng.uniform(0, 2 * np.pi, 2 * n)
    return embeddings(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), labels)


def test_a_network_finds_what_a_plane_cannot(embeddings, replace):
    rng = np.random.default_rng(0)
    train, test = rings(rng, embeddings), rings(rng, embeddings)
    assert linear_probe(train, test, APPLECIDER)["coarse"]["accuracy"] < 0.65
    decoders = FEW | {"mlp2": Decoder((64, 32), 0.1, 100)}
    found = mlp_probe(train, test, APPLECIDER, decoders=decoders)["coarse"]
    assert found["best"] == "mlp2"
    assert found["decoders"]["mlp2"]["test"]["accuracy"] > 0.95 > 0.7 > found["decoders"]["linear"]["test"]["accuracy"]
    swapped = replace(test, labels_fine=8 - test.labels_fine, labels_coarse=3 - test.labels_coarse)
    upside_down = mlp_probe(train, swapped, APPLECIDER, decoders=decoders)["coarse"]
    scores = {name: r["test"]["accuracy"] for name, r in upside_down["decoders"].items()}
    assert upside_down["best"] == "mlp2" and scores["mlp2"] < 0.05 < scores["linear"], "validation chooses (bug 20)"


def test_the_sizes_are_those_of_the_original():
    assert {name: (d.hidden, d.dropout, d.epochs) for name, d in DECODERS.items()} == {
        "linear": ((), 0.0, 100), "mlp2": ((256, 128), 0.3, 100), "mlp3": ((512, 256, 128), 0.4, 150)}  # fmt: skip
    network = DECODERS["mlp2"].build(64, 5)
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert sum(p.numel() for p in network.parameters()) == 64 * 256 + 3 * 256 + 256 * 128 + 3 * 128 + 128 * 5 + 5


def test_the_test_set_chooses_nothing(clusters, replace):
    """Bug 20: other test labels, the same networks, epochs and choice."""
    rng = np.random.default_rng(1)
    train, test = clusters(rng, COUNTS, 0.8), clusters(rng, COUNTS, 0.8)
    shuffled = rng.permutation(len(test))
    other = replace(test, labels_fine=test.labels_fine[shuffled], labels_coarse=test.labels_coarse[shuffled])
    first, second = (mlp_probe(train, part, APPLECIDER, decoders=FEW) for part in (test, other))
    for level in ("coarse", "fine"):
        assert first[level]["best"] == second[level]["best"]
        for name in FEW:
            a, b = first[level]["decoders"][name], second[level]["decoders"][name]
            assert (a["validation"], a["best_epoch"]) == (b["validation"], b["best_epoch"])
            assert a["test"] != b["test"]
    scores = {name: r["validation"]["balanced_accuracy"] for name, r in first["coarse"]["decoders"].items()}
    assert first["coarse"]["best"] == max(scores, key=scores.get)


def test_seeded(clusters):
    rng = np.random.default_rng(2)
    parts = [clusters(rng, COUNTS, 0.8) for _ in range(2)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [mlp_probe(*parts, APPLECIDER, decoders=FEW, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] and runs[0]["coarse"] != runs[2]["coarse"]
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers are the caller's"


def test_rare_classes_weigh_more():
    labels = torch.tensor([0] * 99 + [1] * 9)
    weights = class_weights(labels, 3)
    assert weights.sum() == pytest.approx(3)
    assert (weights[1:] / weights[:-1]).tolist() == pytest.approx([10, 10])


def test_missing_classes_and_unknown_labels(clusters):
    """A class that the test lacks, one that training lacks, labels -1: all reported, nothing fails (bug 19)."""
    rng = np.random.default_rng(3)
    train, test = clusters(rng, {0: 50, 3: 50}), clusters(rng, {0: 10, 9: 10, -1: 10})
    found = mlp_probe(train, test, APPLECIDER, decoders=FEW)["coarse"]["decoders"]["linear"]["test"]
    assert found["n"] == 20 and found["per_class"]["TDE"]["recall"] == 0
    assert found["missing_in_training"] == ["Cataclysmic", "AGN", "TDE"] and "SN cc" in found["missing_in_test"]


def test_a_last_batch_of_one_row(clusters):
    """Batch norm cannot train on one row: 321 rows leave 257 to fit on, 256 + 1."""
    rng = np.random.default_rng(4)
    train = clusters(rng, {0: 200, 3: 121}, 0.2)
    decoders = {"one": Decoder((4,), 0.0, 2)}
    assert len(train) - int(0.2 * len(train)) == 257
    assert mlp_probe(train, train, APPLECIDER, decoders=decoders)["coarse"]["best"] == "one"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_hardly_any_sources(n, embeddings):
    """One is refused in words; two and three train, badly."""
    found = embeddings(np.eye(3)[:n], [0, 3, 8][:n])
    if n == 1:
        with pytest.raises(EvaluationError, match="two labelled classes"):
            mlp_probe(found, found, APPLECIDER)
    else:
        assert mlp_probe(found, found, APPLECIDER, decoders={"one": Decoder((4,), 0.0, 2)})["coarse"]["best"] == "one"


def test_one_row_leaves_the_network_as_it_is():
    network = Decoder((4,), 0.0, 2).build(3, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters())
    _epoch(network, torch.randn(1, 3), torch.zeros(1, dtype=torch.long), torch.nn.CrossEntropyLoss(), optimiser)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_cannot_be_learnt_is_refused(clusters, embeddings):
    rng = np.random.default_rng(5)
    with pytest.raises(EvaluationError, match="two labelled classes"):
        mlp_probe(clusters(rng, {0: 30}), clusters(rng, COUNTS), APPLECIDER, decoders=FEW)
    bad = embeddings(np.full((60, 3), np.nan), [0, 3] * 30)
    with pytest.raises(EvaluationError, match="not finite"):
        mlp_probe(bad, bad, APPLECIDER, decoders=FEW)
