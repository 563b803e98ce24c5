"""Fine-tuning: exact forward, gradients everywhere, a loss that falls, a run that goes on where it stopped."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rtf_models.classes import APPLECIDER
from rtf_models.data.inputs import InputSpec
from rtf_models.quantize.calibrate import build_encoder
from rtf_models.quantize.training import Batches, fine_tune, float_latent, loss_function
from venom_hw.quantize.qat import train_steps


@pytest.fixture
def float_checkpoint(quantised):
    inputs = InputSpec(zero_point=18.0)
    return SimpleNamespace(model=quantised.model, inputs=inputs, scheme=APPLECIDER, sha256="of the test")


def settings(quantised, **changes):
    return quantised.recipe.training | {"steps": 6, "batch": 8, "learning_rate": 3e-4, "prefixes": 1} | changes


def network_of(quantised):
    return build_encoder(quantised.shape, quantised.formats, quantised.parameters).eval()


def test_gradient_reaches_every_parameter(quantised):
    network = network_of(quantised)
    x = torch.from_numpy(np.stack([c["x"][:12] for c in quantised.curves if len(c["x"]) >= 12]))
    network(x, torch.zeros(x.shape[:2])).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_training_brings_the_fingerprint_closer(quantised, float_checkpoint, toy_sources):
    """From a network whose weights were pushed off."""
    network = network_of(quantised)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    losses = fine_tune(network, float_checkpoint, toy_sources, settings(quantised, steps=30, learning_rate=2e-3))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    for name, parameter in network.named_parameters():  # on their grids at the end
        fmt = quantised.formats[name.removesuffix(".value")]
        codes = parameter.detach().double().numpy() / fmt.lsb
        assert (codes == np.rint(codes)).all(), name


def test_an_interrupted_run_goes_on_bit_for_bit(quantised, float_checkpoint, toy_sources, tmp_path):
    whole = network_of(quantised)
    losses = fine_tune(whole, float_checkpoint, toy_sources, settings(quantised))

    class Stop(Exception):
        pass

    def stop_at_five(step, loss):
        if step == 4:
            raise Stop

    parts, state = network_of(quantised), tmp_path / "state.safetensors"
    with pytest.raises(Stop):
        fine_tune(
            parts, float_checkpoint, toy_sources, settings(quantised), resume=state, save_every=3, progress=stop_at_five
        )
    seen = []
    again = network_of(quantised)
    resumed = fine_tune(
        again, float_checkpoint, toy_sources, settings(quantised), resume=state, progress=lambda s, _: seen.append(s)
    )
    assert seen == [3, 4, 5] and resumed == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_another_run_does_not_go_on_with_this_state(quantised, float_checkpoint, toy_sources, tmp_path):
    state = tmp_path / "state.safetensors"
    fine_tune(
        network_of(quantised), float_checkpoint, toy_sources, settings(quantised, steps=3), resume=state, save_every=3
    )
    seen = []
    other = settings(quantised, steps=3, seed=2)
    fine_tune(
        network_of(quantised), float_checkpoint, toy_sources, other, resume=state, progress=lambda s, _: seen.append(s)
    )
    assert seen == [0, 1, 2]


def steps_after(quantised, checkpoint, before, after, state):
    """The steps that a run on ``after`` makes with the finished state of a run of three steps on ``before``."""
    seen = []
    three = settings(quantised, steps=3)
    fine_tune(network_of(quantised), checkpoint, before, three, resume=state, save_every=3)
    fine_tune(
        network_of(quantised), checkpoint, after, three, resume=state, progress=lambda s, _: seen.append(s)
    )  # fmt: skip
    return seen


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, object_id="another"),
        lambda s: replace(s, label=5),
        lambda s: replace(s, mag=s.mag[::-1]),  # the same sum
        lambda s: replace(s, time=s.time[0] + 1.01 * (s.time - s.time[0])),
        lambda s: replace(s, band=(s.band + 1) % 3),
        lambda s: replace(s, metadata=np.ones((len(s), 30))),
    ],
    ids=["id", "label", "magnitudes", "times", "bands", "metadata"],
)
def test_other_light_curves_do_not_go_on_with_this_state(quantised, float_checkpoint, toy_sources, tmp_path, change):
    """A plain list, as --limit makes it, one of its sources another."""
    other = [*toy_sources[:7], change(toy_sources[7]), *toy_sources[8:]]
    assert steps_after(quantised, float_checkpoint, toy_sources, other, tmp_path / "state.safetensors") == [0, 1, 2]


def test_the_same_light_curves_go_on_and_other_inputs_do_not(quantised, float_checkpoint, toy_sources, tmp_path):
    same = [replace(s) for s in toy_sources]
    state = tmp_path / "state.safetensors"
    assert steps_after(quantised, float_checkpoint, toy_sources, same, state) == []
    other = SimpleNamespace(**vars(float_checkpoint) | {"inputs": InputSpec(zero_point=18.0, max_len=257)})
    seen = []
    three = settings(quantised, steps=3)
    fine_tune(network_of(quantised), other, same, three, resume=state, progress=lambda s, _: seen.append(s))
    assert seen == [0, 1, 2]


def test_divergence_is_named(quantised, float_checkpoint, toy_sources):
    network = network_of(quantised)
    trained = dict(network.named_parameters())
    with pytest.raises(FloatingPointError, match="diverged at step 0: .*lower training.learning_rate"):
        train_steps(network, trained, lambda step: torch.tensor(float("nan")), settings(quantised), "key")


def test_batches_are_a_function_of_the_step_and_cover_all(quantised, float_checkpoint, toy_sources):
    from rtf_models.data.dataset import SourceDataset

    def batches():
        return Batches(SourceDataset(toy_sources, float_checkpoint.inputs, random_truncate=True, seed=1), 16, seed=1)

    one, other = batches(), batches()
    forwards = [one.at(k) for k in range(7)]
    backwards = [other.at(k) for k in reversed(range(7))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert a["obj_ids"] == b["obj_ids"]
        assert torch.equal(a["x"], b["x"]) and torch.equal(a["pad_mask"], b["pad_mask"])
    epoch = sorted(i for batch in forwards[: one.steps] for i in batch["obj_ids"])
    assert epoch == sorted(s.object_id for s in toy_sources)


def test_reconstruction_loss_reaches_the_latent(quantised, float_checkpoint, toy_sources):
    from rtf_models.data.dataset import SourceDataset, collate_fn

    data = SourceDataset(toy_sources[:4], float_checkpoint.inputs)
    batch = collate_fn([data[k] for k in range(4)])
    target = float_latent(quantised.model, batch["x"], batch["pad_mask"])
    z = target.clone().requires_grad_()
    plain = {"distill": 1.0, "recon": 0.0}
    assert loss_function(z, target, target.var(), batch, quantised.model, plain) == 0
    loss = loss_function(z, target, target.var(), batch, quantised.model, plain | {"recon": 1.0})
    loss.backward()
    errors = quantised.model.reconstruction_error(batch["x"], batch["pad_mask"])
    assert loss > 0 and z.grad.abs().max() > 0
    lengths = (~batch["pad_mask"]).sum(1)
    torch.testing.assert_close(loss.detach(), (errors * lengths).sum() / lengths.sum(), rtol=1e-4, atol=1e-5)
