"""The whole float VENOM network in its two executions: parallel (a window at once) and recurrent (a sample at a
time).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .backbone import BackboneState, SSMBackbone
from .errors import ModelError
from .head import EnergyHead


class MKIDEnergySSM(nn.Module):
    """VENOM: normalised I/Q windows (B, L, 2) -> (mu, log sigma^2), each (B,), in standardised energy units.

    The defaults are the published configuration, 3,314 parameters. Raises ModelError on sizes below one.
    """

    def __init__(
        self,
        d_model: int = 16,
        d_state: int = 8,
        n_layers: int = 1,
        d_conv: int = 4,
        expand: int = 1,
        d_head_hidden: int = 32,
    ):
        sizes = dict(
            d_model=d_model,
            d_state=d_state,
            n_layers=n_layers,
            d_conv=d_conv,
            expand=expand,
            d_head_hidden=d_head_hidden,
        )
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ModelError(f"{name} = {value!r}: expected a whole number, 1 or more")
        super().__init__()
        self.config: dict[str, int] = sizes
        self.backbone = SSMBackbone(d_model, d_state, n_layers, d_conv, expand)
        self.head = EnergyHead(d_model, d_head_hidden)

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The whole window at once. `lengths` (B,): valid samples of each window, the rest is padding (any
        finite values).
        """
        return self.head(self.backbone(x), _mask(x, lengths))

    def initial_state(self, batch: int) -> BackboneState:
        """The backbone's state at a window's start (zeros); the pooling sums' is `head.initial_pool`."""
        return self.backbone.initial_state(batch)

    def recurrent(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `forward`, sample by sample, as the gateware works."""
        if x.dim() != 3 or x.shape[-1] != 2 or x.shape[1] == 0:
            raise ModelError(
                f"input has shape {tuple(x.shape)}, expected (batch, samples, 2) with 1 sample or more"
            )
        mask = _mask(x, lengths)
        state, pool = self.initial_state(len(x)), self.head.initial_pool(len(x))
        for t in range(x.shape[1]):
            feature, state = self.backbone.step(x[:, t], state)
            pool = self.head.pool_step(feature, pool, None if mask is None else mask[:, t])
        return self.head.finish(pool)

    def load_weights(self, path) -> MKIDEnergySSM:
        """Load weights from a file (see `venom_hw.model.weights.load_weights`); returns self."""
        from .weights import load_weights

        load_weights(self, path)
        return self


def _mask(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """(B, L), True for the samples of each window; None where all are."""
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths, device=x.device)
    if lengths.shape != x.shape[:1]:
        raise ModelError(f"lengths has shape {tuple(lengths.shape)}, expected ({len(x)},)")
    if len(lengths) and (int(lengths.min()) < 1 or int(lengths.max()) > x.shape[1]):
        raise ModelError(
            f"lengths from {int(lengths.min())} to {int(lengths.max())}: expected 1 to {x.shape[1]}"
        )
    if bool((lengths == x.shape[1]).all()):
        return None
    return torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
