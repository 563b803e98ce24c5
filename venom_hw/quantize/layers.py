"""Parameter, linear and layer norm with quantisers: the parts that the quantised network is built from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .quantisers import QuantiserFactory

NORM_EPS = 2.0**-10
SQRT_HALF = 11863283 * 2.0**-24  # 1/sqrt(2) in 24 bits: the same number in a float32 file and in float64


def gelu(x: torch.Tensor) -> torch.Tensor:
    """x Phi(x), by erf, from constants that float32 holds exactly."""
    return (x * 0.5) * (torch.erf(x * SQRT_HALF) + 1.0)


class QuantParameter(nn.Module):
    """A parameter and its quantiser; calling it gives the parameter on its grid.

    ``zeros``: shape; ``scale_shape``: () or a shape that broadcasts to it; ``tensor_class``: its class in the
    recipe.
    """

    def __init__(
        self,
        make: QuantiserFactory,
        name: str,
        tensor_class: str,
        shape: tuple[int, ...],
        scale_shape: tuple[int, ...] = (),
        signed: bool = True,
    ) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(shape))
        self.quant = make(name, tensor_class, scale_shape, signed)

    def forward(self) -> torch.Tensor:
        return self.quant(self.value)


class QuantLinear(nn.Module):
    """x W^T (+ b): weights of class ``w_<kind>`` with one scale a row, bias of class ``bias`` with one scale."""

    def __init__(
        self, make: QuantiserFactory, name: str, kind: str, inputs: int, outputs: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = QuantParameter(make, f"{name}.weight", f"w_{kind}", (outputs, inputs), (outputs, 1))
        self.bias = QuantParameter(make, f"{name}.bias", "bias", (outputs,)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight(), self.bias() if self.bias is not None else None)


class QuantNorm(nn.Module):
    """Layer norm without gamma and beta (they live in the next linear).  ``eps``: a power of two."""

    def __init__(self, make: QuantiserFactory, name: str, prefix: str = "", eps: float = NORM_EPS) -> None:
        super().__init__()
        self.eps = eps
        self.q_c = make(f"{name}.q_c", f"{prefix}c", (), True)
        self.q_v = make(f"{name}.q_v", f"{prefix}v", (), False)
        self.q_rs = make(f"{name}.q_rs", f"{prefix}rs", (), False)
        self.q_n = make(f"{name}.q_n", "f" if prefix else "n", (), True)

    def forward(self, r: torch.Tensor) -> torch.Tensor:
        c = self.q_c(r - r.mean(-1, keepdim=True))
        v = self.q_v(c.square().mean(-1, keepdim=True))
        return self.q_n(c * self.q_rs(torch.rsqrt(v + self.eps)))


def leading_one_tables(low: int, high: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What :func:`leading_one` compares with and gathers, for sums in [2^low, 2^(high + 1)): thresholds 2^j, j =
    low + 1 .. high (J,), and powers 2^-j, j = low .. high (J + 1, 1).
    """
    exponents = torch.arange(low, high + 1, dtype=torch.float32)
    return torch.pow(2.0, exponents[1:]), torch.pow(2.0, -exponents)[:, None]


def leading_one(total: torch.Tensor, thresholds: torch.Tensor, powers: torch.Tensor) -> torch.Tensor:
    """2^-floor(log2 total) of positive sums (..., 1): the normalise pattern, in hardware a leading-zero count."""
    return F.embedding((total >= thresholds).sum(-1), powers)
