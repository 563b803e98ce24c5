"""The training loop of many pixels: each with its own pulses, seed, order, schedule and fate.

A pixel trained here goes through the steps that `venom_hw.train.Trainer` takes with the same settings and seed
(starting weights, order of pulses, schedule, averages); rounding differs. With the kernel engine its bits do not depend
on the other pixels. A pixel whose loss or gradient is not finite starts again at the next epoch, at a smaller rate;
after `retries` of that it is given up, with its reason; the others do not notice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from venom_hw.backend import BackendError, choose_device
from venom_hw.train import TrainConfig
from venom_hw.train.loop import FreshPulses
from venom_hw.train.schedule import warm_up_then_cosine

from .batch import Batch
from .engine import choose_engine
from .errors import TrainArrayError
from .layout import Layout
from .optimiser import StackedAdamW, update_average

SMALLER = 0.3  # factor of the rate after a divergence
PREDICTED = 4096  # pulses at a time


@dataclass(frozen=True)
class PixelPulses:
    """What one pixel trains on: counts (N, L, 2) int16, target (N,) standardised energy, lengths (N,), mean and std of
    I and Q in counts, the pixel's seed; fresh: further pulses, drawn anew for each epoch, in whole windows."""

    name: str
    counts: Tensor
    target: Tensor
    lengths: Tensor
    mean: tuple[float, float]
    std: tuple[float, float]
    seed: int
    fresh: FreshPulses | None = None

    @property
    def pulses(self) -> int:
        """Of an epoch: the own ones and the fresh ones."""
        return len(self.counts) + (0 if self.fresh is None else self.fresh.count)


@dataclass
class Fate:
    """Where a pixel stands: status is "training", "done" or "failed"; divergences has a line for each."""

    rate: float
    status: str = "training"
    epoch: int = 0
    step: int = 0
    divergences: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class ArrayTrainer:
    """device: as `venom_hw.backend.choose_device` takes it. Raises TrainArrayError for a pixel with fewer pulses than a
    batch, no pixels, an unusable device, or settings that need one model.
    """

    def __init__(
        self,
        config: TrainConfig,
        pixels: list[PixelPulses],
        engine: str = "auto",
        retries: int = 2,
        device: str = "cpu",
        threads: int = 1,
    ):
        check_settings(config)
        if not pixels:
            raise TrainArrayError("no pixels: expected one or more")
        for pixel in pixels:
            if pixel.pulses < config.batch:
                raise TrainArrayError(
                    f"{pixel.name}: {pixel.pulses} training pulses, expected at least one batch "
                    f"of {config.batch}"
                )
        self.config, self.pixels, self.retries = config, pixels, retries
        try:
            self.layout, self.device = Layout.of(config.sizes), torch.device(choose_device(device))
        except BackendError as error:
            raise TrainArrayError(str(error)) from None
        self.engine = choose_engine(engine, self.layout, config.loss, self.device, threads)
        length = max(p.counts.shape[1] for p in pixels)
        self.counts = torch.zeros(
            sum(p.pulses for p in pixels), length, 2, dtype=torch.int16, device=self.device
        )
        self.target = torch.zeros(len(self.counts), device=self.device)
        self.lengths = torch.zeros(len(self.counts), dtype=torch.int64, device=self.device)
        first, self.first = 0, []
        for p in pixels:  # own pulses, and room behind them for an epoch's fresh ones
            own = slice(first, first + len(p.counts))
            self.counts[own, : p.counts.shape[1]] = p.counts.to(self.device)
            self.target[own], self.lengths[own] = p.target.to(self.device), p.lengths.to(self.device)
            self.lengths[own.stop : first + p.pulses] = p.counts.shape[1]
            self.first.append(first)
            first += p.pulses
        self.mean, self.std = (
            torch.tensor([getattr(p, name) for p in pixels], dtype=torch.float32, device=self.device)
            for name in ("mean", "std")
        )
        self.rows = torch.stack([self.layout.start(p.seed) for p in pixels]).to(self.device)
        self.average = self.rows.clone()
        self.optimiser = StackedAdamW.of(self.rows, self.layout.decayed(), config.weight_decay, config.clip)
        self.fates = [Fate(config.lr) for _ in pixels]
        self.seconds = 0.0  # of the epochs so far

    def steps_per_epoch(self, k: int) -> int:
        n = self.pixels[k].pulses
        return max(1, min(self.config.pulses_per_epoch or n, n) // self.config.batch)

    @property
    def finished(self) -> bool:
        return all(f.status != "training" for f in self.fates)

    @property
    def remaining_steps(self) -> int:
        """Steps of all pixels until the end, if nothing diverges."""
        return sum(
            self.steps_per_epoch(k) * (self.config.epochs - f.epoch)
            for k, f in enumerate(self.fates)
            if f.status == "training"
        )

    def run_epoch(self, progress: Callable[[int], None] | None = None) -> None:
        """One epoch of every pixel that still trains. `progress` gets the number of pixels of each step."""
        batch = self.config.batch
        active = [k for k, f in enumerate(self.fates) if f.status == "training"]
        for k in active:
            self._draw(k)
        order = {k: self._order(k) + self.first[k] for k in active}
        steps = {k: self.steps_per_epoch(k) for k in active}
        sums = dict.fromkeys(active, 0.0)
        for number in range(max(steps.values(), default=0)):
            members = [k for k in active if number < steps[k]]
            if not members:
                break
            index = torch.stack([order[k][number * batch : (number + 1) * batch] for k in members])
            values = self._step(members, index, steps)
            for k, value in zip(members, values, strict=True):
                if math.isfinite(value):
                    sums[k] += value
                else:
                    self._diverged(k, number + 1)
                    active.remove(k)
            if progress is not None:
                progress(len(members))
        for k in active:
            fate = self.fates[k]
            fate.epoch += 1
            fate.losses.append(sums[k] / steps[k])
            if fate.epoch >= self.config.epochs:
                fate.status = "done"

    def _order(self, k: int) -> Tensor:
        pixel, fate = self.pixels[k], self.fates[k]
        generator = torch.Generator().manual_seed((pixel.seed << 20) + fate.epoch + 1)
        return torch.randperm(pixel.pulses, generator=generator).to(self.device)

    def _draw(self, k: int) -> None:
        """Put the fresh pulses of pixel k's epoch behind its own ones."""
        pixel = self.pixels[k]
        if pixel.fresh is None:
            return
        room = slice(self.first[k] + len(pixel.counts), self.first[k] + pixel.pulses)
        counts, target = pixel.fresh(self.fates[k].epoch)
        self.counts[room, : counts.shape[1]] = counts.to(self.device)
        self.target[room] = target.to(self.device)

    def _batch(self, which: Tensor, index: Tensor) -> Batch:
        return Batch(
            self.counts[index], self.mean[which], self.std[which], self.lengths[index], self.target[index]
        )

    def _step(self, members: list[int], index: Tensor, steps: dict[int, int]) -> list[float]:
        """One step of the pixels `members`; their losses, nan for those that were not changed."""
        which = torch.tensor(members, device=self.device)
        rows = self.rows if len(members) == len(self.rows) else self.rows[which]
        losses, gradient = self.engine.loss_and_gradient(rows, self._batch(which, index))
        norm = gradient.norm(dim=1)
        fine = losses.isfinite() & norm.isfinite()
        values = torch.where(fine, losses, torch.nan).tolist()
        rates, numbers = [], []
        for k, good in zip(members, fine.tolist(), strict=True):
            if not good:
                continue
            fate, total = self.fates[k], steps[k] * self.config.epochs
            rates.append(
                warm_up_then_cosine(
                    fate.step, min(int(self.config.warmup * steps[k]), total), total, fate.rate
                )
            )
            fate.step += 1
            numbers.append(fate.step)
        if rates:
            which, step = which[fine], torch.tensor(numbers)  # on the CPU: float64, which MPS has not
            self.optimiser.update(
                self.rows, which, gradient[fine], norm[fine], torch.tensor(rates, device=self.device), step
            )
            update_average(self.average, self.rows, which, step, self.config.ema)
        return values

    def _diverged(self, k: int, step: int) -> None:
        fate = self.fates[k]
        fate.divergences.append(
            f"loss or gradient not finite in epoch {fate.epoch + 1}, step {step}, rate {fate.rate:g}"
        )
        if len(fate.divergences) > self.retries:
            fate.status = "failed"
            return
        fate.rate, fate.epoch, fate.step, fate.losses = fate.rate * SMALLER, 0, 0, []
        self.rows[k] = self.average[k] = self.layout.start(self.pixels[k].seed).to(self.device)
        self.optimiser.exp_avg[k] = self.optimiser.exp_avg_sq[k] = 0.0

    def predict(self, k: int, counts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(mu, log sigma^2), each (N,), standardised, of pixel k's averaged weights for counts (N, L, 2) int16."""
        which, out = torch.tensor([k], device=self.device), []
        for some, valid in zip(counts.split(PREDICTED), lengths.split(PREDICTED), strict=True):
            batch = Batch(
                some[None].to(self.device),
                self.mean[which],
                self.std[which],
                valid[None].to(self.device),
                torch.zeros(1, len(some), device=self.device),
            )
            out.append(torch.stack([v[0] for v in self.engine.predict(self.average[which], batch)]).cpu())
        return tuple(torch.cat(out, 1))


def check_settings(config: TrainConfig) -> None:
    """Raises TrainArrayError for settings of single models that have no meaning here."""
    for name in ("jitter", "micro_batch", "checkpoint_activations"):
        if getattr(config, name, None):
            raise TrainArrayError(
                f"setting '{name}' = {getattr(config, name)!r}: pixels train on their own labels, in "
                "whole batches; expected it unset (python -m venom_hw.train has it)"
            )
