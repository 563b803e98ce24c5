"""Many networks of one size as rows of one matrix: where each tensor of a network lies in its row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from venom_hw.model import MKIDEnergySSM


@dataclass(frozen=True)
class Layout:
    """sizes: constructor arguments of MKIDEnergySSM; names, shapes, offsets of its parameters, in the model's order."""

    sizes: dict[str, int]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    count: int

    @classmethod
    def of(cls, sizes: dict[str, int]) -> Layout:
        with torch.device("meta"):
            parameters = list(MKIDEnergySSM(**sizes).named_parameters())
        names, shapes, offsets, count = [], [], [], 0
        for name, parameter in parameters:
            names.append(name)
            shapes.append(tuple(parameter.shape))
            offsets.append(count)
            count += parameter.numel()
        return cls(dict(sizes), tuple(names), tuple(shapes), tuple(offsets), count)

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """{name: (pixels, *shape)} of rows (pixels, count); views, so what is written there is written to the rows."""
        return {
            name: rows[:, first : first + math.prod(shape)].view(len(rows), *shape)
            for name, shape, first in zip(self.names, self.shapes, self.offsets, strict=True)
        }

    def flatten(self, model: MKIDEnergySSM) -> Tensor:
        """(count,) of one model."""
        return torch.cat([p.detach().reshape(-1) for _, p in model.named_parameters()])

    def model(self, row: Tensor) -> MKIDEnergySSM:
        """A model of its own from one row (count,)."""
        model = MKIDEnergySSM(**self.sizes)
        views = self.views(row.detach().to("cpu", torch.float32).reshape(1, -1))
        model.load_state_dict({name: value[0].clone() for name, value in views.items()})
        return model.eval()

    def start(self, seed: int) -> Tensor:
        """(count,) of a fresh model, the same starting weights as `venom_hw.train.Trainer` gives for this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.flatten(MKIDEnergySSM(**self.sizes))

    def decayed(self) -> Tensor:
        """(count,) of 0 and 1: which numbers the weight decay acts on (tensors of two dimensions or more)."""
        return torch.cat([torch.full((math.prod(s),), float(len(s) > 1)) for s in self.shapes])
