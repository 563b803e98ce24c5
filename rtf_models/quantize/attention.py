"""Quantised self-attention over one light curve, with a padding mask and an exact softmax denominator.

Scores stay exact (products of two 8-bit codes, summed); only their distance to the largest score of a query is
rounded, and indexes the table of exp.  Two reasons for the true maximum instead of a constant reference: a weight
then keeps its relative precision in 8 bits whatever the query (the largest is always the full code), and a light
curve has at most ``max_len`` + 1 keys, whose scores a gateware keeps in one small memory between a first pass (scores,
maximum) and a second one (exp, two sums).  A constant reference needs about four bits more in every weight.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from venom_hw.quantize.formats import TensorFormat
from venom_hw.quantize.layers import QuantLinear, leading_one, leading_one_tables
from venom_hw.quantize.quantisers import QuantiserFactory

from .shape import EncoderShape


class QuantAttention(nn.Module):
    """n (B, K, d) normalised tokens -> (B, Q, d): what each of the first ``queries`` tokens gathers (all: None)."""

    def __init__(self, shape: EncoderShape, make: QuantiserFactory, name: str, queries: int | None) -> None:
        super().__init__()
        self.heads, self.queries = shape.n_heads, queries
        self.top_weight = 1.0 - 2.0**-shape.weight_bits  # the largest weight: the largest code, so nothing saturates
        d = shape.d_model

        def q(tensor: str, signed: bool = True) -> nn.Module:
            return make(f"{name}.q_{tensor}", tensor, (), signed)

        self.query = QuantLinear(make, f"{name}.query", "query", d, d)
        self.key = QuantLinear(make, f"{name}.key", "key", d, d, bias=False)
        self.value = QuantLinear(make, f"{name}.value", "value", d, d, bias=False)
        self.q_query, self.q_key, self.q_value = q("query"), q("key"), q("value")
        self.q_u, self.q_e = q("u", signed=False), q("e", signed=False)
        self.q_m, self.q_inv = q("m", signed=False), q("inv", signed=False)
        self.q_nn, self.q_p = q("nn"), q("p")
        self.out = QuantLinear(make, f"{name}.out", "out", d, d)
        thresholds, powers = leading_one_tables(-shape.weight_bits, math.ceil(math.log2(shape.keys)))
        self.register_buffer("thresholds", thresholds, persistent=False)
        self.register_buffer("powers", powers, persistent=False)
        self.register_buffer("masked", torch.tensor(2.0**20), persistent=False)

    def limit_scores(self, query: TensorFormat, key: TensorFormat, d_head: int) -> None:
        """Set what a masked key's score is lowered by: the smallest power of two above any difference of scores."""
        bits = query.bits + key.bits - 2 + math.ceil(math.log2(d_head)) + 1
        self.masked.fill_(math.ldexp(1.0, bits - query.frac - key.frac))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(B, K, d) -> (B, heads, K, d / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, n: torch.Tensor, pad: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """``pad``, ``valid`` (B, 1, 1, K): 1 and 0 where a key is padding, and the other way round."""
        asking = n if self.queries is None else n[:, : self.queries]
        query = self.split(self.q_query(self.query(asking)))
        key, value = self.split(self.q_key(self.key(n))), self.split(self.q_value(self.value(n)))
        scores = torch.matmul(query, key.transpose(-1, -2))
        top = (scores - pad * self.masked).amax(-1, keepdim=True)
        weight = self.q_e(torch.exp(-self.q_u(top.detach() - scores)) * self.top_weight) * valid
        total = weight.sum(-1, keepdim=True)
        scale = leading_one(total.detach(), self.thresholds, self.powers)
        inverse = self.q_inv(torch.reciprocal(self.q_m(total * scale - 1.0) + 1.0))
        p = self.q_p(self.q_nn(torch.matmul(weight, value) * scale) * inverse)
        return self.out(p.transpose(1, 2).flatten(-2))
