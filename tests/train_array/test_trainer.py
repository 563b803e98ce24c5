"""Training of many pixels: the same as one by one, own fates, divergence, state."""

import dataclasses

import pytest
import torch

from venom_hw.train import Trainer
from venom_hw.train_array import ArrayTrainer, TrainArrayError, step_kernel
from venom_hw.train_array.state import restore_state, save_state, state_pixels

from .conftest import toy_pixel


def finish(trainer):
    while not trainer.finished:
        trainer.run_epoch()
    return trainer


def engines():
    return ["torch"] if step_kernel.library() is None else ["kernel", "torch"]


@pytest.mark.parametrize("engine", ["kernel", "torch"])
def test_each_pixel_goes_through_the_steps_of_the_single_trainer(config, engine):
    """Tolerance: float32 rounding of other orders of summation, after 30 steps: 1e-4 of weights of order 1."""
    if engine not in engines():
        pytest.skip("no C++ compiler here")
    made = [toy_pixel(f"pixel-{k}", seed=k, n=100 + 40 * k) for k in range(3)]
    together = finish(ArrayTrainer(config, [pixel for pixel, _ in made], engine))
    for k, (pixel, scale) in enumerate(made):
        alone = Trainer(
            dataclasses.replace(config, seed=pixel.seed, device="cpu"),
            scale,
            pixel.counts,
            pixel.target,
            pixel.lengths,
        )
        losses = [alone.run_epoch() for _ in range(config.epochs)]
        assert together.fates[k].losses == pytest.approx(losses, abs=1e-5)
        for ours, theirs in ((together.rows[k], alone.model), (together.average[k], alone.average)):
            torch.testing.assert_close(ours, together.layout.flatten(theirs), rtol=0, atol=1e-4)
        assert together.fates[k].step == alone.step


class Fresh:
    """Toy synthetic pulses: (seed, epoch) decides them; remembers which epochs were drawn."""

    def __init__(self, seed, count, length):
        self.seed, self.count, self.length, self.epochs = seed, count, length, []

    def __call__(self, epoch):
        self.epochs.append(epoch)
        g = torch.Generator().manual_seed(1000 * self.seed + epoch)
        counts = torch.randint(-5000, 5000, (self.count, self.length, 2), dtype=torch.int16, generator=g)
        return counts, torch.randn(self.count, generator=g)


@pytest.mark.parametrize("synthetic_only", [False, True], ids=["beside-own", "alone"])
def test_fresh_pulses_are_those_of_the_single_trainer(config, synthetic_only):
    """Two pixels of windows of different length: own pulses and fresh ones, as venom_hw.train.Trainer takes them."""
    config = dataclasses.replace(config, epochs=2)
    made = [toy_pixel(f"pixel-{k}", seed=k, n=60, length=20 + 4 * k) for k in range(2)]
    if synthetic_only:
        made = [
            (dataclasses.replace(p, counts=p.counts[:0], target=p.target[:0], lengths=p.lengths[:0]), s)
            for p, s in made
        ]
    pixels = [dataclasses.replace(p, fresh=Fresh(k, 50, 20 + 4 * k)) for k, (p, _) in enumerate(made)]
    together = finish(ArrayTrainer(config, pixels))
    for k, (pixel, scale) in enumerate(made):
        assert together.steps_per_epoch(k) == (len(pixel.counts) + 50) // 16
        alone = Trainer(
            dataclasses.replace(config, seed=pixel.seed, device="cpu"),
            scale,
            pixel.counts,
            pixel.target,
            pixel.lengths,
            fresh=Fresh(k, 50, 20 + 4 * k),
        )
        losses = [alone.run_epoch() for _ in range(config.epochs)]
        assert together.fates[k].losses == pytest.approx(losses, abs=1e-5)
        torch.testing.assert_close(together.rows[k], together.layout.flatten(alone.model), rtol=0, atol=1e-4)
        assert pixels[k].fresh.epochs == [0, 1]


def test_kernel_gives_the_bits_of_the_pixel_alone(config, toy_pixels):
    if step_kernel.library() is None:
        pytest.skip("no C++ compiler here")
    together = finish(ArrayTrainer(config, toy_pixels, "kernel", threads=2))
    for k, pixel in enumerate(toy_pixels):
        alone = finish(ArrayTrainer(config, [pixel], "kernel"))
        assert torch.equal(alone.rows[0], together.rows[k]) and torch.equal(
            alone.average[0], together.average[k]
        )
        assert alone.fates[0] == together.fates[k]


def poisoned(monkeypatch, trainer, pixel: int, calls: int):
    """Make pixel's loss nan in its first `calls` steps."""
    honest, left = trainer.engine.loss_and_gradient, [calls]
    seeds = trainer.mean[pixel].clone()

    def bad(rows, batch):
        losses, gradients = honest(rows, batch)
        mine = (batch.mean == seeds).all(1)
        if left[0] and mine.any():
            left[0] -= 1
            losses = torch.where(mine, torch.nan, losses)
        return losses, gradients

    monkeypatch.setattr(trainer.engine, "loss_and_gradient", bad)


def test_a_diverged_pixel_starts_again_and_its_neighbours_do_not_notice(config, toy_pixels, monkeypatch):
    quiet = finish(ArrayTrainer(config, toy_pixels))
    trainer = ArrayTrainer(config, toy_pixels, retries=2)
    poisoned(monkeypatch, trainer, 1, calls=1)
    finish(trainer)
    fate = trainer.fates[1]
    assert fate.status == "done" and fate.epoch == config.epochs and len(fate.divergences) == 1
    assert "epoch 1, step 1" in fate.divergences[0] and fate.rate == pytest.approx(0.3 * config.lr)
    for k in (0, 2):
        torch.testing.assert_close(trainer.rows[k], quiet.rows[k], rtol=0, atol=1e-6)
    slower = finish(ArrayTrainer(dataclasses.replace(config, lr=0.3 * config.lr), [toy_pixels[1]]))
    torch.testing.assert_close(
        trainer.rows[1], slower.rows[0], rtol=0, atol=1e-6
    )  # nothing of the first try is left


def test_a_hopeless_pixel_is_given_up_with_its_reasons(config, toy_pixels, monkeypatch):
    trainer = ArrayTrainer(config, toy_pixels, retries=1)
    poisoned(monkeypatch, trainer, 0, calls=99)
    finish(trainer)
    assert [f.status for f in trainer.fates] == ["failed", "done", "done"]
    assert len(trainer.fates[0].divergences) == 2 and bool(trainer.rows.isfinite().all())


def test_a_huge_rate_diverges_on_its_own_and_is_survived(config, toy_pixels):
    trainer = finish(ArrayTrainer(dataclasses.replace(config, lr=1e30, clip=0.0), toy_pixels[:1], retries=0))
    assert trainer.fates[0].status == "failed" and "not finite" in trainer.fates[0].divergences[0]


def test_stopped_and_resumed_gives_the_same_bits(config, toy_pixels, tmp_path):
    whole = finish(ArrayTrainer(config, toy_pixels))
    first = ArrayTrainer(config, toy_pixels)
    first.run_epoch()
    save_state(tmp_path, first, 1)
    second = ArrayTrainer(config, toy_pixels)
    assert restore_state(tmp_path, second) == 1
    finish(second)
    assert torch.equal(second.rows, whole.rows) and torch.equal(second.average, whole.average)
    assert [f.losses for f in second.fates] == [f.losses for f in whole.fates]
    assert restore_state(tmp_path / "nothing", whole) == 0


def test_a_pixel_that_joins_a_stopped_group_starts_afresh(config, toy_pixels, tmp_path):
    """Its pulses were not usable when the group was started; one that is gone is dropped. Others keep their bits."""
    first = ArrayTrainer(config, toy_pixels[:2])
    first.run_epoch()
    save_state(tmp_path, first, 1)
    assert state_pixels(tmp_path) == {"pixel-0", "pixel-1"} and state_pixels(tmp_path / "none") == set()
    second = ArrayTrainer(config, toy_pixels[1:])
    restore_state(tmp_path, second)
    assert [f.epoch for f in second.fates] == [1, 0]
    finish(second)
    whole = finish(ArrayTrainer(config, toy_pixels[1:]))
    assert [f.losses for f in second.fates] == [
        f.losses for f in whole.fates
    ] or step_kernel.library() is None
    torch.testing.assert_close(second.rows, whole.rows, rtol=0, atol=1e-5)


def test_a_state_of_other_pixels_or_settings_is_refused(config, toy_pixels, tmp_path):
    save_state(tmp_path, ArrayTrainer(config, toy_pixels), 1)
    with pytest.raises(TrainArrayError, match="config differ"):
        restore_state(tmp_path, ArrayTrainer(dataclasses.replace(config, lr=1e-3), toy_pixels))
    changed = dataclasses.replace(toy_pixels[0], counts=toy_pixels[0].counts + 1)
    with pytest.raises(TrainArrayError, match="pixels differ"):
        restore_state(tmp_path, ArrayTrainer(config, [changed, *toy_pixels[1:]]))
    (tensors,) = tmp_path.glob("state-*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"!")
    with pytest.raises(TrainArrayError, match="missing or changed"):
        restore_state(tmp_path, ArrayTrainer(config, toy_pixels))


def test_settings_of_single_models_and_small_pixels_are_refused(config, toy_pixels):
    with pytest.raises(TrainArrayError, match="jitter"):
        ArrayTrainer(dataclasses.replace(config, jitter=["auto"]), toy_pixels)
    with pytest.raises(TrainArrayError, match="device = 'foo'"):
        ArrayTrainer(config, toy_pixels, device="foo")
    with pytest.raises(
        TrainArrayError, match="pixel-0: 100 training pulses, expected at least one batch of 101"
    ):
        ArrayTrainer(dataclasses.replace(config, batch=101), toy_pixels)
    with pytest.raises(TrainArrayError, match="no pixels"):
        ArrayTrainer(config, [])
