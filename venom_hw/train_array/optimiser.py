"""AdamW of many networks, each with its own rate, step number and gradient clip (the formulas of torch.optim)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from venom_hw.train.loop import BETAS
from venom_hw.train.schedule import average_decay

EPS = 1e-8


@dataclass
class StackedAdamW:
    """Moments exp_avg, exp_avg_sq (pixels, count) of rows (pixels, count); decayed (count,): 1 where weights decay."""

    exp_avg: Tensor
    exp_avg_sq: Tensor
    decayed: Tensor
    weight_decay: float
    clip: float

    @classmethod
    def of(cls, rows: Tensor, decayed: Tensor, weight_decay: float, clip: float) -> StackedAdamW:
        return cls(torch.zeros_like(rows), torch.zeros_like(rows), decayed.to(rows), weight_decay, clip)

    @torch.no_grad()
    def update(
        self, rows: Tensor, which: Tensor, gradient: Tensor, norm: Tensor, rate: Tensor, step: Tensor
    ) -> None:
        """Change rows[which] (k,) by gradient (k, count) of norm (k,), at rate (k,); step (k,), on the CPU, from 1."""
        if self.clip:
            gradient = gradient * (self.clip / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)
        rate, step = rate.to(rows).unsqueeze(1), step.to(torch.float64)
        first = (1 - BETAS[0] ** step).to(rows.dtype).to(rows.device).unsqueeze(1)
        second = (1 - BETAS[1] ** step).sqrt().to(rows.dtype).to(rows.device).unsqueeze(1)
        whole = len(which) == len(rows)  # all pixels, in order: no copies
        one, two = (self.exp_avg, self.exp_avg_sq) if whole else (self.exp_avg[which], self.exp_avg_sq[which])
        one.lerp_(gradient, 1 - BETAS[0])
        two.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        change = (rate / first) * one / two.sqrt().div_(second).add_(EPS)
        kept = 1 - rate * self.weight_decay * self.decayed
        if whole:
            rows.mul_(kept).sub_(change)
        else:
            self.exp_avg[which], self.exp_avg_sq[which] = one, two
            rows[which] = rows[which] * kept - change


@torch.no_grad()
def update_average(average: Tensor, rows: Tensor, which: Tensor, step: Tensor, ema: float) -> None:
    """The averaged weights of rows `which` after their step number `step` (k,), as `venom_hw.train` averages."""
    share = torch.tensor([1 - average_decay(int(s), ema) for s in step]).to(rows).unsqueeze(1)
    if len(which) == len(rows):
        average.lerp_(rows, share)
    else:
        average[which] = torch.lerp(average[which], rows[which], share)
