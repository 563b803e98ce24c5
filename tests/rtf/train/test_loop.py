"""The loop: what a step does, what is selected, what does not matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rtf_models.data.dataset import collate_fn
from rtf_models.train.data import class_weights
from rtf_models.train.errors import TrainError
from rtf_models.train.loop import amp_type, selection_criterion
from rtf_models.train.metrics import EpochMeans
from rtf_models.train.run import make_trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights_of(trainer):
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.mark.parametrize("mode, epochs, share", [("ae", 8, 0.75), ("vae", 8, 0.75), ("vqvae", 25, 0.9)])
def test_training_learns(mode, epochs, share, small_config, toy_data):
    codes = {"num_codes": 16} if mode == "vqvae" else {}
    trainer = make_trainer(small_config(mode=mode, epochs=epochs, lr=1e-2, dropout=0.0, **codes), toy_data)
    before = trainer.evaluate()
    for _ in range(epochs):
        means = trainer.run_epoch()
    after = trainer.evaluate()
    assert after["recon_cont"] < share * before["recon_cont"]
    assert after["recon_band"] < before["recon_band"]
    assert np.isfinite(list(means.values())).all()


def test_a_step_is_adamw_with_clipped_gradient(small_config, toy_data):
    """Against torch's own pieces: decay 1e-2 on matrices alone, norm clipped to 1."""
    config = small_config(mode="ae", dropout=0.0, attention_dropout=0.0, lr=1e-2)
    trainer, other = make_trainer(config, toy_data), make_trainer(config, toy_data).model
    batch = collate_fn([trainer.train_set[k] for k in range(8)])
    assert same(trainer.model.state_dict(), other.state_dict())  # the seed decides
    trainer.model.eval(), other.eval()  # (the decoder has a dropout of its own)
    trainer.step(1000 * trainer.losses(batch, 0.0)[0]["total_loss"])
    matrices = [p for n, p in other.named_parameters() if p.dim() == 2 and n not in ("cls_tok",)]
    rest = [p for p in other.parameters() if not any(p is m for m in matrices)]
    oracle = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 1e-2}, {"params": rest, "weight_decay": 0.0}], lr=1e-2
    )
    out = other(batch["x"], batch["pad_mask"])
    (1000 * other.compute_loss(batch["x"], batch["pad_mask"], out)["total_loss"]).backward()
    norm = torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    assert norm > 1
    oracle.step()
    for (name, a), b in zip(trainer.model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_the_criterion_has_the_target_beta_not_the_epochs():
    means = {"recon_cont": 1.0, "recon_band": 0.5, "kld": 16.0, "cls_loss": 2.0}
    assert selection_criterion("vae", means, 0.0, 0.1) == pytest.approx(3.1)
    assert selection_criterion("ae", means, 0.5, 0.0) == pytest.approx(2.5)


def test_a_vae_is_not_kept_from_its_warm_up(small_config, toy_data):
    """The original's total rose with beta whatever the network learnt, so its epoch 0 won."""
    trainer = make_trainer(small_config(mode="vae", epochs=20, lr=1e-2), toy_data)
    rows, originals = [], []
    for _ in range(20):
        means = trainer.run_epoch()
        rows.append(trainer.evaluate())
        originals.append(rows[-1]["recon_cont"] + rows[-1]["recon_band"] + means["beta"] * rows[-1]["kld"])
    assert means["beta"] == 1.0 and rows[0]["beta"] == 1.0
    assert int(np.argmin([r["criterion"] for r in rows])) > 4
    assert originals[0] < min(originals[4:])  # the trap is real here


def test_means_are_of_detections_sources_and_labels():
    means = EpochMeans()
    pads = [torch.tensor([[False, True, True]]), torch.zeros(3, 3, dtype=torch.bool)]
    labels = [torch.tensor([-1]), torch.tensor([0, 1, -1])]
    for k, (pad, label) in enumerate(zip(pads, labels, strict=True)):
        value = torch.tensor(float(k))
        means.add({"recon_cont": value, "kld": value, "cls_loss": torch.nan if k == 0 else value}, pad, label)
    result = means.result()
    assert result["recon_cont"] == pytest.approx(9 / 10)
    assert result["kld"] == pytest.approx(3 / 4)
    assert result["cls_loss"] == pytest.approx(1.0)


def test_weighted_class_loss_does_not_depend_on_the_batches():
    from rtf_models.model import classification

    torch.manual_seed(0)
    logits, labels = torch.randn(12, 3), torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, -1, 2])
    weights = torch.tensor([0.2, 1.5, 0.1])
    expected = torch.nn.functional.cross_entropy(logits, labels, weights, ignore_index=-1)
    for cuts in ([12], [7, 5], [1] * 12):
        means = EpochMeans(class_weights=weights)
        for some, known in zip(logits.split(cuts), labels.split(cuts), strict=True):
            loss, right = classification(some, known, weights)
            pad = torch.zeros(len(some), 1, dtype=torch.bool)
            means.add({"cls_loss": loss, "cls_acc": right}, pad, known)
        assert means.result()["cls_loss"] == pytest.approx(float(expected), rel=1e-5)
        accuracy = (logits.argmax(1) == labels)[labels >= 0].float().mean()
        assert means.result()["cls_acc"] == pytest.approx(float(accuracy))


def test_codes_are_counted_over_the_split():
    means = EpochMeans(num_codes=8, n_codebooks=2)
    pad, labels = torch.zeros(2, 1, dtype=torch.bool), torch.tensor([0, 0])
    means.add({}, pad, labels, torch.tensor([[0, 1], [0, 2]]))
    means.add({}, pad, labels, torch.tensor([[3, 1], [0, 7]]))
    assert means.result()["codes_used"] == pytest.approx((2 + 3) / 2)


def test_workers_change_nothing(small_config, toy_data):
    results = []
    for workers in (0, 2):
        trainer = make_trainer(small_config(mode="vae", random_truncate=True, num_workers=workers), toy_data)
        trainer.run_epoch()
        results.append(weights_of(trainer))
    assert same(*results)


def test_seed_and_epoch_decide(small_config, toy_data):
    results = []
    for seed in (0, 0, 1):
        torch.rand(3)  # whatever the global generator did before
        trainer = make_trainer(small_config(mode="vae", random_truncate=True, seed=seed), toy_data)
        trainer.run_epoch()
        results.append(weights_of(trainer))
    assert same(results[0], results[1]) and not same(results[0], results[2])


def test_truncation_in_training_alone(small_config, toy_data):
    trainer = make_trainer(small_config(random_truncate=True), toy_data)
    whole = [toy_data.inputs.length(s) for s in toy_data.train]
    trainer.train_set.set_epoch(0)
    first = trainer.train_set.lengths()
    trainer.train_set.set_epoch(1)
    assert (first < whole).any() and (first <= whole).all() and (first != trainer.train_set.lengths()).any()
    assert trainer.val_set.lengths().tolist() == [toy_data.inputs.length(s) for s in toy_data.val]


def test_unknown_labels_train_reconstruction_alone(small_config, toy_data):
    unknown = replace(toy_data, train=[replace(s, label=-1) for s in toy_data.train])
    config = small_config(mode="ae", cls_weight=1.0, lr=1e-2)
    trainer = make_trainer(config, unknown)
    head = [p.clone() for p in trainer.model.cls_head.parameters() if p.dim() == 1]  # biases do not decay
    means = trainer.run_epoch()
    assert means["cls_loss"] == 0.0 and np.isfinite(means["total_loss"])
    assert all(
        torch.equal(a, b)
        for a, b in zip(head, (p for p in trainer.model.cls_head.parameters() if p.dim() == 1), strict=True)
    )


def test_class_weights(small_config, toy_data):
    """12 of class 0 and 12 of class 1 of three; then 12 and 3."""
    assert class_weights(small_config(), toy_data) is None
    config = small_config(cls_weight=1.0, class_weights="balanced")
    assert class_weights(config, toy_data).tolist() == pytest.approx([1.0, 1.0, 0.0])
    few = replace(toy_data, train=[s for k, s in enumerate(toy_data.train) if s.label == 0 or k % 4 == 1])
    n0, n1 = (sum(s.label == k for s in few.train) for k in (0, 3))
    weights = class_weights(config, few)
    assert (weights[1] / weights[0]).item() == pytest.approx(n0 / n1)
    assert (weights[0] * n0 + weights[1] * n1).item() == pytest.approx(n0 + n1)
    root = class_weights(small_config(cls_weight=1.0, class_weights="sqrt"), few)
    assert (root[1] / root[0]).item() == pytest.approx((n0 / n1) ** 0.5)


def test_bf16_on_the_cpu_is_close(small_config, toy_data):
    batch = None
    found = []
    for amp in ("none", "bf16"):
        trainer = make_trainer(small_config(mode="vae", amp=amp), toy_data)
        trainer.model.eval()
        batch = batch or collate_fn([trainer.train_set[k] for k in range(8)])
        found.append(trainer.losses(batch, 1.0)[0]["total_loss"].item())
        trainer.run_epoch()
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert found[0] != found[1] and found[0] == pytest.approx(found[1], rel=0.02)


def test_fp16_needs_cuda():
    assert amp_type("auto", CPU) is None
    with pytest.raises(TrainError, match="fp16"):
        amp_type("fp16", CPU)


def test_a_loss_that_is_no_number_is_said(small_config, toy_data):
    trainer = make_trainer(small_config(lr=1e-3), toy_data)
    with torch.no_grad():
        trainer.model.in_proj.weight.fill_(float("nan"))
    with pytest.raises(TrainError, match="loss nan in epoch 1"):
        trainer.run_epoch()


def test_attention_dropout_is_its_own(small_config, toy_data):
    from rtf_models.model import SelfAttention

    model = make_trainer(small_config(dropout=0.3, attention_dropout=0.0), toy_data).model
    assert {m.dropout for m in model.modules() if isinstance(m, SelfAttention)} == {0.0}
    assert {m.p for m in model.encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
