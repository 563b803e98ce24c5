"""The training loop: AdamW, linear warm-up and cosine, gradient clip, averaged weights; resumable after each epoch.

Everything random comes from generators seeded with (seed, epoch), so a run that was stopped and resumed gives
the bits of one that was not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from venom_hw.model import MKIDEnergySSM

from .config import TrainConfig
from .errors import TrainError
from .schedule import warm_up_then_cosine

BETAS = (0.9, 0.98)


def gaussian_nll(mu: Tensor, logvar: Tensor, target: Tensor) -> Tensor:
    """Mean of (log sigma^2 + (mu - target)^2 / sigma^2) / 2."""
    return 0.5 * (logvar + (mu - target).square() * torch.exp(-logvar)).mean()


def mean_square(mu: Tensor, logvar: Tensor, target: Tensor) -> Tensor:
    return (mu - target).square().mean()


LOSSES = {"gaussian_nll": gaussian_nll, "mse": mean_square}


class Trainer:
    """One run over fixed tensors: counts (N, L, 2) int16, target (N,) standardised energy, lengths (N,)."""

    def __init__(
        self, config: TrainConfig, normalisation: dict, counts: Tensor, target: Tensor, lengths: Tensor
    ):
        if len(counts) < config.batch:
            raise TrainError(f"{len(counts)} training pulses: expected at least one batch of {config.batch}")
        self.config = config
        self.counts, self.target = counts, target
        self.lengths = None if bool((lengths == counts.shape[1]).all()) else lengths
        self.mean = torch.tensor(normalisation["iq_mean"], dtype=torch.float32)
        self.std = torch.tensor(normalisation["iq_std"], dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = MKIDEnergySSM(**config.sizes)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.lr, betas=BETAS)
        self.epoch, self.step = 0, 0
        self.history: list[dict] = []

    @property
    def steps_per_epoch(self) -> int:
        drawn = min(self.config.pulses_per_epoch or len(self.counts), len(self.counts))
        return max(1, drawn // self.config.batch)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed((self.config.seed << 20) + self.epoch + 1)

    def run_epoch(self, progress: Callable[[float], None] | None = None) -> float:
        """One epoch; returns its mean loss. `progress` gets each step's loss. Raises TrainError if the loss is
        not finite.
        """
        config, batch = self.config, self.config.batch
        order = torch.randperm(len(self.counts), generator=self._generator())
        steps, total = self.steps_per_epoch, self.steps_per_epoch * config.epochs
        warmup = min(int(config.warmup * steps), total)
        self.model.train()
        sum_of_losses = 0.0
        for k in range(steps):
            index = order[k * batch : (k + 1) * batch]
            x = (self.counts[index].float() - self.mean) / self.std
            lengths = None if self.lengths is None else self.lengths[index]
            rate = warm_up_then_cosine(self.step, warmup, total, config.lr)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = LOSSES[config.loss](*self.model(x, lengths), self.target[index])
            value = loss.item()
            if not math.isfinite(value):
                raise TrainError(
                    f"loss {value} in epoch {self.epoch + 1}, step {k + 1}: try a smaller lr than {config.lr:g}"
                )
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
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
        # The average's memory grows with the run, so that the start is forgotten even in a short one.
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step)) if self.config.ema else 0.0
        for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
