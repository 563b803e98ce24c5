"""Synthetic pulses of an epoch: decided by seed and epoch, spread over the energies, resumable to the bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from venom_hw.detector import DataError
from venom_hw.train import TrainConfig, Trainer, TrainError
from venom_hw.train import synthetic_source as synthetic_source_module
from venom_hw.train.resume import restore_state, save_state
from venom_hw.train.run import make_trainer
from venom_hw.train.synthetic_source import GENERATOR_FILE, synthetic_source

SMALL = TrainConfig(
    d_model=4, d_state=2, d_head_hidden=4, epochs=2, batch=64, n_synthetic=200, n_components=6, seed=3
)


@pytest.fixture(autouse=True)
def plots(monkeypatch):
    drawn = []
    monkeypatch.setattr(synthetic_source_module, "plot_generator", lambda *given: drawn.append(given))
    return drawn


def test_the_generator_is_shown_beside_held_out_pulses(toy_data, tmp_path, plots):
    synthetic_source(SMALL, toy_data, tmp_path)
    synthetic_source(SMALL, toy_data, tmp_path, resume=True)
    [(generator, pulses, path)] = plots
    assert path == tmp_path / "generator.png" and generator.n_components == 6
    assert np.array_equal(pulses.counts, toy_data.lines.counts[toy_data.val_idx])


@pytest.fixture()
def source(toy_data, tmp_path):
    return synthetic_source(SMALL, toy_data, tmp_path)


def test_seed_and_epoch_decide_every_number(toy_data, tmp_path, source):
    again = synthetic_source(SMALL, toy_data, tmp_path, resume=True)
    for kind, other in (("same", again), ("seed", synthetic_source(dataclasses.replace(SMALL, seed=4), toy_data,
                                                                     tmp_path, resume=True))):
        equal = [np.array_equal(a, b) for a, b in zip(source.draw(1), other.draw(1), strict=True)]
        assert equal == [kind == "same"] * 2
    assert not np.array_equal(source.draw(0)[0], source.draw(1)[0])  # fresh ones in each epoch
    assert not np.array_equal(source.draw(0)[1], source.draw(1)[1])


def test_energies_are_uniform_over_the_range(toy_data, tmp_path):
    source = synthetic_source(dataclasses.replace(SMALL, n_synthetic=3000), toy_data, tmp_path)
    low, high = source.span
    assert (low, high) == pytest.approx((1.0 / 1.05, 1.4 * 1.05))
    counts, energies = source.draw(0)
    assert counts.shape == (3000, 24, 2) and counts.dtype == np.int16
    assert kstest(energies, "uniform", (low, high - low)).pvalue > 1e-3
    narrow = synthetic_source(dataclasses.replace(SMALL, synthetic_margin=1.0), toy_data, tmp_path, resume=True)
    assert narrow.span == pytest.approx((1.0, 1.4))


def test_pulses_belong_to_their_energies(toy_data, source):
    """The angle at the peak is 0.6 rad an eV in the toy detector; synthetic pulses of any energy follow it."""
    counts, energies = source.draw(0)
    angle = np.arctan2(counts[:, 5, 1].astype(float), counts[:, 5, 0])
    slope, offset = np.polyfit(energies, angle, 1)
    assert slope == pytest.approx(0.6, rel=0.05) and offset == pytest.approx(0, abs=0.05)
    assert len(np.unique(energies)) == len(energies)  # not the lines


def test_own_pulses_stay_and_the_fresh_ones_change(toy_data, source):
    own = toy_data.training_tensors()
    run = Trainer(SMALL, toy_data.normalisation, *own, fresh=source)
    n = len(own[0])
    assert run.steps_per_epoch == (n + 200) // 64
    run.run_epoch()
    assert torch.equal(run.counts[:n], own[0]) and torch.equal(run.target[:n], own[1])
    counts, energies = source.draw(0)
    assert torch.equal(run.counts[n:], torch.from_numpy(counts))
    assert torch.equal(run.target[n:], toy_data.standardise(energies))
    run.run_epoch()
    assert torch.equal(run.counts[n:], torch.from_numpy(source.draw(1)[0]))


@pytest.mark.parametrize("changes", [
    {}, {"synthetic": True}, {"generator": "template"}, {"jitter": ["0.01"], "micro_batch": 30},
])
def test_resumed_run_has_the_same_bits(toy_data, tmp_path, changes):
    config = dataclasses.replace(SMALL, **changes)
    whole = make_trainer(config, toy_data, tmp_path)
    assert whole.own == (0 if config.synthetic else len(toy_data.train_idx))
    assert (tmp_path / GENERATOR_FILE).is_file()
    first = make_trainer(config, toy_data, tmp_path)
    first.run_epoch()
    save_state(tmp_path, first)
    for run in (whole, second := make_trainer(config, toy_data, tmp_path, resume=True)):
        while not run.finished:
            run.run_epoch()
    assert second.step == whole.step
    found = second.average.state_dict()
    assert [name for name, v in whole.average.state_dict().items() if not torch.equal(v, found[name])] == []


def test_synthetic_alone_learns_the_real_energy(toy_data, tmp_path):
    config = TrainConfig(d_model=8, d_state=4, d_head_hidden=8, epochs=5, batch=64, lr=1e-2, warmup=1.0, synthetic=True,
                         n_synthetic=1500, n_components=6)
    run = make_trainer(config, toy_data, tmp_path)
    while not run.finished:
        run.run_epoch()
    held = toy_data.lines.select(toy_data.val_idx)
    with torch.no_grad():
        mu, _ = run.average((torch.from_numpy(held.counts).float() - run.mean) / run.std)
    assert (mu - toy_data.standardise(held.energies)).square().mean().sqrt() < 0.35  # of the labels' deviation


def test_quick_test_without_a_number_and_none_at_all(toy_data, tmp_path):
    assert TrainConfig(synthetic=True).fresh_pulses == 20000 and TrainConfig().fresh_pulses == 0
    assert synthetic_source(TrainConfig(), toy_data, tmp_path) is None and not list(tmp_path.iterdir())


def test_a_lost_or_foreign_generator_is_said(toy_data, tmp_path, source):
    run = Trainer(SMALL, toy_data.normalisation, *toy_data.training_tensors(), fresh=source)
    run.run_epoch()
    save_state(tmp_path, run)
    other = dataclasses.replace(SMALL, generator="template")
    with pytest.raises(DataError, match="generator of kind 'pca'"):
        make_trainer(other, toy_data, tmp_path, resume=True)
    (tmp_path / GENERATOR_FILE).unlink()
    with pytest.raises(TrainError, match="generator.npz: no such file"):
        make_trainer(SMALL, toy_data, tmp_path, resume=True)
    restore_state(tmp_path, run)
