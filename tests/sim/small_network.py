"""A small recurrent network with VENOM's structure, as a datapath: compiles in seconds, and every part matters.

Per-element binary points on state and decay, a delay line, tables, both rounding modes, attention pooling over the
window and a head with normalise and reciprocal: what the real network has, at a tenth of its size.
"""

import numpy as np

from venom_hw.datapath import FixedType, GraphBuilder, Rounding
from venom_hw.datapath.model import Datapath

D, N, TAPS, MAX_STEPS = 4, 2, 3, 14


def small_datapath(seed: int = 7) -> Datapath:
    rng = np.random.default_rng(seed)
    return Datapath(*_graphs(rng), {"model": "small", "max_steps": MAX_STEPS})


def _graphs(rng):
    activation = FixedType(True, 8, 4)
    b = GraphBuilder("step", max_steps=MAX_STEPS)
    b.stage = "input"
    sample = b.input("sample", (2,), FixedType(True, 16, 0))
    rows = FixedType(True, 6, rng.integers(12, 15, D))
    r = b.requantise(b.constmatmul(sample, rng.integers(-31, 32, (D, 2)), rows), activation, name="residual")
    b.stage = "convolution"
    h_type = FixedType(True, 14, rng.integers(6, 10, (D, N)))
    h = b.state("h", (D, N), h_type)
    conv = b.state("conv", (TAPS - 1, D), activation)
    window = b.concat([conv, b.reshape(r, (1, D))], 0)
    weights = b.constant(rng.integers(-15, 16, (TAPS, D)), FixedType(True, 5, rng.integers(3, 6, (1, D))))
    u = b.requantise(b.reduce(b.mul(window, weights), 0), activation, name="u")
    b.next_state(h, "h_out")
    b.next_state(h, "h_out")  # named here, made below: h comes first among the state words
    b.next_state(conv, b.slice(window, 0, 1, TAPS, name="conv_out"))
    codes = np.arange(-128, 128) / 16
    xa = b.table(u, np.rint(16 * codes / (1 + np.exp(-codes))).astype(int), activation, name="xa")
    b.stage = "state_update"
    g_type = FixedType(False, 8, rng.integers(8, 10, (D, N)))
    g = b.table(b.reshape(u, (D, 1)), rng.integers(10, 120, (256, D, N)), g_type, name="g")
    gate = b.constmatmul(xa, rng.integers(-15, 16, (N, D)), FixedType(True, 5, 4))
    gate = b.requantise(gate, activation, name="gate")
    outer = b.mul(b.reshape(xa, (D, 1)), b.reshape(gate, (1, N)))
    h_out = b.requantise(b.add(b.sub(h, b.mul(g, h)), outer), h_type, name="h_out")
    b.stage = "gate"
    y = b.reduce(b.mul(b.reshape(gate, (1, N)), h_out), 1)
    feature = b.requantise(b.add(y, r), FixedType(True, 10, 4), Rounding.FLOOR, name="feature")
    score = b.constmatmul(feature, rng.integers(-7, 8, (1, D)), FixedType(True, 4, 5))
    score = b.requantise(score, FixedType(True, 6, 3), name="score")
    weight = np.maximum(np.rint(63 * np.exp(np.arange(-32, 32) / 8 - 4)), 1).astype(int)
    weight = b.table(score, weight, FixedType(False, 6, 6), name="weight")
    b.stage = "pooling"
    b.accumulator("pool_num", b.mul(weight, feature), out="pool_num_out")
    b.accumulator("pool_den", weight, out="pool_den_out")
    step = b.build({"feature": feature, "weight": weight})

    b = GraphBuilder("head")
    b.stage = "normalise"
    num = b.input("pool_num", (D,), step["pool_num"].type)
    den = b.input("pool_den", (1,), step["pool_den"].type)
    shift = b.normalise(den)
    width = step["pool_den"].type.width
    mantissa = b.requantise(b.shift(den, shift, offset=width - 1), FixedType(False, 8, 7), name="mantissa")
    inverse = b.table(mantissa, np.minimum(4096 // np.maximum(np.arange(256), 1), 255), FixedType(False, 8, 6))
    numerator = b.requantise(b.shift(num, shift, offset=width - 1), FixedType(True, 12, 6), name="numerator")
    b.stage = "energy"
    pooled = b.requantise(b.mul(numerator, inverse), FixedType(True, 10, 4), name="attention")
    out = b.constmatmul(pooled, rng.integers(-31, 32, (2, D)), FixedType(True, 6, 5))
    positive = b.add(b.slice(out, 0, 0, 1), b.constant([64], FixedType(False, 8, 2)))
    energy = b.requantise(positive, FixedType(False, 16, 9), name="energy")
    spread = b.requantise(b.slice(out, 0, 1, 2), FixedType(True, 16, 10), name="log_variance")
    return step, b.build({"energy": energy, "log_variance": spread})
