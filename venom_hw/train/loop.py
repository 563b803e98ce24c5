"""The training loop: AdamW, linear warm-up and cosine, gradient clip, averaged weights; resumable after each epoch.

Everything random comes from generators seeded with (seed, epoch), so a run that was stopped and resumed gives
the bits of one that was not (on the same device).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from venom_hw.backend import BackendError, choose_device
from venom_hw.model import MKIDEnergySSM

from .config import TrainConfig
from .errors import TrainError
from .losses import LOSSES, gaussian_nll, mean_square
from .schedule import average_decay, warm_up_then_cosine

__all__ = ["BETAS", "LOSSES", "FreshPulses", "Trainer", "gaussian_nll", "mean_square", "weight_decay_groups"]

BETAS = (0.9, 0.98)


class FreshPulses(Protocol):
    """Pulses that are new in each epoch: `count` of them, decided by the epoch's number alone."""

    count: int

    def __call__(self, epoch: int) -> tuple[Tensor, Tensor]:
        """counts (count, L, 2) int16 and standardised energies (count,) float32."""


def weight_decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups of AdamW: matrices decay, vectors (biases, norms, the query) do not."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


class Trainer:
    """One run over counts (N, L, 2) int16, target (N,) standardised energy, lengths (N,); all three stay on the CPU.

    fresh: further pulses, drawn anew for each epoch, in whole windows. jitter (N,): standard deviation of the normal
    noise added to each target, anew in each epoch. Raises TrainError for too few pulses or an unusable device.
    """

    def __init__(
        self,
        config: TrainConfig,
        normalisation: dict,
        counts: Tensor,
        target: Tensor,
        lengths: Tensor,
        fresh: FreshPulses | None = None,
        jitter: Tensor | None = None,
    ):
        self.fresh, self.jitter = fresh, jitter
        self.own = len(counts)
        if self.own + self._fresh_count < config.batch:
            raise TrainError(
                f"{self.own + self._fresh_count} training pulses: expected at least one batch of {config.batch}"
            )
        try:
            self.device = torch.device(choose_device(config.device))
        except BackendError as error:
            raise TrainError(f"setting {error}") from None
        self.config = config
        if fresh is not None:  # room for an epoch's fresh pulses behind the own ones
            counts = torch.cat([counts, counts.new_zeros(fresh.count, *counts.shape[1:])])
            target = torch.cat([target, target.new_zeros(fresh.count)])
            lengths = torch.cat([lengths, lengths.new_full((fresh.count,), counts.shape[1])])
        self.counts, self.target = counts, target
        self.lengths = None if bool((lengths == counts.shape[1]).all()) else lengths
        self.mean = torch.tensor(normalisation["iq_mean"], dtype=torch.float32, device=self.device)
        self.std = torch.tensor(normalisation["iq_std"], dtype=torch.float32, device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = MKIDEnergySSM(**config.sizes)
        self.model.backbone.checkpoint_activations = config.checkpoint_activations
        self.model.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(
            weight_decay_groups(self.model, config.weight_decay), lr=config.lr, betas=BETAS
        )
        self.epoch, self.step = 0, 0
        self.history: list[dict] = []

    @property
    def _fresh_count(self) -> int:
        return 0 if self.fresh is None else self.fresh.count

    @property
    def steps_per_epoch(self) -> int:
        drawn = min(self.config.pulses_per_epoch or len(self.counts), len(self.counts))
        return max(1, drawn // self.config.batch)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed((self.config.seed << 20) + self.epoch + 1)

    def _epoch_target(self, generator: torch.Generator) -> Tensor:
        """This epoch's labels; puts its fresh pulses behind the own ones."""
        if self.fresh is not None:
            self.counts[self.own :], self.target[self.own :] = self.fresh(self.epoch)
        if self.jitter is None:
            return self.target
        target = self.target.clone()
        target[: self.own] += self.jitter * torch.randn(self.own, generator=generator)
        return target

    def _parts(self, index: Tensor) -> Iterator[Tensor]:
        """A step's pulses in micro-batches."""
        yield from index.split(self.config.micro_batch or len(index))

    def _inputs(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Standardised windows (B, L, 2) and their lengths (B,) or None, on the device."""
        x = (self.counts[index].to(self.device).float() - self.mean) / self.std
        return x, None if self.lengths is None else self.lengths[index].to(self.device)

    def accumulate_gradients(self, index: Tensor, target: Tensor) -> float:
        """Adds the gradient of the mean loss over the pulses of `index`, micro-batch by micro-batch; the loss."""
        value = 0.0
        for part in self._parts(index):
            loss = LOSSES[self.config.loss](*self.model(*self._inputs(part)), target[part].to(self.device))
            loss = loss * (len(part) / len(index))
            value += loss.item()
            if not math.isfinite(value):
                break
            loss.backward()
        return value

    def run_epoch(self, progress: Callable[[float], None] | None = None) -> float:
        """One epoch; returns its mean loss. `progress` gets each step's loss. Raises TrainError if the loss is
        not finite.
        """
        config, batch = self.config, self.config.batch
        generator = self._generator()
        order = torch.randperm(len(self.counts), generator=generator)
        target = self._epoch_target(generator)
        steps, total = self.steps_per_epoch, self.steps_per_epoch * config.epochs
        warmup = min(int(config.warmup * steps), total)
        self.model.train()
        sum_of_losses = 0.0
        for k in range(steps):
            rate = warm_up_then_cosine(self.step, warmup, total, config.lr)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.zero_grad(set_to_none=True)
            value = self.accumulate_gradients(order[k * batch : (k + 1) * batch], target)
            if not math.isfinite(value):
                raise TrainError(
                    f"loss {value} in epoch {self.epoch + 1}, step {k + 1}: try a smaller lr than {config.lr:g}"
                )
            if config.clip:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
            self.optimiser.step()
            self.step += 1
            self._update_average()
            sum_of_losses += value
            if progress is not None:
                progress(value)
        self.epoch += 1
        return sum_of_losses / steps

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = average_decay(self.step, self.config.ema)
        for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
