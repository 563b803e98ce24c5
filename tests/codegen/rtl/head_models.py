"""Heads and sums for the tests of the serial head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.codegen.tiny_venom import tiny_venom
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom


def head_of(name: str) -> Graph:
    """The head graph of a shipped model, or "tiny"."""
    if name == "tiny":
        return tiny_venom().head
    files = find_model(name)
    return import_venom(files.step, files.head).head


def sums(graph: Graph, count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Inputs of `graph`: of all magnitudes, all the extremes, and zeros; a shared magnitude a window."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0, 1, count)
    out = {}
    for node in graph.inputs:
        lo, hi = node.type.lo, node.type.hi
        bits = np.minimum(62, (scale * (node.type.width + 1)).astype(np.int64))
        span = (np.int64(1) << bits).reshape(-1, *[1] * len(node.shape))
        value = rng.integers(lo, hi, (count, *node.shape), endpoint=True)
        value = np.where(rng.random((count,) + (1,) * len(node.shape)) < 0.7, value % span, value)
        if lo < 0:
            value = np.where(rng.random(value.shape) < 0.5, value, ~value)
        edge = rng.random(value.shape)
        value = np.where(edge < 0.03, lo, np.where(edge > 0.97, hi, value))
        value[:3] = np.array([lo, hi, 0]).reshape(-1, *[1] * len(node.shape))
        out[node.name] = np.clip(value, lo, hi).astype(np.int64)
    return out


def with_inputs(graph: Graph, *names: str) -> Graph:
    """The graph with the constants of these names as inputs behind the others, as a loadable calibration has them."""
    nodes = [replace(n, op="input", attrs={}) if n.name in names else n for n in graph.nodes]
    order = [n for n in nodes if n.op == "input"] + [n for n in nodes if n.op != "input"]
    b = GraphBuilder(graph.name)
    b.constants.update(graph.constants)
    for node in order:
        b.readd(node)
    return b.build(dict(graph.outputs))


def small_head(seed: int, sizes: tuple[int, ...]) -> Graph:
    """A head of its own: vectors of `sizes`, two words out; scalars read late, unsigned and signed elements."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("small")
    x = b.input("x", (sizes[0],), FixedType(True, 9, 5))
    scale = b.input("scale", (), FixedType(False, 6, 5))
    tilt = b.input("tilt", (1,), FixedType(True, 7, 4))
    offset = b.input("offset", (2,), FixedType(True, 8, 6))
    b.stage = "entry"
    v = b.requantise(b.mul(x, scale), FixedType(True, 7, 4), name="entry")
    for i, size in enumerate((*sizes[1:], 2), 1):
        b.stage = f"layer_{i}"
        columns = b.facts[v].shape[0]
        type_ = FixedType(True, 5, 3 + rng.integers(0, 3, size))
        sums = b.constmatmul(v, rng.integers(-16, 16, (size, columns)), type_, name=f"sum_{i}")
        bias = b.constant(rng.integers(-128, 128, size), FixedType(True, 8, 6), name=f"bias_{i}")
        v = b.add(sums, bias if i < len(sizes) else offset)
        if i == 1:
            v = b.maximum(v, tilt)
        if i < len(sizes):
            v = b.requantise(v, FixedType(i % 2 == 0, 6, 3), name=f"layer_{i}")
    ends = [b.requantise(b.slice(v, 0, k, k + 1), FixedType(k == 1, 13 + k, 6), name=f"end_{k}") for k in (0, 1)]
    return b.build({"energy": ends[0], "log_variance": ends[1]})
