"""The loop: it learns, its schedule and averages are right, and a resumed run has the bits of an uninterrupted one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from venom_hw.train import TrainConfig, Trainer, TrainError
from venom_hw.train.loop import gaussian_nll, mean_square
from venom_hw.train.resume import read_state, restore_state, save_state, saved_config
from venom_hw.train.schedule import warm_up_then_cosine

SMALL = TrainConfig(d_model=8, d_state=4, d_head_hidden=8, epochs=3, batch=64, lr=1e-2, warmup=1.0, seed=7)


def trainer(data, config=SMALL):
    torch.set_num_threads(1)
    return Trainer(config, data.normalisation, *data.training_tensors())


def state(run):
    out = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    out |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for k, moments in run.optimiser.state_dict()["state"].items():
        out |= {f"{k}.{name}": v for name, v in moments.items()}
    return out


def test_training_reduces_the_loss_and_finds_the_energy(toy_data):
    run = trainer(toy_data, dataclasses.replace(SMALL, epochs=12))
    first = run.run_epoch()
    while not run.finished:
        last = run.run_epoch()
    assert last < first - 1.0
    x, energy, _ = toy_data.training_tensors()
    with torch.no_grad():
        mu, logvar = run.average(((x.float() - run.mean) / run.std)[:200])
    error = (mu - energy[:200]).square().mean().sqrt()
    assert error < 0.35  # of the standard deviation of the labels
    assert 0.3 < error / torch.exp(logvar / 2).mean() < 3  # the stated sigma means what it says


def test_resumed_run_has_the_same_bits(tmp_path, toy_data):
    whole = trainer(toy_data)
    while not whole.finished:
        whole.run_epoch()
    first = trainer(toy_data)
    first.run_epoch()
    first.history.append({"epoch": 1, "train_loss": 0.5})
    save_state(tmp_path, first)
    torch.rand(100)  # the global generator plays no part
    second = trainer(toy_data, saved_config(tmp_path))
    restore_state(tmp_path, second)
    assert (second.epoch, second.step, second.history) == (1, first.step, first.history)
    while not second.finished:
        second.run_epoch()
    wanted, found = state(whole), state(second)
    assert wanted.keys() == found.keys() and len(wanted) > 60
    assert [k for k in wanted if not torch.equal(wanted[k], found[k])] == []
    assert [k for k, v in state(first).items() if torch.equal(v, wanted[k])] == []  # and training did change all


def test_seed_decides(toy_data):
    def weights(seed):
        run = trainer(toy_data, dataclasses.replace(SMALL, seed=seed))
        run.run_epoch()
        return torch.cat([p.flatten() for p in run.model.parameters()])

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_state_files_are_json_and_safetensors_and_old_ones_go(tmp_path, toy_data):
    run = trainer(toy_data)
    for _ in range(2):
        run.run_epoch()
        save_state(tmp_path, run)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-0002.safetensors", "state.json"]
    assert json.loads((tmp_path / "state.json").read_text())["epoch"] == 2


def test_unusable_states_are_named(tmp_path, toy_data):
    with pytest.raises(TrainError, match="state.json: no such file"):
        read_state(tmp_path)
    run = trainer(toy_data)
    run.run_epoch()
    save_state(tmp_path, run)
    with pytest.raises(TrainError, match="setting 'lr' is 0.01 there, 0.5 here"):
        restore_state(tmp_path, trainer(toy_data, dataclasses.replace(SMALL, lr=0.5)))
    tensors = tmp_path / "state-0001.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(TrainError, match="changed since"):
        restore_state(tmp_path, trainer(toy_data))
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(TrainError, match="not JSON"):
        read_state(tmp_path)
    (tmp_path / "state.json").write_text('{"format": "other"}')
    with pytest.raises(TrainError, match="training-state/1"):
        saved_config(tmp_path)


def test_short_windows_are_masked(toy_data):
    lengths = toy_data.lines.lengths.copy()
    lengths[::2] = 12
    short = dataclasses.replace(toy_data.lines, lengths=lengths)
    counts = short.counts.copy()
    for row in np.flatnonzero(lengths == 12):
        counts[row, 12:] = 0
    garbage = counts.copy()
    for row in np.flatnonzero(lengths == 12):
        garbage[row, 12:] = 30000
    losses = []
    for c in (counts, garbage):
        data = dataclasses.replace(toy_data, lines=dataclasses.replace(short, counts=c))
        losses.append(trainer(data, SMALL).run_epoch())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_schedule():
    rates = [warm_up_then_cosine(k, 10, 100, 1.0) for k in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False)) and 0 <= rates[-1] < 1e-3
    assert warm_up_then_cosine(0, 0, 10, 2.0) == 2.0


def test_losses():
    mu, logvar, target = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 2.0]), torch.tensor([0.0, 2.0])
    assert float(gaussian_nll(mu, logvar, target)) == pytest.approx(0.75)
    assert float(mean_square(mu, logvar, target)) == pytest.approx(0.5)


def test_average_lags_behind_and_can_be_switched_off(toy_data):
    for ema, same in ((0.0, True), (0.9, False)):
        run = trainer(toy_data, dataclasses.replace(SMALL, ema=ema))
        run.run_epoch()
        pairs = zip(run.model.parameters(), run.average.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) is same


def test_failures_are_said(toy_data):
    with pytest.raises(TrainError, match="at least one batch of 4096"):
        trainer(toy_data, dataclasses.replace(SMALL, batch=4096))
    run = trainer(toy_data)
    with torch.no_grad():
        run.model.head.fc3.bias.fill_(torch.nan)
    with pytest.raises(TrainError, match="epoch 1, step 1"):
        run.run_epoch()
