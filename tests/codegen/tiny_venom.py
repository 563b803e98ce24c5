"""A very small network with VENOM's structure: affine, norm, convolution, selective state, attention-pooled head."""

from __future__ import annotations

import numpy as np

from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.model import Datapath

S, U = (lambda width, frac: FixedType(True, width, frac)), (lambda width, frac: FixedType(False, width, frac))
D, N, K = 4, 2, 3


def values(rng, type_: FixedType, shape) -> np.ndarray:
    return rng.integers(type_.lo, type_.hi + 1, shape)


def linear(b: GraphBuilder, rng, x: str, rows: int, out: FixedType, name: str, frac: int = 6) -> str:
    """W x + b with a binary point a row."""
    type_ = S(6, frac + rng.integers(0, 3, rows))
    product = b.constmatmul(
        x, values(rng, type_, (rows, b.facts[x].shape[-1])), type_, name=f"{name}_product"
    )
    bias = b.constant(values(rng, S(10, 9), (rows,)), S(10, 9), name=f"{name}_bias")
    return b.requantise(b.add(product, bias), out, name=name)


def smooth_table(b: GraphBuilder, code: str, function, type_: FixedType, name: str) -> str:
    """function of the code's value, rounded; entries by element where `function` or `type_` has elements."""
    facts = b.facts[code]
    grid = facts.type.to_value(np.arange(facts.type.lo, facts.type.hi + 1))
    shape = np.broadcast_shapes(np.shape(type_.frac), np.shape(function(grid[0])))
    entries = np.stack([np.broadcast_to(function(v), shape) for v in grid])
    integers = np.clip(np.rint(np.ldexp(entries, np.asarray(type_.frac, np.int32))), type_.lo, type_.hi)
    return b.table(code, integers.astype(np.int64), type_, name=name)


def tiny_step(rng, max_steps: int) -> Graph:
    b = GraphBuilder("step", max_steps=max_steps)
    sample = b.input("sample", (2,), S(16, 0))
    b.stage = "input"
    x = linear(b, rng, sample, 2, S(12, 9), "x", frac=16)
    r = linear(b, rng, x, D, S(10, 7), "residual", frac=4)
    b.stage = "norm"
    mean = b.mul(b.reduce(r, 0, keepdims=True), b.constant(np.array([1]), U(1, 2)), name="mean")
    c = b.requantise(b.sub(r, mean), S(10, 7), name="centred")
    square = b.mul(c, c, name="square")
    v = b.requantise(
        b.mul(b.reduce(square, 0, keepdims=True), b.constant(np.array([1]), U(1, 2))), U(7, 4), name="v"
    )
    rs = smooth_table(b, v, lambda t: 1 / np.sqrt(t + 2**-6), U(9, 6), "rs")
    n = b.requantise(b.mul(c, rs), S(8, 5), name="normed")
    b.stage = "convolution"
    xi = linear(b, rng, n, D, S(8, 5), "xi")
    conv = b.state("conv", (K - 1, D), S(8, 5))
    taps = b.concat([conv, b.reshape(xi, (1, D))], 0, name="taps")
    b.next_state(conv, b.slice(taps, 0, 1, K, name="conv_out"))
    w = b.constant(values(rng, S(6, 5), (K, D)), S(6, 4 + rng.integers(0, 3, (K, D))), name="conv_weight")
    u = b.requantise(b.reduce(b.mul(taps, w), 0), S(7, 4), name="u")
    xa = smooth_table(b, u, lambda t: t / (1 + np.exp(-t)), S(8, 5), "xa")
    b.stage = "ssm"
    sel_b, sel_c = linear(b, rng, xa, N, S(6, 4), "sel_b"), linear(b, rng, xa, N, S(6, 4), "sel_c")
    zt = linear(b, rng, xa, D, S(6, 3), "zt")
    soft = lambda t: np.log1p(np.exp(t))  # noqa: E731
    delta = smooth_table(b, zt, soft, U(8, 5), "delta")
    rate = np.exp(rng.uniform(-3, 1, (D, N)))
    g_type = U(8, 8 - np.minimum(0, np.floor(np.log2(rate)).astype(np.int64)))
    g = smooth_table(b, b.reshape(zt, (D, 1)), lambda t: 1 - np.exp(-rate * soft(t)), g_type, "g")
    dx = b.requantise(b.mul(delta, xa), S(8, 6), name="dx")
    h_type = S(12, 8 + rng.integers(-1, 5, (D, N)))
    h = b.state("h", (D, N), h_type)
    drive = b.mul(b.reshape(dx, (D, 1)), b.reshape(sel_b, (1, N)), name="drive")
    h_out = b.requantise(b.add(b.sub(h, b.mul(g, h)), drive), h_type, name="h_out")
    b.next_state(h, h_out)
    b.stage = "gate"
    y = b.requantise(b.reduce(b.mul(b.reshape(sel_c, (1, N)), h_out), 1), S(10, 7), name="y")
    f = b.requantise(b.add(r, linear(b, rng, y, D, S(10, 7), "o")), S(8, 5), name="feature")
    b.stage = "pool"
    s = b.requantise(b.constmatmul(f, values(rng, S(5, 4), (1, D)), S(5, 5)), S(6, 3), name="s")
    e = smooth_table(b, s, lambda t: np.maximum(np.exp(t - 4), 2**-8), U(8, 8), "weight")
    b.accumulator("pool_num", b.mul(e, f, name="weighted"), out="pool_num_out")
    b.accumulator("pool_den", e, out="pool_den_out")
    graph = b.build({"feature": f, "weight": e})
    order = ("h", "conv", "pool_num", "pool_den")
    states = tuple(sorted(graph.states, key=lambda pair: order.index(pair[0])))
    return Graph(graph.name, graph.nodes, graph.outputs, states, graph.max_steps, graph.constants)


def tiny_head(rng, step: Graph) -> Graph:
    b = GraphBuilder("head")
    num, den = (b.input(s, step[s].shape, step[s].type) for s in ("pool_num", "pool_den"))
    b.stage = "mean"
    zeros = b.normalise(den)
    width = step["pool_den"].type.width
    one = b.shift(den, zeros, offset=width - 1 - step["pool_den"].type.frac)
    m = b.requantise(b.sub(one, b.constant(np.array([1]), U(1, 0))), U(6, 6), name="m")
    shifted = b.shift(num, zeros, offset=width - 1 - step["pool_den"].type.frac)
    p = b.requantise(
        b.mul(b.requantise(shifted, S(10, 6)), smooth_table(b, m, lambda t: 1 / (1 + t), U(8, 8), "inv")),
        S(10, 7),
    )
    b.stage = "mlp"
    a = linear(b, rng, p, 4, S(7, 4), "a")
    g = smooth_table(b, a, lambda t: np.maximum(t, 0.1 * t), S(8, 5), "act")
    out = linear(b, rng, g, 2, S(12, 9), "mlp_out")
    ends = [
        b.requantise(b.slice(out, 0, 0, 1), U(16, 12), name="energy"),
        b.requantise(b.slice(out, 0, 1, 2), S(16, 10), name="log_variance"),
    ]
    return b.build(dict(zip(("energy", "log_variance"), ends, strict=True)))


def tiny_venom(seed: int = 3, *, max_steps: int = 9) -> Datapath:
    """State words: h 8, conv 8, pool_num 4, pool_den 1."""
    rng = np.random.default_rng(seed)
    step = tiny_step(rng, max_steps)
    return Datapath(
        step, tiny_head(rng, step), {"model": "tiny", "window": {"rate_hz": 500e3}, "max_steps": max_steps}
    )
