"""The quantised RTF encoder: light curve and padding mask -> fingerprint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from venom_hw.quantize.layers import QuantLinear, QuantNorm, QuantParameter
from venom_hw.quantize.quantisers import QuantiserFactory

from .attention import QuantAttention
from .shape import EncoderShape

NORM_EPS = 2.0**-17  # 7.6e-6, against the float model's 1e-5; VENOM's 2^-10 would be seen here
TWO_PI = 13176795 * 2.0**-21  # 2 pi in 24 bits: the same number in a float32 file and in float64


class QuantLayer(nn.Module):
    """One pre-norm transformer layer.  ``queries``: how many tokens go on (the last layer: the class token only)."""

    def __init__(
        self, shape: EncoderShape, make: QuantiserFactory, name: str, first: bool, queries: int | None
    ) -> None:
        super().__init__()
        d = shape.d_model
        self.queries = queries
        self.norm1 = QuantNorm(make, f"{name}.norm1", eps=NORM_EPS)
        # the class token's first norm is a constant, and too small a tensor for the detections' formats
        self.token = QuantParameter(make, f"{name}.token", "w_token", (1, 1, d)) if first else None
        self.attention = QuantAttention(shape, make, f"{name}.attention", queries)
        self.q_r1 = make(f"{name}.q_r1", "res", (), True)
        self.norm2 = QuantNorm(make, f"{name}.norm2", eps=NORM_EPS)
        self.linear1 = QuantLinear(make, f"{name}.linear1", "1", d, shape.d_ff)
        self.q_a = make(f"{name}.q_a", "a", (), False)
        self.linear2 = QuantLinear(make, f"{name}.linear2", "2", shape.d_ff, d)
        self.q_r2 = make(f"{name}.q_r2", "res", (), True)

    def forward(self, r: torch.Tensor, pad: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Residual stream (B, K, d) -> the new one (B, Q, d)."""
        if self.token is None:
            n = self.norm1(r)
        else:
            n = torch.cat([self.token().expand(r.shape[0], -1, -1), self.norm1(r[:, 1:])], 1)
        gathered = self.attention(n, pad, valid)
        r = self.q_r1((r if self.queries is None else r[:, : self.queries]) + gathered)
        return self.q_r2(r + self.linear2(self.q_a(torch.relu(self.linear1(self.norm2(r))))))


class QuantEncoder(nn.Module):
    """x (B, L, C), pad_mask (B, L) 1 = padding -> fingerprint (B, D), all on their grids."""

    def __init__(self, shape: EncoderShape, make: QuantiserFactory) -> None:
        super().__init__()
        self.shape = shape
        d = shape.d_model
        self.q_in = make("q_in", "in", (), True)
        self.in_proj = QuantLinear(make, "in_proj", "in", shape.in_channels, d)
        self.time = QuantLinear(make, "time", "time", 1, d)
        self.q_phase = make("q_phase", "phase", (), True)
        self.q_sine = make("q_sine", "sine", (), True)
        self.cls = QuantParameter(make, "cls", "w_cls", (1, 1, d))
        self.q_res = make("q_res", "res", (), True)
        last = shape.n_layers - 1
        self.layers = nn.ModuleList(
            QuantLayer(shape, make, f"layers.{k}", k == 0, 1 if k == last else None) for k in range(shape.n_layers)
        )
        self.norm = QuantNorm(make, "norm", prefix="f", eps=NORM_EPS)
        self.bottleneck = QuantLinear(make, "bottleneck", "z", d, shape.latent_dim)
        self.q_z = make("q_z", "z", (), True)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Detections (B, L, C) -> tokens (B, L + 1, d), the class token first."""
        x = self.q_in(x)
        sine = self.q_sine(torch.sin(self.q_phase(self.time(x[..., :1])) * TWO_PI))
        return self.q_res(torch.cat([self.cls().expand(x.shape[0], -1, -1), self.in_proj(x) + sine], 1))

    def forward(self, x: torch.Tensor, pad_mask: torch.Tensor) -> torch.Tensor:
        pad = F.pad(pad_mask, (1, 0))[:, None, None, :]  # the class token is never padding
        valid = 1.0 - pad
        r = self.tokens(x)
        for layer in self.layers:
            r = layer(r, pad, valid)
        return self.q_z(self.bottleneck(self.norm(r[:, 0])))

    @property
    def latent_dim(self) -> int:
        """D, as the float model has it."""
        return self.shape.latent_dim

    @torch.no_grad()
    def embed(self, x: torch.Tensor, pad_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Fingerprints (B, D) in the network's own precision (exact in float64), as the float model's ``embed``."""
        dtype = self.cls.value.dtype
        pad_mask = torch.zeros(x.shape[:2]) if pad_mask is None else pad_mask
        return self(x.to(dtype), pad_mask.to(dtype))

    def snap(self) -> None:
        """Put every parameter on its grid (no output changes)."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, QuantParameter):
                    module.value.copy_(module() + 0.0)  # + 0.0: no negative zeros in the files
