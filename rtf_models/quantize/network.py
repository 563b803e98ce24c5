"""The quantised RTF encoder: one definition serves calibration, training, exact reference and the ONNX export.

All values are integer * 2^-frac.  ``q_*`` is one quantiser = one QONNX ``Quant`` (domain
``qonnx.custom_op.general``, mode ROUND = half to even, or FLOOR), used at exactly one place.  B batch, L detections,
K = L + 1 tokens (the class token first), Q tokens that ask (K, in the last layer 1), d = d_model, H heads, D latent.

File
----
encoder.onnx: inputs ``x`` (batch, length, C) float channels as InputSpec prepares them, ``pad_mask`` (batch, length)
1 = padding; output ``fingerprint`` (batch, D), integers of ``q_z`` times its scale.  batch and length are dynamic
(length 1 .. max_len, for which all sums are proven; longer ones are refused: ``embed`` raises EncoderError, and
``Executor`` reads ``venom.max_steps``).  What stands in padded rows of x does not matter: masked keys
count exactly 0, so a fingerprint is the same integers whatever it was padded to.

Model metadata: ``venom.format``, ``venom.graph`` = encoder, ``venom.model``, ``venom.max_steps`` = max_len,
``venom.input.<name>`` and ``venom.output.fingerprint`` = JSON {"bits", "frac", "signed"}.

A Quant node and its output tensor are named after their module: ``layers.0.attention.q_u``, a parameter's
``layers.0.linear1.weight.quant``; the last one's tensor is ``fingerprint``.

For one length the file is a datapath: ``import_graph(OnnxGraph(path, sizes={"length": n}))`` of venom_hw.interchange.

Op patterns (a parameter is always initialiser -> Quant, stored on its grid)
----------------------------------------------------------------------------
* linear: ``MatMul(x, Transpose(Quant(W)))``, ``Add(Quant(b))`` where there is a bias; the bottleneck, of two
  dimensions, ``Gemm(x, Quant(W), Quant(b), transB=1)``.  W (out, in) has one binary point a row: scale (out, 1).
* time code: ``Slice`` x[..., 0:1], linear (turns: w t + b) -> Quant q_phase; ``Mul(2 pi)``, ``Sin`` -> Quant q_sine:
  one table for all d channels; since it repeats after one turn, the low ``frac`` bits of the code index it.
* tokens: linear in_proj plus sine, ``Expand(Quant(cls))`` along the batch, ``Concat`` -> Quant q_res.
* layer norm: ``ReduceMean`` (axes=[-1], keepdims), ``Sub`` -> Quant q_c; ``Pow(., 2)``, ``ReduceMean`` -> Quant q_v
  (unsigned); ``Add(2^-17)``, ``Sqrt``, ``Reciprocal`` -> Quant q_rs: a table of v; ``Mul(c, rs)`` -> Quant q_n.
  d is a power of two: a mean is a sum and a shift.  gamma and beta live in the next linear.  In the first layer the
  class token's n is a parameter (``token``, ``Expand``, ``Concat``).
* heads: ``Reshape`` (., ., d) -> (., ., H, d/H) and ``Transpose``; back after attention.
* scores: ``MatMul(query, key^T)``, exact; ``Sub(pad * masked)``, ``ReduceMax`` (axis -1, keepdims) = the largest of
  the valid keys; ``Sub(largest, score)`` -> Quant q_u (unsigned, saturates where exp is 0 anyway).  ``masked`` is a
  power of two above any difference of two scores.
* weights: ``Neg, Exp, Mul(1 - 2^-bits)`` -> Quant q_e (unsigned, in [0, 1)): a table; ``Mul(valid)``.
* sums: ``MatMul(weights, value)`` and ``ReduceSum(weights)``, exact, as wide as max_len + 1 keys ask.
* normalise: ``GreaterOrEqual(sum, thresholds)``, ``Cast``, ``ReduceSum``, ``Gather(powers)`` = 2^-floor(log2 sum):
  a leading-zero count.  ``Mul(sum, .)``, ``Sub(1)`` -> Quant q_m (unsigned, in [0, 1)); ``Add(1)``, ``Reciprocal`` ->
  Quant q_inv: a table; ``Mul(weighted sum, .)`` -> Quant q_nn; ``Mul(nn, inv)`` -> Quant q_p.
* features (inputs ``features`` (batch, G), ``present`` (batch, 1), of models that take them): Quant, linear, layer
  norm, ``Mul(Quant(gain))``, ``Add(Quant(offset))``, ``Relu`` -> Quant q_a; ``Mul(present)``, linear ``fusion`` without
  bias, ``Add`` to the bottleneck -> Quant q_z.
* residual: ``Add(r, linear)`` -> Quant q_r1, q_r2; ``Relu`` -> Quant q_a (unsigned).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from rtf_models.data.source import N_FEATURES
from venom_hw.quantize.layers import QuantLinear, QuantNorm, QuantParameter
from venom_hw.quantize.quantisers import QuantiserFactory

from .attention import QuantAttention
from .shape import EncoderError, EncoderShape

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


class QuantFeatures(nn.Module):
    """Light-curve features (B, G), present (B, 1) of 0 and 1 -> what they add to the class token's norm (B, d)."""

    def __init__(self, shape: EncoderShape, make: QuantiserFactory) -> None:
        super().__init__()
        d = shape.d_model
        self.q_in = make("features.q_in", "gin", (), True)
        self.linear = QuantLinear(make, "features.linear", "g", shape.features, d)
        self.norm = QuantNorm(make, "features.norm", prefix="g", eps=NORM_EPS)
        self.gain = QuantParameter(make, "features.gain", "w_gain", (d,))
        self.offset = QuantParameter(make, "features.offset", "bias", (d,))
        self.q_a = make("features.q_a", "a", (), False)

    def forward(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        n = self.norm(self.linear(self.q_in(features)))
        return self.q_a(torch.relu(n * self.gain() + self.offset())) * present


class QuantEncoder(nn.Module):
    """x (B, L, C), pad_mask (B, L) 1 = padding (, features (B, G), present (B, 1)) -> fingerprint (B, D), all on
    their grids.
    """

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
        if shape.features:
            self.features = QuantFeatures(shape, make)
            self.fusion = QuantLinear(make, "fusion", "z", d, shape.latent_dim, bias=False)
        self.q_z = make("q_z", "z", (), True)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Detections (B, L, C) -> tokens (B, L + 1, d), the class token first."""
        x = self.q_in(x)
        sine = self.q_sine(torch.sin(self.q_phase(self.time(x[..., :1])) * TWO_PI))
        return self.q_res(torch.cat([self.cls().expand(x.shape[0], -1, -1), self.in_proj(x) + sine], 1))

    def forward(
        self,
        x: torch.Tensor,
        pad_mask: torch.Tensor,
        features: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if not torch.compiler.is_exporting():  # the file says it as the range of its length
            self.check_length(pad_mask)
        pad = F.pad(pad_mask, (1, 0))[:, None, None, :]  # the class token is never padding
        valid = 1.0 - pad
        r = self.tokens(x)
        for layer in self.layers:
            r = layer(r, pad, valid)
        z = self.bottleneck(self.norm(r[:, 0]))
        if self.shape.features:
            z = z + self.fusion(self.features(features, present))
        return self.q_z(z)

    @property
    def latent_dim(self) -> int:
        """D, as the float model has it."""
        return self.shape.latent_dim

    @torch.no_grad()
    def embed(
        self,
        x: torch.Tensor,
        pad_mask: torch.Tensor | None = None,
        images: None = None,
        gp_features: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Fingerprints (B, D) in the network's own precision (exact in float64), as the float model's ``embed``."""
        return self(*self.arguments(x, pad_mask, gp_features))

    def arguments(
        self, x: torch.Tensor, pad_mask: torch.Tensor | None = None, gp_features: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The arguments of ``forward`` (and inputs of the file) for those of the float model."""
        dtype = self.cls.value.dtype
        pad_mask = torch.zeros(x.shape[:2]) if pad_mask is None else pad_mask
        self.check_length(pad_mask)
        given = [x.to(dtype), pad_mask.to(dtype)]
        if self.shape.features:
            if gp_features is None:
                gp_features = x.new_zeros((len(x), self.shape.features))
            there = gp_features[:, :N_FEATURES].any(1, keepdim=True) | bool(self.shape.embed_absent)
            given += [gp_features.to(dtype), there.to(dtype)]
        return tuple(given)

    def check_length(self, pad_mask: torch.Tensor) -> None:
        """Raise EncoderError if a light curve, or what it is padded to, is longer than the sums are proven for."""
        width = pad_mask.shape[1]
        if width > self.shape.max_len:
            counts = (pad_mask == 0).sum(1)
            row = int(counts.argmax())
            raise EncoderError(
                f"light curve {row} of the batch: {int(counts[row])} detections in {width} positions; expected at most "
                f"{self.shape.max_len}, for which the sums of this encoder are proven"
            )

    def snap(self) -> None:
        """Put every parameter on its grid (no output changes)."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, QuantParameter):
                    module.value.copy_(module() + 0.0)  # + 0.0: no negative zeros in the files
