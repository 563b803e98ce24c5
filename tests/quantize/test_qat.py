"""Fine-tuning: learns, is reproducible, and a resumed run ends with the same bits."""

import copy

import numpy as np
import pytest
import torch

from tests.quantize.sample import pulses, quantised
from venom_hw.quantize.evaluate import fidelity, predict, recalibrate
from venom_hw.quantize.qat import (
    Targets,
    batch_indices,
    calibrate_batch,
    fine_tune,
    learning_rate,
    loss_function,
)
from venom_hw.quantize.verify import SaturationCounter

SETTINGS = {
    "steps": 12,
    "batch": 32,
    "learning_rate": 2e-3,
    "warmup": 0.1,
    "distill": 1.0,
    "nll": 0.1,
    "clip": 1.0,
    "seed": 3,
}


@pytest.fixture
def task():
    network, formats, _, _ = quantised(overrides=["weights.w_fc2.bits=3"])
    counts = pulses(96, seed=4)
    x = network.embed(torch.from_numpy(counts))
    truth = torch.from_numpy(counts[:, 4:, 1].mean(1) / 2000.0).float()
    return network, formats, x, Targets(truth, torch.full_like(truth, -4.0), truth), counts


def state(network):
    return {k: v.clone() for k, v in network.state_dict().items()}


def test_learns(task):
    network, _, x, targets, _ = task
    losses = fine_tune(network, x, targets, SETTINGS | {"steps": 40})
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])


def test_calibrated_loss_sees_neither_gain_nor_offset(task):
    """It is what the recalibration leaves: the weighted least squares of the batch, without a gradient of their own."""
    network, _, x, targets, _ = task
    with torch.no_grad():
        energy, logvar = network.window(x)
    targets = Targets(energy[:, 0] + 0.01 * torch.randn(len(energy)), targets.logvar, targets.truth)
    losses = [
        loss_function(e, v, targets, 1.0, 0.0, calibrated=True)
        for e, v in ((energy, logvar), (3 * energy - 2, logvar + 0.7))
    ]
    assert torch.allclose(*losses, rtol=1e-4)
    plain = loss_function(3 * energy - 2, logvar + 0.7, targets, 1.0, 0.0)
    assert plain > 100 * losses[0]
    weight = np.exp(-0.5 * targets.logvar.numpy())
    design = np.stack([energy[:, 0].numpy(), np.ones(len(energy))], 1) * weight[:, None]
    slope, offset = np.linalg.lstsq(design, targets.energy.numpy() * weight, rcond=None)[0]
    fitted, shifted = calibrate_batch(energy[:, 0], logvar[:, 0], targets)
    assert np.allclose(fitted.numpy(), slope * energy[:, 0].numpy() + offset, atol=1e-4)
    assert abs(float((shifted - targets.logvar).mean())) < 1e-5


def test_learns_calibrated(task):
    network, _, x, targets, _ = task
    losses = fine_tune(network, x, targets, SETTINGS | {"steps": 40, "nll": 0.0, "calibrated": 1})
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])


def test_resumed_run_ends_with_the_same_bits(task, tmp_path):
    network, _, x, targets, _ = task
    resumed = copy.deepcopy(network)
    losses = fine_tune(network, x, targets, SETTINGS)
    path = tmp_path / "state.safetensors"

    class Interrupted(Exception):
        pass

    def stop(step, _loss):
        if step == 8:
            raise Interrupted

    start = copy.deepcopy(resumed)
    with pytest.raises(Interrupted):
        fine_tune(resumed, x, targets, SETTINGS, resume=path, save_every=5, progress=stop)
    first = []
    again = fine_tune(start, x, targets, SETTINGS, resume=path, progress=lambda step, _: first.append(step))
    assert first[0] == 5 and again == losses
    assert all(torch.equal(a, b) for a, b in zip(state(network).values(), state(start).values(), strict=True))


def test_state_of_another_run_is_not_continued(task, tmp_path):
    network, _, x, targets, _ = task
    path = tmp_path / "state.safetensors"
    start = copy.deepcopy(network)
    fine_tune(network, x, targets, SETTINGS, resume=path, save_every=4)
    steps = []
    fine_tune(
        start, x, targets, SETTINGS | {"seed": 4}, resume=path, progress=lambda step, _: steps.append(step)
    )
    assert steps == list(range(12))


def test_calibration_constants_are_not_trained(task):
    network, _, x, targets, _ = task
    before = state(network)
    fine_tune(network, x, targets, SETTINGS | {"steps": 3})
    after = state(network)
    frozen = [
        k for k in before if "affine" in k or "energy_" in k or "logvar_" in k or "score_reference" in k
    ]
    assert len(frozen) == 7 and all(torch.equal(before[k], after[k]) for k in frozen)
    assert not torch.equal(before["head.fc1.weight.value"], after["head.fc1.weight.value"])


def test_batches_cover_the_data_once_an_epoch():
    seen = torch.cat([batch_indices(96, step, 32, 0) for step in range(3)])
    assert sorted(seen.tolist()) == list(range(96))
    assert not torch.equal(batch_indices(96, 0, 32, 0), batch_indices(96, 3, 32, 0))
    assert learning_rate(0, SETTINGS) == SETTINGS["learning_rate"] and learning_rate(11, SETTINGS) < 2e-4


def test_recalibration_is_absorbed_in_gain_and_offset(task):
    network, formats, _, _, counts = task
    energy, logvar = predict(network, counts)
    fitted = recalibrate(network, formats, energy, logvar, 1.25 * energy + 0.5, logvar - 0.75)
    assert fitted["slope"] == pytest.approx(1.25) and fitted["offset_ev"] == pytest.approx(0.5)
    network.snap()
    new_energy, new_logvar = predict(network, counts)
    assert np.abs(new_energy - (1.25 * energy + 0.5)).max() < 6e-4  # two roundings of 2^-12 eV
    assert np.abs(new_logvar - (logvar - 0.75)).max() < 2e-3


def test_fidelity_is_in_per_cent_of_sigma():
    rng = np.random.default_rng(0)
    lines = np.repeat([0, 1], 5000)
    reference = np.array([1.0, 2.0])[lines] + rng.normal(0, 0.02, 10000)
    noisy = fidelity(reference + rng.normal(0, 0.001, 10000), reference, lines, ["a", "b"])
    assert noisy.per_cent == pytest.approx(5.0, rel=0.05) and noisy.offset_per_cent < 0.2
    shifted = fidelity(reference + 0.001, reference, lines, ["a", "b"])
    assert shifted.offset_per_cent == pytest.approx(shifted.per_cent)


def test_saturations_are_counted(task):
    network, formats, _, _, _ = task
    counts = torch.from_numpy(np.full((3, 5, 2), 32767, dtype=np.int16))
    network.double()
    with torch.no_grad(), SaturationCounter(network, formats) as counter:
        network.recurrent(counts)
    network.float()
    assert counter.counts["step.q_in"] == {"values": 30, "saturated": 30}
    assert counter.counts["step.q_e"]["values"] == 15
