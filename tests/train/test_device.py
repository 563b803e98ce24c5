"""A step on a device other than the CPU. PyTorch's "meta" device stands in for one: it computes shapes alone, and as on
a GPU an operation on tensors of two devices is an error.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from venom_hw.train import TrainConfig, Trainer, TrainError, loop

SMALL = TrainConfig(d_model=4, d_state=2, d_head_hidden=4, epochs=1, batch=64, micro_batch=40, jitter=["0.01"])


@pytest.fixture()
def other_device(monkeypatch):
    monkeypatch.setattr(loop, "choose_device", lambda name: "meta")
    monkeypatch.setattr(torch.Tensor, "item", lambda self: 0.25)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_all_of_a_step_happens_on_the_device(toy_data, other_device, short, again):
    counts, target, lengths = toy_data.training_tensors()
    lengths[0] -= int(short)
    config = dataclasses.replace(SMALL, checkpoint_activations=again)
    run = Trainer(config, toy_data.normalisation, counts, target, lengths, jitter=toy_data.jitter(["0.01"]))
    if short:
        run.model.forward = lambda x, lengths: forward_masked(run.model, x, lengths)
    assert run.run_epoch() == pytest.approx(0.5)  # two micro-batches a step
    moments = [m for state in run.optimiser.state.values() for m in (state["exp_avg"], state["exp_avg_sq"])]
    tensors = [*run.model.parameters(), *run.average.parameters(), *moments]
    assert {t.device.type for t in tensors} == {"meta"}
    assert run.counts.device.type == "cpu"  # the pulses stay


def forward_masked(model, x, lengths):
    """The masked forward, without its check of values (a meta tensor has none)."""
    assert lengths.device == x.device
    mask = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
    return model.head(model.backbone(x), mask)


def test_a_tensor_left_on_the_cpu_would_be_seen(toy_data, other_device):
    run = Trainer(SMALL, toy_data.normalisation, *toy_data.training_tensors())
    run.std = torch.ones(2)
    with pytest.raises(RuntimeError, match="device"):
        run.run_epoch()


def test_a_device_that_is_not_there(toy_data):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TrainError, match="setting device = 'cuda': not available here; expected one of"):
        Trainer(dataclasses.replace(SMALL, device="cuda"), toy_data.normalisation, *toy_data.training_tensors())


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_run_on_an_accelerator_is_near_that_on_the_cpu(toy_data, device):
    from venom_hw.backend import usable_devices

    if device not in usable_devices():
        pytest.skip(f"needs a machine with {device}")
    config = dataclasses.replace(SMALL, jitter=[], epochs=2)
    losses = []
    for name in ("cpu", device):
        run = Trainer(dataclasses.replace(config, device=name), toy_data.normalisation, *toy_data.training_tensors())
        losses.append([run.run_epoch() for _ in range(2)])
        assert next(run.average.parameters()).device.type == name
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
