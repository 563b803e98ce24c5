"""Random VENOM configurations: the network's structure at random sizes, widths, rounding modes and table sizes.

The weights are random too: nothing is trained. Binary points follow from the widths, so that most values move within
their range and a few saturate, as in a trained network.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.model import Datapath


@dataclass(frozen=True)
class VenomShape:
    """Sizes and widths (bits) of one configuration.

    Attributes:
        code: of table addresses (2**code entries). select: of B and C. delta: of the step size's table.
        inverse: of the tables of 1/sqrt and 1/x. decay: of 1 - exp(-dt A).
        norm, gate, skip, conv_bias: whether the network has that part.
        floor, symmetric: share of the requantises that round down, and that saturate symmetrically.
    """

    d_model: int
    d_state: int
    taps: int
    hidden: int
    max_steps: int
    weight: int
    bias: int
    activation: int
    code: int
    select: int
    delta: int
    inverse: int
    decay: int
    dx: int
    h: int
    feature: int
    pool_weight: int
    norm: bool
    gate: bool
    skip: bool
    conv_bias: bool
    floor: float
    symmetric: float


RANGES = {
    "d_model": (1, 6), "d_state": (1, 4), "taps": (2, 4), "hidden": (1, 6), "max_steps": (1, 14),
    "weight": (2, 9), "bias": (4, 14), "activation": (6, 14), "code": (3, 9), "select": (3, 9), "delta": (4, 12),
    "inverse": (6, 14), "decay": (4, 10), "dx": (5, 14), "h": (6, 18), "feature": (5, 12), "pool_weight": (4, 12),
}  # fmt: skip
"""Smallest and largest value of every number of a random configuration."""


def random_shape(rng: np.random.Generator) -> VenomShape:
    """A configuration, every number within `RANGES`."""
    given: dict[str, object] = {n: int(rng.integers(lo, hi + 1)) for n, (lo, hi) in RANGES.items()}
    given |= {n: bool(rng.random() < 0.6) for n in ("norm", "gate", "skip", "conv_bias")}
    given |= {n: float(rng.choice([0.0, 0.5, 1.0])) for n in ("floor", "symmetric")}
    assert set(given) == {f.name for f in fields(VenomShape)}
    return VenomShape(**given)


def random_venom(rng: np.random.Generator, shape: VenomShape | None = None) -> Datapath:
    """A network of the configuration (a random one by default), with random weights."""
    shape = shape or random_shape(rng)
    net = _Network(rng, shape)
    step = net.step()
    meta = {"model": "fuzz", "max_steps": shape.max_steps, "shape": vars(shape)}
    return Datapath(step, net.head(step), meta)


def _signed(width: int, integer_bits: int) -> FixedType:
    return FixedType(True, width, width - 1 - integer_bits)


class _Network:
    def __init__(self, rng: np.random.Generator, shape: VenomShape):
        self.rng, self.shape = rng, shape
        self.b = GraphBuilder("step", max_steps=shape.max_steps)

    def spread(self, base: int, shape, reach: int = 2) -> int | np.ndarray:
        """A binary point an element, at most `reach` above the base; sometimes one for all."""
        if self.rng.random() < 0.3:
            return base
        return base + self.rng.integers(0, reach + 1, shape)

    def values(self, type_: FixedType, shape) -> np.ndarray:
        return self.rng.integers(type_.lo, type_.hi + 1, shape)

    def quantised(self, x: str, type_: FixedType, name: str) -> str:
        rounding = Rounding.FLOOR if self.rng.random() < self.shape.floor else Rounding.HALF_EVEN
        symmetric = self.rng.random() < self.shape.symmetric
        overflow = Overflow.SATURATE_SYMMETRIC if symmetric else Overflow.SATURATE
        return self.b.requantise(x, type_, rounding, overflow, name=name)

    def linear(self, x: str, rows: int, out: FixedType, name: str, *, bias: bool = True, given=None) -> str:
        """W x + b, weights of up to 2 (or given binary points), with a binary point a row."""
        b, columns = self.b, self.b.facts[x].shape[-1]
        frac = self.shape.weight - 2 if given is None else given
        type_ = FixedType(True, self.shape.weight, self.spread(frac, (rows,)))
        total = b.constmatmul(x, self.values(type_, (rows, columns)), type_, name=f"{name}_product")
        if bias:
            total = b.add(total, self.constant(_signed(self.shape.bias, 0), (rows,), f"{name}_bias"))
        return self.quantised(total, out, name)

    def constant(self, type_: FixedType, shape, name: str) -> str:
        return self.b.constant(self.values(type_, shape), type_, name=name)

    def smooth(self, code: str, function, type_: FixedType, name: str) -> str:
        """A table of a function of the code's value; an entry an element where the function or type has elements."""
        facts = self.b.facts[code]
        grid = facts.type.to_value(np.arange(facts.type.lo, facts.type.hi + 1))
        shape = np.broadcast_shapes(np.shape(type_.frac), np.shape(function(grid[0])))
        entries = np.stack([np.broadcast_to(function(v), shape) for v in grid])
        integers = np.clip(np.rint(np.ldexp(entries, np.asarray(type_.frac, np.int32))), type_.lo, type_.hi)
        return self.b.table(code, integers.astype(np.int64), type_, name=name)

    def norm(self, x: str, name: str) -> str:
        """x minus its mean, over its standard deviation."""
        b, s, size = self.b, self.shape, self.b.facts[x].shape[0]
        type_ = _signed(s.activation, 2)
        share = FixedType(False, 8, 8)
        one = lambda what: b.constant(np.array(256 // size - int(size == 1)), share, name=f"{name}_{what}")  # noqa: E731
        mean = b.mul(b.reduce(x, 0, keepdims=True), one("share"))
        centred = self.quantised(b.sub(x, mean), type_, f"{name}_centred")
        square = b.reduce(b.mul(centred, centred), 0, keepdims=True)
        v = self.quantised(b.mul(square, one("share2")), FixedType(False, s.code, s.code - 3), f"{name}_v")
        rs_type = FixedType(False, s.inverse, s.inverse - 3)
        rs = self.smooth(v, lambda t: 1 / np.sqrt(t + 2.0**-4), rs_type, f"{name}_rs")
        return self.quantised(b.mul(centred, rs), type_, f"{name}_out")

    def step(self) -> Graph:
        b, s, rng = self.b, self.shape, self.rng
        d, n, act = s.d_model, s.d_state, _signed(s.activation, 2)
        sample = b.input("sample", (2,), FixedType(True, 16, 0))
        b.stage = "input"
        iq = self.linear(sample, 2, act, "iq", given=s.weight + 11)
        r = self.linear(iq, d, act, "residual")
        b.stage = "norm"
        normed = self.norm(r, "norm") if s.norm else r
        b.stage = "convolution"
        xi = self.linear(normed, d, act, "xi", bias=False)
        conv = b.state("conv", (s.taps - 1, d), act)
        taps = b.concat([conv, b.reshape(xi, (1, d))], 0, name="taps")
        b.next_state(conv, b.slice(taps, 0, 1, s.taps, name="conv_out"))
        tap_type = FixedType(True, s.weight, self.spread(s.weight - 1, (s.taps, d)))
        u = b.reduce(b.mul(taps, self.constant(tap_type, (s.taps, d), "conv_weight")), 0, name="u_total")
        if s.conv_bias:
            u = b.add(u, self.constant(_signed(s.bias, 0), (d,), "conv_bias"))
        u = self.quantised(u, _signed(s.code, 2), "u")
        xa = self.smooth(u, lambda t: t / (1 + np.exp(-t)), act, "xa")
        b.stage = "selection"
        select = _signed(s.select, 1)
        sel_b, sel_c = (self.linear(xa, n, select, name, bias=False) for name in ("sel_b", "sel_c"))
        zt = self.linear(xa, d, _signed(s.code, 2), "zt")
        b.stage = "discretisation"
        soft = lambda t: np.log1p(np.exp(t))  # noqa: E731
        delta = self.smooth(zt, soft, FixedType(False, s.delta, s.delta - 3), "delta")
        rate = np.exp(rng.uniform(-4, 1.5, (d, n)))
        scale = s.decay - np.minimum(0, np.floor(np.log2(rate)).astype(np.int64))
        g_type = FixedType(False, s.decay, scale if rng.random() < 0.8 else s.decay)
        g = self.smooth(b.reshape(zt, (d, 1)), lambda t: 1 - np.exp(-rate * soft(t)), g_type, "g")
        dx = self.quantised(b.mul(delta, xa), _signed(s.dx, 2), "dx")
        b.stage = "state_update"
        h_type = FixedType(True, s.h, self.spread(s.h - 4, (d, n), 5))
        h = b.state("h", (d, n), h_type)
        drive = b.mul(b.reshape(dx, (d, 1)), b.reshape(sel_b, (1, n)), name="drive")
        h_out = self.quantised(b.add(b.sub(h, b.mul(g, h)), drive), h_type, "h_out")
        b.next_state(h, h_out)
        b.stage = "gate"
        y = b.reduce(b.mul(b.reshape(sel_c, (1, n)), h_out), 1, name="y_total")
        if s.skip:
            y = b.add(y, b.mul(self.constant(_signed(s.weight, 0), (d,), "skip"), xa))
        y = self.quantised(y, act, "y")
        if s.gate:
            z = self.linear(normed, d, _signed(s.code, 2), "z")
            gz = self.smooth(z, lambda t: t / (1 + np.exp(-t)), act, "gz")
            y = self.quantised(b.mul(y, gz), act, "o")
        out = self.quantised(b.add(r, self.linear(y, d, act, "out_projection", bias=False)), act, "residual_out")
        b.stage = "pooling"
        f = self.norm(out, "final_norm") if s.norm else out
        f = self.quantised(f, _signed(s.feature, 2), "feature")
        score = self.linear(f, 1, _signed(s.code, 2), "score", bias=False)
        least = 2.0**-s.pool_weight  # a window always has a weight above 0
        weight = self.smooth(
            score, lambda t: np.maximum(np.exp(t - 4), least), FixedType(False, s.pool_weight, s.pool_weight), "weight"
        )
        b.accumulator("pool_num", b.mul(weight, f, name="weighted"), out="pool_num_out")
        b.accumulator("pool_den", weight, out="pool_den_out")
        return b.build({"feature": f, "weight": weight})

    def head(self, step: Graph) -> Graph:
        s, act = self.shape, _signed(self.shape.activation, 2)
        b = self.b = GraphBuilder("head")
        num, den = (b.input(name, step[name].shape, step[name].type) for name in ("pool_num", "pool_den"))
        b.stage = "pooled_mean"
        zeros = b.normalise(den)
        offset = step["pool_den"].type.width - 1 - step["pool_den"].type.frac
        one = b.constant(np.array([1]), FixedType(False, 1, 0), name="one")
        m = self.quantised(b.sub(b.shift(den, zeros, offset=offset), one), FixedType(False, s.code, s.code), "m")
        numerator = self.quantised(b.shift(num, zeros, offset=offset), _signed(s.activation, 3), "numerator")
        inverse = self.smooth(m, lambda t: 1 / (1 + t), FixedType(False, s.inverse, s.inverse - 1), "inverse")
        p = self.quantised(b.mul(numerator, inverse), act, "p")
        b.stage = "mlp"
        a = self.linear(p, s.hidden, _signed(s.code, 2), "a")
        g = self.smooth(a, lambda t: np.maximum(t, 0.1 * t), act, "g1")
        out = self.linear(g, 2, _signed(16, 3), "mlp_out")
        b.stage = "energy_scale"
        ends = {"energy": FixedType(False, 16, 12), "log_variance": FixedType(True, 16, 10)}
        middle = {"energy": 1 << 11, "log_variance": 0}  # 8 eV, the middle of the energies
        for at, (name, type_) in enumerate(ends.items()):
            part = b.slice(out, 0, at, at + 1)
            part = b.mul(part, self.constant(_signed(12, 1), (), f"{name}_gain"))
            offset = b.constant(np.array(middle[name] + int(self.rng.integers(-99, 99))), FixedType(True, 13, 8))
            self.quantised(b.add(part, offset), type_, name)
        return b.build({name: name for name in ends})
