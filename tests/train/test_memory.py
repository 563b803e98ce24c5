"""Micro-batches and activation checkpointing: less memory, the same gradient."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from venom_hw.model import MKIDEnergySSM
from venom_hw.train import TrainConfig, Trainer

SMALL = TrainConfig(d_model=8, d_state=4, n_layers=2, d_head_hidden=8, epochs=2, batch=64, lr=1e-2, seed=7)


def gradient(data, config, index) -> torch.Tensor:
    """Of one step's loss, in float64."""
    run = Trainer(config, data.normalisation, *data.training_tensors())
    run.model.double()
    run.mean, run.std = run.mean.double(), run.std.double()
    run.accumulate_gradients(index, run.target.double())
    return torch.cat([p.grad.flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("loss", ["gaussian_nll", "mse"])
@pytest.mark.parametrize("micro", [1, 17, 64, 100])
def test_micro_batches_add_up_to_the_gradient_of_the_whole(toy_data, loss, micro):
    config = dataclasses.replace(SMALL, loss=loss)
    index = torch.arange(3, 67)  # 64 pulses: with 17, parts of 17, 17, 17 and 13
    whole = gradient(toy_data, config, index)
    parts = gradient(toy_data, dataclasses.replace(config, micro_batch=micro), index)
    assert whole.abs().max() > 1e-3
    assert torch.allclose(parts, whole, rtol=1e-9, atol=1e-12)


def test_parts_of_unlike_size_need_their_weights(toy_data):
    """The plain mean of the parts' gradients is another one: the test above would see it."""
    index = torch.arange(3, 67)
    whole = gradient(toy_data, SMALL, index)
    plain = torch.stack([gradient(toy_data, SMALL, part) for part in index.split(17)]).mean(0)
    assert (plain - whole).abs().max() > 1e-3 * whole.abs().max()


def test_a_run_in_micro_batches_ends_where_the_whole_one_does(toy_data):
    runs = [
        Trainer(dataclasses.replace(SMALL, micro_batch=m), toy_data.normalisation, *toy_data.training_tensors())
        for m in (0, 20)
    ]
    losses = [[run.run_epoch() for _ in range(2)] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3) and losses[0] != losses[1]


def saved_bytes(model, x) -> int:
    """What autograd keeps for the backward pass, each storage once."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        mu, _ = model(x)
    kept.pop(x.untyped_storage().data_ptr(), None)
    return sum(kept.values()) + 0 * len(mu)


def test_checkpointed_activations_give_the_same_bits_from_less_memory():
    torch.manual_seed(0)
    plain = MKIDEnergySSM(d_model=8, d_state=4, n_layers=4, d_head_hidden=8)
    frugal = copy.deepcopy(plain)
    frugal.backbone.checkpoint_activations = True
    x = torch.randn(32, 40, 2)
    for model in (plain, frugal):
        mu, logvar = model(x)
        (mu.square() + logvar).mean().backward()
    for (name, a), b in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name
    assert saved_bytes(frugal, x) < 0.3 * saved_bytes(plain, x)


def test_checkpointing_is_a_setting_and_changes_no_bit_of_a_run(toy_data):
    weights = []
    for again in (False, True):
        config = dataclasses.replace(SMALL, checkpoint_activations=again)
        run = Trainer(config, toy_data.normalisation, *toy_data.training_tensors())
        assert run.model.backbone.checkpoint_activations is again
        run.run_epoch()
        weights.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    assert torch.equal(*weights)
