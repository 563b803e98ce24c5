"""The quantised VENOM: one definition serves calibration, training, the sample-by-sample reference and the
ONNX export.

All values are integer * 2^-frac.  ``q_*`` is one quantiser = one QONNX ``Quant`` (domain
``qonnx.custom_op.general``, mode ROUND = half to even, or FLOOR).  Shapes carry any leading dimensions: (B,
...) in the step, (T, B, ...) in the whole window. D = d_model, E = d_inner = expand * D, N = d_state, K =
d_conv.

Files
-----
step.onnx: inputs ``sample`` (batch, 2), ``conv`` (batch, K-1, E; oldest first), ``h`` (batch, E, N),
``pool_num`` (batch, D), ``pool_den`` (batch, 1); outputs ``feature`` (batch, D), ``weight`` (batch, 1),
``weighted_feature`` (batch, D), ``conv_out``, ``h_out``, ``pool_num_out``, ``pool_den_out``.
Further layers k = 1.. add ``conv_k``, ``h_k`` and ``conv_k_out``, ``h_k_out``.

head.onnx: inputs ``pool_num``, ``pool_den``; outputs ``energy`` (batch, 1), ``log_variance`` (batch, 1).

Model metadata: ``venom.format``, ``venom.graph`` (step | head), ``venom.model``, ``venom.max_steps``,
``venom.window`` (JSON), ``venom.state.<input>`` = <output>, ``venom.input.<name>`` = JSON {"bits", "frac",
"signed"} for each graph input (``frac`` may be a nested list, (1, E, N) for h).

A Quant node and its output tensor are named after their module: ``layers.0.q_h`` (the formats call it
``step.layers.0.q_h``), a parameter's ``layers.0.x_proj.weight.quant``; a Quant that makes a graph output has
that output's name as tensor (``h_out``, ``feature``, ``weight``, ``energy``, ``log_variance``) and its module
as node name.

Op patterns (names as in the file; a parameter is always initialiser -> Quant, stored on its grid)
-------------------------------------------------------------------------------------------------
* linear: ``Gemm(x, Quant(W), Quant(b), transB=1)``, or without bias ``Gemm(x, Quant(W), transB=1)`` /
  ``MatMul(x, Transpose)``. W (out, in) has one binary point a row: scale (out, 1).
* layer norm: ``ReduceMean`` (axes=[-1], keepdims), ``Sub`` -> Quant q_c; ``Pow(.,2)``, ``ReduceMean`` ->
  Quant q_v (unsigned); ``Add(2^-10)``, ``Sqrt``, ``Reciprocal`` -> Quant q_rs: a table of v; ``Mul(c, rs)``
  -> Quant q_n. The mean is over D elements, D a power of two: a sum and a shift.
* convolution: ``Unsqueeze(xi)``, ``Concat(conv, .; axis=1)`` = taps (batch, K, E); ``Mul(taps, Quant(w) (K,
  E))``, ``ReduceSum(axis 1)``, ``Add(Quant(b))`` -> Quant q_u;  conv_out = ``Slice(taps, 1:)``.
* SiLU: ``Sigmoid, Mul`` between q_u and q_xa, and between q_z and q_gz: tables.
* softplus: ``Softplus, Greater, Where`` between q_zt and q_delta: a table, shared by all d.
* decay g = 1 - exp(-A softplus(zt)): ``Softplus, Greater, Where, Unsqueeze, Mul(Quant(A) (E, N)), Neg, Exp,
  Sub(1, .)`` (``, Max(., minimum)`` where the recipe has one) between q_zt and q_g: one table for each (d, n).
* state: ``Mul(g, h)``, ``Sub(h, .)``, ``Unsqueeze`` of dx (scale () or (1, E)) and B, ``Mul``, ``Add`` ->
  Quant q_h (scale (1, E, N)): ONE rounding.
* read-out: ``Unsqueeze(C)``, ``Mul(., h')``, ``ReduceSum(axis -1)``, ``Mul(Quant(D), xa)``, ``Add`` -> Quant
  q_y.
* pooling: score = linear without bias (1 row) -> Quant q_s; ``Sub(S0)``, ``Exp``, ``Clip``/``Max`` (>= 1 LSB
  of e) -> Quant q_e: a table; ``Mul(e, f)``, ``Add`` for both sums, no Quant: exact, as wide as max_steps
  asks.
* normalise (head): ``GreaterOrEqual(den, thresholds (J,))``, ``Cast``, ``ReduceSum(axis -1)`` = k;
  ``Gather(power table (J+1, 1), k)`` = 2^-floor(log2 den) =: scale (batch, 1). thresholds are 2^j, j =
  -weight_frac+1 .. ceil(log2 max_steps), ascending; table entry k is 2^(weight_frac-k). ``Mul(den, scale)``,
  ``Sub(1)`` -> Quant q_m (unsigned, in [0, 1), frac = bits: every code is used); ``Mul(num, scale)`` -> Quant
  q_nn;  ``Add(m, 1)``, ``Reciprocal`` -> Quant q_inv: a table;  ``Mul(nn, inv)`` -> Quant q_p.
* GELU: ``Mul(a, SQRT_HALF), Erf, Add(1)``, ``Mul(a, 0.5)``, ``Mul`` of both, between q_a1 and q_g1 (q_a2,
  q_g2): tables.
* end: ``Slice`` out[:, 0:1] and out[:, 1:2]; ``Mul(Quant(gain) (1,))``, ``Add(Quant(offset) (1,))`` -> Quant
  q_mu / q_logvar.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .block import QuantBlock
from .formats import TensorFormat
from .layers import QuantLinear, QuantNorm, QuantParameter, gelu, leading_one, leading_one_tables
from .quantisers import QuantiserFactory
from .shape import NetworkShape


class QuantStep(nn.Module):
    """The recurrent part: raw int16 I/Q sample and states -> feature, pooling weight, new states."""

    def __init__(
        self, shape: NetworkShape, make: QuantiserFactory, h_formats: list[TensorFormat | None]
    ) -> None:
        super().__init__()
        self.shape = shape
        self.affine = QuantLinear(make, "step.affine", "affine", 2, 2)
        self.q_in = make("step.q_in", "in", (), True)
        self.input_proj = QuantLinear(make, "step.input_proj", "input", 2, shape.d_model)
        self.q_res = make("step.q_res", "res", (), True)
        self.layers = nn.ModuleList(
            QuantBlock(shape, make, f"step.layers.{k}", h_formats[k]) for k in range(shape.n_layers)
        )
        self.norm = QuantNorm(make, "step.norm", prefix="f")
        self.score = QuantLinear(make, "step.score", "score", shape.d_model, 1, bias=False)
        self.q_s = make("step.q_s", "s", (), True)
        self.q_e = make("step.q_e", "e", (), False)
        self.register_buffer("score_reference", torch.zeros(()))

    def embed(self, sample: torch.Tensor) -> torch.Tensor:
        """Raw counts (..., 2) -> normalised input (..., 2), on its grid."""
        return self.q_in(self.affine(sample))

    def pool_terms(self, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Residual stream -> feature f (..., D) and pooling weight e (..., 1)."""
        f = self.norm(r)
        s = self.q_s(self.score(f))
        return f, self.q_e(torch.clamp(torch.exp(s - self.score_reference), min=2.0**-self.shape.weight_frac))

    def forward(self, sample: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``states``: conv, h (, conv_1, h_1, ...), pool_num, pool_den."""
        r = self.q_res(self.input_proj(self.embed(sample)))
        new: list[torch.Tensor] = []
        for k, layer in enumerate(self.layers):
            r, conv, h = layer(r, states[2 * k], states[2 * k + 1])
            new += [conv, h]
        f, e = self.pool_terms(r)
        weighted = e * f
        return f, e, weighted, *new, states[-2] + weighted, states[-1] + e

    def window(self, x: torch.Tensor, valid: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised input (T, B, 2) from :meth:`embed` (, valid (T, B, 1) of 0/1) -> pool_num (B, D),
        pool_den (B, 1).
        """
        r = self.q_res(self.input_proj(x))
        for layer in self.layers:
            r = layer.window(r)
        f, e = self.pool_terms(r)
        if valid is not None:
            e = e * valid
        return (e * f).sum(0), e.sum(0)

    @property
    def state_names(self) -> list[str]:
        """Names of the state inputs in order; the output of each is ``<name>_out``."""
        names = []
        for k in range(self.shape.n_layers):
            names += ["conv", "h"] if k == 0 else [f"conv_{k}", f"h_{k}"]
        return [*names, "pool_num", "pool_den"]

    def initial_state(self, batch: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
        """Cleared states of a window's start."""
        s = self.shape
        layer = ((s.d_conv - 1, s.d_inner), (s.d_inner, s.d_state))
        return tuple(
            torch.zeros((batch, *n), dtype=dtype) for n in (*(layer * s.n_layers), (s.d_model,), (1,))
        )


class QuantHead(nn.Module):
    """The photon-rate part: pooling sums -> energy (eV) and log variance (ln eV^2)."""

    def __init__(self, shape: NetworkShape, make: QuantiserFactory) -> None:
        super().__init__()
        low, high = -shape.weight_frac, math.ceil(math.log2(shape.max_steps)) if shape.max_steps > 1 else 0
        thresholds, powers = leading_one_tables(low, high)
        self.register_buffer("thresholds", thresholds, persistent=False)
        self.register_buffer("powers", powers, persistent=False)

        def q(tensor: str, signed: bool = True) -> nn.Module:
            return make(f"head.q_{tensor}", tensor, (), signed)

        hidden = shape.d_head_hidden
        self.q_m, self.q_nn, self.q_inv, self.q_p = (
            q("m", signed=False),
            q("nn"),
            q("inv", signed=False),
            q("p"),
        )
        self.fc1 = QuantLinear(make, "head.fc1", "fc1", shape.d_model, hidden)
        self.fc2 = QuantLinear(make, "head.fc2", "fc2", hidden, hidden)
        self.fc3 = QuantLinear(make, "head.fc3", "fc3", hidden, 2)
        self.q_a1, self.q_g1, self.q_a2, self.q_g2, self.q_out = q("a1"), q("g1"), q("a2"), q("g2"), q("out")
        for name in ("energy_gain", "energy_offset", "logvar_gain", "logvar_offset"):
            setattr(self, name, QuantParameter(make, f"head.{name}", "w_calibration", (1,)))
        self.q_mu, self.q_logvar = q("mu", signed=False), q("logvar")

    def raw(self, pool_num: torch.Tensor, pool_den: torch.Tensor) -> torch.Tensor:
        """Pooling sums -> network output (B, 2) before gain and offset."""
        scale = leading_one(pool_den, self.thresholds, self.powers)
        m = self.q_m(pool_den * scale - 1.0)
        p = self.q_p(self.q_nn(pool_num * scale) * self.q_inv(torch.reciprocal(m + 1.0)))
        g1 = self.q_g1(gelu(self.q_a1(self.fc1(p))))
        g2 = self.q_g2(gelu(self.q_a2(self.fc2(g1))))
        return self.q_out(self.fc3(g2))

    def forward(self, pool_num: torch.Tensor, pool_den: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.raw(pool_num, pool_den)
        energy = self.q_mu(out[:, 0:1] * self.energy_gain() + self.energy_offset())
        return energy, self.q_logvar(out[:, 1:2] * self.logvar_gain() + self.logvar_offset())


class QuantVenom(nn.Module):
    """Step and head.  ``h_formats``: one a layer, or None while observing ranges."""

    def __init__(
        self, shape: NetworkShape, make: QuantiserFactory, h_formats: list[TensorFormat] | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        self.step = QuantStep(shape, make, h_formats if h_formats is not None else [None] * shape.n_layers)
        self.head = QuantHead(shape, make)

    def embed(self, counts: torch.Tensor) -> torch.Tensor:
        """Counts (B, L, 2), any integer or float type -> normalised input on its grid, time-major (L, B, 2),
        float64 exact.
        """
        weight = self.step.affine.weight.value.dtype
        with torch.no_grad():
            return self.step.embed(counts.to(weight).transpose(0, 1))

    def window(self, x: torch.Tensor, valid: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised input (L, B, 2) -> energy (B, 1) eV, log variance (B, 1) ln eV^2, whole window at once."""
        return self.head(*self.step.window(x, valid))

    def recurrent(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Counts (B, L, 2) -> the same outputs, sample by sample as the gateware does."""
        samples = counts.to(self.step.affine.weight.value.dtype)
        states = self.step.initial_state(len(samples), samples.dtype)
        for t in range(samples.shape[1]):
            states = self.step(samples[:, t], *states)[3:]
        return self.head(*states[-2:])

    def snap(self) -> None:
        """Put every parameter on its grid (no output changes: a quantiser of a value on its grid gives that
        value).
        """
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, QuantParameter):
                    module.value.copy_(module() + 0.0)  # + 0.0: no negative zeros in the files
