"""Label jitter: which lines get how much, new in each epoch, on labels of the run's own lines alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from venom_hw.train import TrainConfig, Trainer, TrainError
from venom_hw.train.jitter import line_jitter

LABELS, ENERGIES = ["886nm", "1033nm", "1240nm"], [1.4, 1.2, 1.0]
SMALL = TrainConfig(d_model=4, d_state=2, d_head_hidden=4, epochs=2, batch=64, ema=0.0)


def test_forms_of_the_setting():
    assert line_jitter([], LABELS, ENERGIES).tolist() == [0, 0, 0]
    assert line_jitter(["0.01"], LABELS, ENERGIES).tolist() == [0.01, 0.01, 0.01]
    assert line_jitter(["1033nm=0.02", "886nm=0"], LABELS, ENERGIES).tolist() == [0, 0.02, 0]
    assert line_jitter(["0.01", "1240nm=0.03"], LABELS, ENERGIES).tolist() == [0.01, 0.01, 0.03]
    assert line_jitter(["auto"], LABELS, [1.4, 1.1, 1.0]) == pytest.approx([0.03, 0.01, 0.01])
    assert line_jitter(["886nm=auto"], LABELS, [1.4, 1.1, 1.0]) == pytest.approx([0.03, 0, 0])


@pytest.mark.parametrize("item, message", [
    ("808nm=0.01", "no line '808nm', expected one of 886nm"), ("much", "expected eV of 0 or more"),
    ("-0.1", "0 or more"), ("886nm=inf", "0 or more"),
])
def test_what_does_not_fit_is_named(item, message):
    with pytest.raises(TrainError, match=message):
        line_jitter([item], LABELS, ENERGIES)


def test_labels_scatter_as_asked_anew_each_epoch_and_never_the_stored_ones(toy_data):
    counts, target, lengths = toy_data.training_tensors()
    sigma = toy_data.jitter(["1033nm=0.05"])
    run = Trainer(SMALL, toy_data.normalisation, counts, target, lengths, jitter=sigma)
    drawn = []
    for epoch in range(2):
        run.epoch = epoch
        drawn.append(run._epoch_target(run._generator()) - target)
    scaled = drawn[0] * toy_data.normalisation["energy_scale"]
    middle = torch.from_numpy(np.abs(toy_data.lines.energies[toy_data.train_idx] - 1.2) < 1e-6)
    assert torch.equal(scaled[~middle], torch.zeros(int((~middle).sum())))
    assert float(scaled[middle].std()) == pytest.approx(0.05, rel=0.2) and abs(float(scaled[middle].mean())) < 0.015
    assert not torch.equal(*drawn) and torch.equal(run.target, target)
    assert toy_data.jitter([]) is None


def test_jitter_keeps_the_order_of_pulses_and_widens_sigma(toy_data):
    """Without jitter a run has the bits of one that knows nothing of it; with much of it the loss is larger."""
    losses = []
    for spec in ([], ["0"], ["0.2"]):
        config = dataclasses.replace(SMALL, jitter=spec)
        own = toy_data.training_tensors()
        run = Trainer(config, toy_data.normalisation, *own, jitter=toy_data.jitter(spec))
        losses.append([run.run_epoch() for _ in range(2)])
    assert losses[0] == losses[1] and losses[2][1] > losses[0][1] + 0.1


def test_pulses_of_further_folders_get_none(toy_data):
    data = dataclasses.replace(toy_data, extra=(toy_data.lines.select(np.arange(30)),))
    sigma = data.jitter(["0.01"])
    assert len(sigma) == len(data.training_tensors()[0]) and bool((sigma[-30:] == 0).all()) and bool(sigma[0] > 0)
