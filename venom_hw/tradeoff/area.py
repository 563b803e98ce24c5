"""Area of a step graph, estimated from its operations in a second: what a recipe's bits cost, before any synthesis.

LUTs are counted as one for each bit of an adder and of a rounding that no adder takes along, and as the two conditions
of a saturation (the limit itself is set and reset of the register); constant matrices are solved as adder graphs by
alkaid, at one LUT for each bit of an adder.  Not counted: delay lines, control, the head.  The numbers rank recipes;
those to quote come from synthesis (``python -m venom_hw.synth``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.ops import full_frac
from venom_hw.datapath.passes.factor_decay import factor_decay

PARTS = ("matrices", "adders", "saturation", "rounding")
PORT_BITS = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Words and width of one half block RAM read through one port (512 x 36 takes both of its ports)."""
DSP_WIDE, DSP_NARROW = 27, 18
CONTEXT_BITS = 18 * 1024
"""Bits of half a block RAM."""


@dataclass
class Area:
    """LUTs by part (:data:`PARTS`) and by tensor; multipliers; half block RAMs of the tables; state bits a channel.

    ``dsp``: one multiplier a product.  ``dsp_packed``: two products that share a narrow factor in one (27 x 18).
    """

    lut: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    lut_of: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    dsp: int = 0
    dsp_packed: int = 0
    table_bram18: int = 0
    state_bits: dict[str, int] = field(default_factory=dict)

    def add(self, part: str, tensor: str, luts: float) -> None:
        self.lut[part] += math.ceil(luts)
        self.lut_of[tensor] += math.ceil(luts)

    @property
    def luts(self) -> int:
        return sum(self.lut.values())

    def bram36(self, channels: int = 2048) -> int:
        """Block RAMs of tables and of all channels' states (each state a memory of its own)."""
        deep = max(1, math.ceil(channels / 1024))
        words = sum(math.ceil(bits / 18) for bits in self.state_bits.values())
        return math.ceil((self.table_bram18 + deep * words) / 2)


def estimate_area(step: Graph) -> Area:
    """Area of a step graph as imported (the decay is factored first)."""
    graph = factor_decay(step)
    area = Area()
    area.state_bits = {n.name: n.type.width * graph.numel(n.name) for n in graph.state_nodes}
    matrices: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "constmatmul":
            matrices[node.inputs[0]].append(node)
        elif node.op in ("add", "sub", "accumulate", "maximum"):
            area.add("adders", node.name, _adder_bits(graph, node))
        elif node.op == "reduce":
            area.add("adders", node.name, _tree_bits(graph, node))
        elif node.op == "mul":
            _multiply(graph, node, area)
        elif node.op == "requantise":
            _requantise(graph, node, area)
    for source, nodes in matrices.items():
        weights = np.concatenate([graph.constants[n.attrs["weights"]] for n in nodes])
        facts = graph.facts[source]
        rows = [facts.lo, facts.hi]
        area.add(
            "matrices",
            "+".join(n.name for n in nodes),
            solve(weights, *(np.broadcast_to(r, weights.shape[1]) for r in rows)),
        )
    area.table_bram18 = _tables(graph)
    return area


def solve(weights: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> float:
    """Bits of all adders of alkaid's adder graph of integer ``weights`` (out, in), inputs within lo..hi."""
    from alkaid.cmvm import cmvm_solve

    intervals = [(float(a), float(b), 1.0) for a, b in zip(lo, hi, strict=True)]
    return sum(part.cost for part in cmvm_solve(np.ascontiguousarray(weights.T, np.float32), qintervals=intervals))


def _span(lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Bits that hold lo..hi, elementwise (Python integers)."""
    bits = [
        max(int(h).bit_length(), int(-1 - v).bit_length() if v < 0 else 0) + int(v < 0)
        for v, h in zip(lo.flat, hi.flat, strict=True)
    ]
    return np.reshape(bits, lo.shape)


def _adder_bits(graph: Graph, node: Node) -> int:
    """Bits above the coarser operand's least significant one: those below pass through."""
    out = graph.facts[node.name]
    width = _span(out.lo.astype(object), out.hi.astype(object))
    fracs = [np.broadcast_to(full_frac(graph.facts[i]), node.shape) for i in node.inputs]
    through = np.broadcast_to(full_frac(out), node.shape) - np.minimum(*fracs)
    return int(np.maximum(width - through, 1).sum())


def _tree_bits(graph: Graph, node: Node) -> int:
    """Adders of a balanced tree, operands in order of their binary points."""
    facts, axis = graph.facts[node.inputs[0]], int(node.attrs["axis"])
    frac = np.broadcast_to(full_frac(facts), facts.shape)

    def lead(v: np.ndarray) -> np.ndarray:
        full = np.broadcast_to(v, facts.shape).astype(object)
        return np.moveaxis(full, axis, -1).reshape(-1, facts.shape[axis])

    total = 0
    for los, his, fracs in zip(lead(facts.lo), lead(facts.hi), lead(frac), strict=True):
        terms = sorted(zip(fracs, los, his, strict=True))
        while len(terms) > 1:
            following = []
            for (f, al, ah), (g, bl, bh) in zip(terms[::2], terms[1::2], strict=False):
                shift = 1 << (g - f) if g >= f else 1
                other = 1 << (f - g) if f > g else 1
                lo, hi = al * shift + bl * other, ah * shift + bh * other
                top = _span(np.array([lo], object), np.array([hi], object))[0]
                total += max(1, top - abs(g - f))
                following.append((max(f, g), lo, hi))
            terms = following + terms[len(terms) // 2 * 2 :]
    return total


def _multiply(graph: Graph, node: Node, area: Area) -> None:
    a, b = node.inputs
    constants = [i for i in node.inputs if graph[i].op == "constant"]
    if constants:
        (other,) = [i for i in node.inputs if i not in constants]
        values = np.broadcast_to(graph.constants[graph[constants[0]].attrs["key"]], node.shape)
        facts = graph.facts[other]
        lo, hi = (np.broadcast_to(v, node.shape) for v in (facts.lo, facts.hi))
        bits = sum(solve(np.array([[w]]), lo.flat[i : i + 1], hi.flat[i : i + 1]) for i, w in enumerate(values.flat))
        area.add("matrices", node.name, bits)
        return
    size = int(np.prod(node.shape))
    area.dsp += size
    area.dsp_packed += math.ceil(size / 2) if _packs(graph, node) else size


def _packs(graph: Graph, node: Node) -> bool:
    """Whether two products fit one DSP: common * (x + (y << k)), k the width of one product."""
    for common, varied in (node.inputs, node.inputs[::-1]):
        shared, own = graph.facts[common], graph.facts[varied]
        repeats = int(np.prod(node.shape)) // max(1, int(np.prod(shared.shape)))
        widths = [_span(f.lo.astype(object), f.hi.astype(object)).max() for f in (shared, own)]
        if common != varied and repeats >= 2 and widths[0] <= DSP_NARROW and widths[0] + 2 * widths[1] <= DSP_WIDE:
            return True
    return False


def _requantise(graph: Graph, node: Node, area: Area) -> None:
    source = graph.facts[node.inputs[0]]
    drop = np.broadcast_to(full_frac(source), node.shape) - np.broadcast_to(node.type.frac, node.shape)
    lo, hi = (np.broadcast_to(v, node.shape).astype(object) for v in (source.lo, source.hi))
    pairs = (list(zip(v.flat, drop.flat, strict=True)) for v in (lo, hi))
    lo, hi = (np.array([int(x) >> d if d >= 0 else int(x) << -d for x, d in p], object) for p in pairs)
    outside = (lo < node.type.lo) | (hi > node.type.hi)
    above = np.maximum(_span(lo, hi) - node.type.width, 0)
    area.add("saturation", node.name, float((outside * 2 * np.ceil((above + 1) / 6)).sum()))
    if node.attrs.get("rounding") == "half_even":
        rounded = drop.ravel() > 0
        carry = rounded & ~_half_is_free(graph, node, drop)
        tie = np.where(rounded, np.ceil(drop.ravel() / 6) + 1, 0)
        area.add("rounding", node.name, float(tie.sum() + (carry * (node.type.width + 1)).sum()))


def _half_is_free(graph: Graph, node: Node, drop: np.ndarray) -> np.ndarray:
    """Whether half a unit can hide in the addition in front: a constant operand, or zeros below an operand's unit."""
    before = graph[node.inputs[0]]
    if before.op not in ("add", "sub"):
        return np.zeros(drop.size, bool)
    if any(graph[i].op == "constant" for i in before.inputs):
        return np.ones(drop.size, bool)
    out = np.broadcast_to(full_frac(graph.facts[before.name]), node.shape)
    zeros = [out - np.broadcast_to(full_frac(graph.facts[i]), node.shape) for i in before.inputs]
    return (np.maximum(*zeros) >= drop).ravel()


def _tables(graph: Graph) -> int:
    """Half block RAMs: tables of one address side by side; two look-ups of one table through its two ports."""
    wide: dict[tuple[str, int], tuple[int, int]] = {}
    shared: dict[str, list[int]] = {}
    for node in graph.nodes:
        if node.op != "table":
            continue
        entries = graph.constants[node.attrs["entries"]]
        source = _address(graph, node.inputs[0])
        addresses = int(np.prod(graph.facts[source].shape))
        if entries.ndim > 1 or any(
            n.op == "table" and n is not node and _address(graph, n.inputs[0]) == source for n in graph.nodes
        ):
            columns = entries.reshape(len(entries), -1)
            bits = [
                int(np.bitwise_or.reduce(columns[:, i] ^ columns[0, i])).bit_length() for i in range(columns.shape[1])
            ]
            own = np.array(bits).reshape(addresses, -1).sum(axis=1) if len(bits) > 1 else np.full(addresses, bits[0])
            for i in range(addresses):
                depth, width = wide.get((source, i), (len(entries), 0))
                wide[source, i] = depth, width + int(own[i])
        else:
            bits = int(np.bitwise_or.reduce(entries ^ entries[0])).bit_length()
            use = shared.setdefault(node.attrs["entries"], [len(entries), bits, 0])
            use[2] += addresses
    total = sum(math.ceil(width / _port(depth)) for depth, width in wide.values())
    for depth, bits, lookups in shared.values():
        total += math.ceil(lookups / 2) * math.ceil(bits / min(_port(depth), 18))
    return total


def _address(graph: Graph, name: str) -> str:
    while graph[name].op == "reshape":
        name = graph[name].inputs[0]
    return name


def _port(depth: int) -> float:
    for words, width in PORT_BITS:
        if depth <= words:
            return width
    return PORT_BITS[-1][0] / depth
