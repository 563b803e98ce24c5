"""Networks for tests: random graphs of every operation, and a small recurrent network shaped like VENOM."""

import numpy as np

from venom_hw.datapath import FixedType, GraphBuilder, Overflow, Rounding


def random_type(rng, width=(3, 12), frac=(-2, 10), shape=(), signed=None, arrays=True):
    width = int(rng.integers(*width))
    signed = bool(rng.integers(2)) if signed is None else signed
    if arrays and shape and rng.random() < 0.4:
        return FixedType(signed, width, rng.integers(frac[0], frac[1], shape))
    return FixedType(signed, width, int(rng.integers(*frac)))


def random_graph(rng, operations=12, max_width=40):
    """A graph of random operations on a (2, 4) input; operands that would get too wide are requantised first."""
    b = GraphBuilder("random")
    tensors = [b.input("x", (2, 4), random_type(rng, shape=(2, 4)))]
    for _ in range(operations):
        x = tensors[int(rng.integers(len(tensors)))]
        y = tensors[int(rng.integers(len(tensors)))]
        x, y = (_narrow(b, rng, t, max_width) for t in (x, y))
        tensors.append(_random_operation(b, rng, x, y))
    return b.build({f"y{i}": t for i, t in enumerate(tensors[1:])})


def _narrow(b, rng, x, max_width):
    fracs = np.asarray(b.facts[x].type.frac)
    if b.facts[x].type.width <= max_width // 3 and np.ptp(fracs) <= 8 and np.abs(fracs).max() < 14:
        return x
    rounding, overflow = list(Rounding)[rng.integers(2)], list(Overflow)[rng.integers(2)]
    return b.requantise(x, random_type(rng, shape=b.facts[x].shape, signed=True), rounding, overflow)


def _random_operation(b, rng, x, y):
    shape = b.facts[x].shape
    kind = rng.choice(
        ["add", "sub", "mul", "square", "maximum", "requantise", "table", "constmatmul", "reduce", "reshape", "slice",
         "concat", "normalise", "matmul"]
    )  # fmt: skip
    if kind in ("add", "sub", "mul", "maximum"):
        try:
            np.broadcast_shapes(shape, b.facts[y].shape)
        except ValueError:
            y = b.constant(rng.integers(-7, 8, shape), random_type(rng, width=(4, 5), shape=shape, signed=True))
        return getattr(b, kind)(x, y)
    if kind == "square":
        return b.mul(x, x)
    if kind == "requantise":
        rounding, overflow = list(Rounding)[rng.integers(2)], list(Overflow)[rng.integers(2)]
        return b.requantise(x, random_type(rng, shape=shape), rounding, overflow)
    if kind == "table":
        code = b.requantise(x, random_type(rng, width=(3, 7), arrays=False))
        size = 1 << b.facts[code].type.width
        out = random_type(rng, width=(4, 10), shape=shape)
        elem = shape if rng.random() < 0.4 else ()
        return b.table(code, rng.integers(out.lo, out.hi + 1, (size, *elem)), out)
    if kind == "constmatmul" and shape:
        rows = int(rng.integers(1, 5))
        weights = FixedType(True, 5, rng.integers(-1, 5, rows) if rng.random() < 0.5 else 3)
        return b.constmatmul(x, rng.integers(-15, 16, (rows, shape[-1])), weights)
    if kind == "reduce" and shape:
        axis = int(rng.integers(len(shape)))
        return b.reduce(x, axis, rng.choice(["sum", "max"]), keepdims=bool(rng.integers(2)))
    if kind == "reshape":
        return b.reshape(x, (*shape, 1) if rng.random() < 0.5 else (int(np.prod(shape)),))
    if kind == "slice" and shape and shape[-1] > 1:
        return b.slice(x, -1, 0, int(rng.integers(1, shape[-1])))
    if kind == "concat" and shape:
        return b.concat([x, x], int(rng.integers(len(shape))))
    if kind == "normalise":
        unsigned = b.requantise(x, FixedType(False, 9, 3))
        return b.shift(unsigned, b.normalise(unsigned), offset=int(rng.integers(-2, 9)))
    if kind == "matmul" and len(shape) == 2:
        square = b.requantise(x, random_type(rng, width=(4, 8), arrays=False))
        return b.matmul(square, b.reshape(square, shape[::-1]))
    return b.add(x, x)


def small_recurrent(rng, d=4, n=3, taps=3, max_steps=24, narrow_state=False):
    """A step graph with VENOM's structure (projection, delay, decay tables per pole, state, pooling) and a head."""
    act = FixedType(True, 8, 4)
    h_type = FixedType(True, 9 if narrow_state else 14, rng.integers(6, 12, (d, n)))
    b = GraphBuilder("step", max_steps=max_steps)
    x = b.input("sample", (2,), FixedType(True, 8, 0))
    b.stage = "input"
    rows = FixedType(True, 6, rng.integers(4, 7, d))
    r = b.requantise(b.constmatmul(x, rng.integers(-31, 32, (d, 2)), rows), act, name="r")
    b.stage = "convolution"
    conv = b.state("conv", (taps - 1, d), act)
    window = b.concat([conv, b.reshape(r, (1, d))], 0)
    weights = b.constant(rng.integers(-15, 16, (taps, d)), FixedType(True, 5, rng.integers(3, 6, (1, d))))
    u = b.requantise(b.reduce(b.mul(window, weights), 0), act, name="u")
    b.next_state(conv, b.slice(window, 0, 1, taps, name="conv_out"))
    xa = b.table(u, rng.integers(-100, 101, 256), act, name="xa")
    b.stage = "state_update"
    g_type = FixedType(False, 8, rng.integers(8, 11, (d, n)))
    g = b.table(b.reshape(u, (d, 1)), rng.integers(0, 256, (256, d, n)), g_type, name="g")
    gate = b.requantise(b.constmatmul(xa, rng.integers(-15, 16, (n, d)), FixedType(True, 5, 4)), act, name="gate")
    h = b.state("h", (d, n), h_type)
    outer = b.mul(b.reshape(xa, (d, 1)), b.reshape(gate, (1, n)))
    h_out = b.requantise(b.add(b.sub(h, b.mul(g, h)), outer), h_type, name="h_out")
    b.next_state(h, h_out)
    b.stage = "gate"
    y = b.reduce(b.mul(b.reshape(gate, (1, n)), h_out), 1)
    f = b.requantise(b.add(y, r), FixedType(True, 10, 4), Rounding.FLOOR, name="feature")
    s = b.requantise(b.constmatmul(f, rng.integers(-7, 8, (1, d)), FixedType(True, 4, 5)), FixedType(True, 6, 3))
    weight = b.table(s, rng.integers(1, 64, 64), FixedType(False, 6, 6), name="weight")
    b.stage = "pooling"
    b.accumulator("pool_num", b.mul(weight, f), out="pool_num_out")
    b.accumulator("pool_den", weight, out="pool_den_out")
    step = b.build({"feature": f, "weight": weight})

    b = GraphBuilder("head")
    num = b.input("pool_num", (d,), step["pool_num"].type)
    den = b.input("pool_den", (1,), step["pool_den"].type)
    s = b.normalise(den)
    width = step["pool_den"].type.width
    m = b.requantise(b.shift(den, s, offset=width - 1), FixedType(False, 8, 7), Rounding.FLOOR, name="mantissa")
    inverse = b.table(m, np.minimum(4096 // np.maximum(np.arange(256), 1), 255), FixedType(False, 8, 6))
    nn = b.requantise(b.shift(num, s, offset=width - 1), FixedType(True, 12, 6), name="numerator")
    p = b.requantise(b.mul(nn, inverse), FixedType(True, 10, 5), name="pooled")
    out = b.constmatmul(p, rng.integers(-31, 32, (2, d)), FixedType(True, 6, 4))
    energy = b.requantise(b.slice(out, 0, 0, 1), FixedType(False, 16, 12), name="energy")
    spread = b.requantise(b.slice(out, 0, 1, 2), FixedType(True, 16, 10), name="log_variance")
    return step, b.build({"energy": energy, "log_variance": spread})
