"""Sizes of a quantised VENOM."""

from __future__ import annotations

from dataclasses import asdict, dataclass


class NetworkError(ValueError):
    """The network cannot be quantised in this form; the message names the size and what would be right."""


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of the network and of its pooling sums.  ``weight_frac``: binary point of the pooling weight e
    (in [2^-frac, 1)).
    """

    d_model: int = 16
    d_state: int = 8
    n_layers: int = 1
    d_conv: int = 4
    expand: int = 1
    d_head_hidden: int = 32
    max_steps: int = 126
    weight_frac: int = 12

    def __post_init__(self) -> None:
        if self.d_model < 2 or self.d_model & (self.d_model - 1):
            raise NetworkError(
                f"d_model = {self.d_model}: the layer norm's mean is a shift, so d_model must be a power of two"
            )
        for name, value in asdict(self).items():
            if int(value) != value or value < 1:
                raise NetworkError(f"{name} = {value!r}: expected a positive integer")

    @property
    def d_inner(self) -> int:
        return self.d_model * self.expand
