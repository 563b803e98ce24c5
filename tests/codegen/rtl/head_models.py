"""Heads and sums for the tests of the serial head."""

from __future__ import annotations

import numpy as np

from tests.codegen.tiny_venom import tiny_venom
from venom_hw.datapath.graph import Graph
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
