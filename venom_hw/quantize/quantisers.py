"""The Brevitas quantiser of one tensor, and the observer that stands in its place during calibration.

Every quantiser is a ``QuantIdentity`` with a frozen power-of-two scale (scalar, or an array such as (1,
d_inner, d_state)), used at exactly one place: one quantiser = one ``Quant`` node of the exported file.  The
gradient is the straight-through one: 1 where the rounded code is inside the range, 0 outside.  Frozen scales
are not in the state dict: a quantiser is rebuilt from its :class:`~venom_hw.quantize.formats.TensorFormat`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from brevitas.inject.enum import FloatToIntImplType, RestrictValueType, ScalingImplType, ScalingPerOutputType
from brevitas.nn import QuantIdentity
from brevitas.quant.base import IntQuant
from brevitas.quant.solver.act import ActQuantSolver
from torch import nn

from .formats import FormatError, TensorFormat

# (name, tensor class of the recipe, shape of the scale, signed) -> module applied to the tensor
QuantiserFactory = Callable[[str, str, tuple[int, ...], bool], nn.Module]

# classes observed for each channel whose recipe may still ask for one scale for the whole tensor
MAY_SHARE = ("dx",)
ROUNDING_IMPL = {"half_even": FloatToIntImplType.ROUND, "floor": FloatToIntImplType.FLOOR}


class FrozenActQuant(IntQuant, ActQuantSolver):
    """Injector: integer quantiser with a constant power-of-two scale, no statistics, the same in train() and
    eval().
    """

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    bit_width = 12


def brevitas_quantiser(fmt: TensorFormat, name: str = "tensor") -> QuantIdentity:
    """Brevitas module of a format.  Raises FormatError if Brevitas would use another scale than the one asked
    for.
    """
    threshold = torch.as_tensor(
        np.asarray(fmt.lsb * 2.0 ** (fmt.bits - int(fmt.signed))), dtype=torch.float32
    )
    settings = {
        "bit_width": fmt.bits,
        "signed": fmt.signed,
        "scaling_init": threshold,
        "float_to_int_impl_type": ROUNDING_IMPL[fmt.rounding],
    }
    if threshold.ndim:
        settings |= {
            "scaling_per_output_type": ScalingPerOutputType.CHANNEL,
            "scaling_stats_permute_dims": None,
            "per_channel_broadcastable_shape": tuple(threshold.shape),
        }
    module = QuantIdentity(act_quant=FrozenActQuant, **settings)
    scale = module.act_quant.scale().detach().to(torch.float64).numpy()
    if not np.array_equal(np.broadcast_to(scale, np.shape(fmt.lsb)), fmt.lsb):
        raise FormatError(
            f"{name}: Brevitas made the scale {scale} of {fmt.lsb}; expected a power of two it can hold"
        )
    return module


def brevitas_factory(formats: Mapping[str, TensorFormat]) -> QuantiserFactory:
    """Factory that looks each quantiser up by its full name; raises FormatError naming a missing or
    misfitting one.
    """

    def make(name: str, tensor_class: str, scale_shape: tuple[int, ...], signed: bool) -> nn.Module:
        if name not in formats:
            raise FormatError(f"no number format for tensor '{name}' (class '{tensor_class}')")
        fmt = formats[name]
        if fmt.signed != signed:
            raise FormatError(
                f"tensor '{name}' is {'signed' if signed else 'unsigned'}, its format says otherwise"
            )
        shape = np.shape(fmt.frac)
        if shape and shape != tuple(scale_shape):
            raise FormatError(f"tensor '{name}': frac has shape {shape}, expected () or {tuple(scale_shape)}")
        return brevitas_quantiser(fmt, name)

    return make


class Observer(nn.Module):
    """Passes a tensor through unchanged and remembers its range, one range for each element of
    ``scale_shape``.

    ``limit`` is the largest magnitude seen.  For scalar scales a random subsample of magnitudes is kept too,
    so that a percentile can be asked for (:meth:`percentile`); for others too, over all elements.
    """

    SAMPLE = 20_000

    def __init__(
        self, name: str, tensor_class: str, scale_shape: tuple[int, ...], signed: bool, sample: int = SAMPLE
    ) -> None:
        super().__init__()
        self.sample = sample  # values kept of each call
        self.name, self.tensor_class, self.scale_shape, self.signed = (
            name,
            tensor_class,
            tuple(scale_shape),
            signed,
        )
        self.limit: np.ndarray | None = None
        self.maximum = -np.inf
        self.samples: list[np.ndarray] = []
        self.rng = np.random.default_rng(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = x.detach()
        magnitude = values.abs()
        if self.scale_shape:
            lead = magnitude.ndim - len(self.scale_shape)
            axes = [*range(lead), *(lead + i for i, n in enumerate(self.scale_shape) if n == 1)]
            limit = (
                (magnitude.amax(dim=axes) if axes else magnitude).reshape(self.scale_shape).double().numpy()
            )
        else:
            limit = np.asarray(magnitude.max().item())
        if not self.scale_shape or self.tensor_class in MAY_SHARE:
            flat = magnitude.reshape(-1)
            if flat.numel() > self.sample:
                flat = flat[torch.from_numpy(self.rng.integers(0, flat.numel(), self.sample))]
            self.samples.append(flat.double().numpy())
        self.maximum = max(self.maximum, values.max().item())
        self.limit = limit if self.limit is None else np.maximum(self.limit, limit)
        return x

    def percentile(self, per_cent: float) -> float:
        """Magnitude below which ``per_cent`` of the (subsampled) values lie."""
        return float(np.percentile(np.concatenate(self.samples), per_cent))


def observer_factory(observers: dict[str, Observer], sample: int = Observer.SAMPLE) -> QuantiserFactory:
    """Factory of observers, collected by name in ``observers``; each keeps ``sample`` values of each call."""

    def make(name: str, tensor_class: str, scale_shape: tuple[int, ...], signed: bool) -> nn.Module:
        observers[name] = Observer(name, tensor_class, scale_shape, signed, sample)
        return observers[name]

    return make
