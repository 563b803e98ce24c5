"""Pre-norm transformer layers, in plain operations and under the parameter names of torch.nn.TransformerEncoderLayer.

One layer, h (B, N, d), N positions:

    h = h + drop(attention(norm1(h)))
    h = h + drop(linear2(drop(relu(linear1(norm2(h))))))

Own layers rather than torch.nn.TransformerEncoder: q, k, v are there to be seen (and quantised), the last layer can be
asked for its first position alone, padding costs next to nothing, and the layers of a stack start from different
weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import Dropout, dropout
from .tokens import Tokens, worth_packing


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself; weights q, k, v stacked in `in_proj_weight` (3 d, d)."""

    def __init__(self, d_model: int, n_heads: int, dropout: float):
        super().__init__()
        self.d_model, self.n_heads, self.dropout = d_model, n_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        self.out_proj = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, h: Tensor, visible: Tensor | None, first_only: bool = False, tokens: Tokens | None = None):
        """h (B, N, d) -> (B, N, d), or (B, 1, d): the first position's row alone.

        `visible` (B, 1, 1, N) bool: the positions that may be attended to; None: all. With `tokens`, h and the result
        are (T, d), the visible positions alone; all but the attention itself is then spared for the others.
        """
        d = self.d_model
        if first_only:
            first = h[:, :1] if tokens is None else tokens.first(h)
            q = F.linear(first, self.in_proj_weight[:d], self.in_proj_bias[:d])
            kv = F.linear(h, self.in_proj_weight[d:], self.in_proj_bias[d:])
            k, v = (kv if tokens is None else tokens.padded(kv)).chunk(2, dim=-1)
        else:
            qkv = F.linear(h, self.in_proj_weight, self.in_proj_bias)
            q, k, v = (qkv if tokens is None else tokens.padded(qkv)).chunk(3, dim=-1)
        mixed = self._mix(self._heads(q), self._heads(k), self._heads(v), visible).transpose(1, 2).flatten(2)
        return self.out_proj(mixed if tokens is None or first_only else tokens.packed(mixed))

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        """softmax(q k / sqrt(head width)) v, each (B, heads, N, head width)."""
        if not (self.training and self.dropout and q.device.type == "cpu"):
            p = self.dropout if self.training else 0.0
            return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=p)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # the same, with our dropout
        if visible is not None:
            scores = scores + scores.new_zeros(visible.shape).masked_fill_(~visible, -torch.inf)
        return dropout(scores.softmax(-1), self.dropout, self.training) @ v

    def _heads(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, heads, N, d / heads)."""
        return x.unflatten(-1, (self.n_heads, self.d_model // self.n_heads)).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Attention and a two-layer perceptron with ReLU, each after a layer norm and around a residual."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.self_attn = SelfAttention(d_model, n_heads, dropout)
        self.linear1 = nn.Linear(d_model, d_ff)
        self.linear2 = nn.Linear(d_ff, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor, visible: Tensor | None, first_only: bool = False, tokens: Tokens | None = None):
        """h (B, N, d) -> (B, N, d), or with `first_only` (B, 1, d): the same numbers for the first position alone.

        `visible`, `tokens`: as for SelfAttention.
        """
        mixed = self.self_attn(self.norm1(h), visible, first_only, tokens)
        if first_only:
            h = h[:, :1] if tokens is None else tokens.first(h)
        h = h + self.dropout(mixed)
        return h + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(self.norm2(h))))))


class TransformerStack(nn.Module):
    """Layers one after another; no norm at the end."""

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_layers))

    def forward(self, h: Tensor, visible: Tensor | None = None, first_only: bool = False) -> Tensor:
        """h (B, N, d); `visible` (B, N) bool, True = may be attended to, None = all.

        `first_only`: (B, 1, d), the first position (visible, always) after the last layer, which computes nothing else.
        What comes out where nothing is visible means nothing.
        """
        mask = None if visible is None else visible[:, None, None, :]
        tokens = Tokens(visible) if worth_packing(visible) else None
        h = h if tokens is None else tokens.packed(h)
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            h = layer(h, mask, first_only and i == last, tokens)
        return h if tokens is None or first_only else tokens.padded(h)
