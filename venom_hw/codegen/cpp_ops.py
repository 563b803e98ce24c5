"""One printer an operation: C++ statements that compute a node's element at a loop index.

Where every operand and the result have one binary point, the statement is ap_fixed arithmetic, exact by the types;
elsewhere it works on raw integers, with constant shifts. Both are exact on integers: results fit their types by the
datapath's intervals, so intermediate wrapping is harmless (two's complement), and only `requantise` drops bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from venom_hw.codegen.cpp_loops import INDENT, loop, nest
from venom_hw.codegen.cpp_types import Rom, Tensor, integer_type
from venom_hw.codegen.lowering import broadcast, loop_index, resolve
from venom_hw.codegen.names import Names
from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.ops import collapse

LONG = 90
"""Characters from which a statement is broken after its equals sign."""

ALIGNED = "left shift to the common LSB"


@dataclass(frozen=True)
class Operand:
    """An element that a statement reads.

    Attributes:
        fixed: its ap_fixed expression; None for tensors of raw integers.
        raw: its integer expression, of type `raw_type`.
        type, shape: format and shape of the whole (viewed) tensor.
    """

    fixed: str | None
    raw: str
    type: FixedType
    shape: tuple[int, ...]
    raw_type: str


@dataclass
class Printer:
    """Prints the nodes of one graph; collects the ROMs and typedefs that the statements need.

    Args:
        graph: the graph.
        nodes: its nodes and the copies that lowering added.
        ident: identifier of a node.
        names: identifiers of everything else.
        unroll: whether loops carry UNROLL.
    """

    graph: Graph
    nodes: dict[str, Node]
    ident: Callable[[str], str]
    names: Names
    unroll: bool
    tensors: dict[str, Tensor] = field(default_factory=dict)
    tables: list[Rom] = field(default_factory=list)
    weights: list[Rom] = field(default_factory=list)
    terms: frozenset[str] = frozenset()  # products that the loop of their sum computes
    _labels: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in self.nodes:  # tensors get their plain names before sums, tables and weights ask for any
            self.ident(name)

    def tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            self.tensors[name] = Tensor.of(self.nodes[name], self.ident(name))
        return self.tensors[name]

    # ------------------------------------------------------------------------------------------------ pieces

    def operand(self, name: str, index: Sequence[str], scalars: frozenset[str]) -> Operand:
        """Element `index` of a tensor, views looked through; `scalars` are held in plain variables."""
        node = self.nodes[name]
        base, at = resolve(name, index, self.nodes)
        below = self.tensor(base)
        if self.nodes[base].op == "constant":
            values = self.graph.constants[self.nodes[base].attrs["key"]]
            word = f"{self._constant(base, values)}{_subscript(at)}" if values.ndim else str(int(values))
            raw = f"{below.raw}({word})"
            fixed = f"from_raw<{below.typedef}>({word})" if below.uniform else None
        else:
            place = below.ident if base in scalars else below.ident + _subscript(at)
            fixed = place if below.uniform else None
            raw = f"raw_bits({place})" if below.uniform else place
        return Operand(fixed, raw, node.type, node.shape, below.raw)

    def _constant(self, name: str, values: np.ndarray) -> str:
        tensor = self.tensor(name)
        return self._rom(f"{tensor.ident} words", values, f"{name}: {tensor.comment}", self.weights).ident

    def _rom(self, name: str, values: np.ndarray, comment: str, where: list[Rom]) -> Rom:
        ident = self.names(name)
        for rom in where:
            if rom.ident == ident:
                return rom
        rom = Rom(ident, np.asarray(values), comment)
        where.append(rom)
        return rom

    def constant_by_element(
        self, node: Node, what: str, values, shape, index: Sequence[str], comment: str
    ) -> str:
        """A small integer that may differ by element: a literal, or an element of a constant array."""
        values = np.asarray(values)
        if values.min() == values.max():
            return str(int(values.flat[0]))
        values = np.broadcast_to(values, shape)
        rom = self._rom(f"{self.ident(node.name)} {what}", values, f"{node.name}: {comment}", self.weights)
        return rom.ident + _subscript(index)

    def label(self, text: str) -> str:
        """A loop label, unique in the file."""
        candidate, count = text, 1
        while candidate in self._labels:
            count += 1
            candidate = f"{text}_{count}"
        self._labels.add(candidate)
        return candidate

    def loop(self, label: str, counter: str, size: int, body: list[str]) -> list[str]:
        """A named for loop around lines."""
        return loop(self.label(label), counter, size, body, unroll=self.unroll)

    def nest(self, label: str, shape: Sequence[int], index: Sequence[str], body: list[str]) -> list[str]:
        """Loops over every axis longer than 1."""
        return nest(self.label, shape, index, body, unroll=self.unroll, name=label)

    # ------------------------------------------------------------------------------------------------ statements

    def statements(self, node: Node, index: Sequence[str], scalars: frozenset[str]) -> list[str]:
        """Lines that compute element `index` of a node."""
        result = self.tensor(node.name)
        if node.name in scalars:
            target = f"const {result.typedef} {result.ident}"
        else:
            target = result.ident + _subscript(index)
        return _PRINT[node.op](Context(self, node, result, target, tuple(index), scalars))

    def joined(self, node: Node) -> list[str]:
        """A concat or a true reshape: loops of their own."""
        result = self.tensor(node.name)
        lines: list[str] = []
        if node.op == "reshape":
            return self._flat_copy(node, result)
        axis, at = int(node.attrs["axis"]), 0
        for name in node.inputs:
            shape = self.nodes[name].shape
            index = loop_index(shape)
            there = [_shifted(i, at) if a == axis else i for a, i in enumerate(index)]
            source = self.operand(name, index, frozenset())
            value = _copied(source, result)
            lines += self.nest(result.ident, shape, index, [f"{result.ident}{_subscript(there)} = {value};"])
            at += shape[axis]
        return lines

    def _flat_copy(self, node: Node, result: Tensor) -> list[str]:
        shape = self.nodes[node.inputs[0]].shape
        index = loop_index(shape)
        flat, stride = [], 1
        for counter, size in reversed(list(zip(index, shape, strict=True))):
            if counter != "0":
                flat.append(counter if stride == 1 else f"{counter} * {stride}")
            stride *= size
        whole = " + ".join(reversed(flat)) or "0"
        there, stride = [], 1
        for size in reversed(node.shape):
            there.append(f"({whole}) / {stride} % {size}")
            stride *= size
        source = self.operand(node.inputs[0], index, frozenset())
        value = _copied(source, result)
        line = f"{result.ident}{_subscript(reversed(there))} = {value};"
        return self.nest(result.ident, shape, index, [line])


def _copied(source: Operand, result: Tensor) -> str:
    """The same integer in the result's type."""
    if not result.uniform:
        return f"{result.raw}({source.raw})"
    return source.fixed or f"from_raw<{result.typedef}>({source.raw})"


def _subscript(index) -> str:
    return "".join(f"[{i}]" for i in index)


def _shifted(counter: str, by: int) -> str:
    if counter == "0":
        return str(by)
    return counter if by == 0 else f"{counter} + {by}"


@dataclass(frozen=True)
class Context:
    """A node about to be printed at an index."""

    printer: Printer
    node: Node
    result: Tensor
    target: str
    index: tuple[str, ...]
    scalars: frozenset[str]

    def args(self) -> list[Operand]:
        """The operands of an elementwise operation."""
        shapes = [self.printer.nodes[name].shape for name in self.node.inputs]
        return [
            self.printer.operand(name, broadcast(self.index, shape), self.scalars)
            for name, shape in zip(self.node.inputs, shapes, strict=True)
        ]

    def all_fixed(self, operands: Sequence[Operand]) -> bool:
        return self.result.uniform and all(o.fixed is not None for o in operands)

    def assign(self, value: str) -> list[str]:
        line = f"{self.target} = {value};"
        return [line] if len(line) <= LONG else [f"{self.target} =", f"{INDENT}{value};"]

    def assign_raw(self, value: str) -> list[str]:
        """Assign an integer expression."""
        return self.assign(f"from_raw<{self.result.typedef}>({value})" if self.result.uniform else value)

    def aligned(self, operand: Operand, number: int, into: str) -> str:
        """An operand's integer at the result's LSB, in type `into`."""
        shift = collapse(np.asarray(self.node.type.frac) - np.asarray(operand.type.frac))
        amount = self.printer.constant_by_element(
            self.node, f"align {number}", shift, self.node.shape, self.index, ALIGNED
        )
        if amount == "0":
            return operand.raw if operand.raw_type == into else f"{into}({operand.raw})"
        return f"shift_left<{into}>({operand.raw}, {amount})"


def _sum(sign: str) -> Callable[[Context], list[str]]:
    def show(c: Context) -> list[str]:
        operands = c.args()
        if c.all_fixed(operands):
            return c.assign(f"{operands[0].fixed} {sign} {operands[1].fixed}")
        a, b = (c.aligned(o, n, c.result.raw) for n, o in enumerate(operands))
        return c.assign_raw(f"{c.result.raw}({a} {sign} {b})")

    return show


def _mul(c: Context) -> list[str]:
    a, b = c.args()
    if c.all_fixed((a, b)):
        return c.assign(f"{a.fixed} * {b.fixed}")
    return c.assign_raw(f"{c.result.raw}({a.raw} * {b.raw})")


def _compare_type(c: Context, operands: Sequence[Operand]) -> str:
    """An integer type that holds every operand at the result's LSB."""
    width = 1
    for operand in operands:
        shift = int((np.asarray(c.node.type.frac) - np.asarray(operand.type.frac)).max())
        width = max(width, operand.type.width + int(not operand.type.signed) + max(shift, 0))
    return integer_type(True, width)


def _maximum(c: Context) -> list[str]:
    operands = c.args()
    wide = _compare_type(c, operands)
    a, b = (c.aligned(o, n, wide) for n, o in enumerate(operands))
    return c.assign_raw(f"{c.result.raw}(larger<{wide}>({a}, {b}))")


def _table(c: Context) -> list[str]:
    (code,) = c.args()
    entries = c.printer.graph.constants[c.node.attrs["entries"]]
    rom = np.moveaxis(entries, 0, -1)  # the address is the last index: one ROM an element
    comment = f"{c.node.name}: {c.result.comment}; index: {c.node.inputs[0]}, {code.type}"
    rom = c.printer._rom(f"{c.result.ident} table", rom, comment, c.printer.tables)
    where = _subscript(broadcast(c.index, entries.shape[1:]))
    word = f"{rom.ident}{where}[table_index({code.raw})]"
    return c.assign_raw(word if c.result.uniform else f"{c.result.raw}({word})")


def _requantise(c: Context) -> list[str]:
    (x,) = c.args()
    only_zero = c.node.type.limits(Overflow(c.node.attrs["overflow"])) == (0, 0)
    drop = np.asarray(x.type.frac) - np.asarray(c.node.type.frac)
    # AP_SAT_SYM lets -1 through in one signed bit, AP_RND_CONV reads past a word whose bits are all dropped and more
    if c.all_fixed((x,)) and not only_zero and int(drop.max()) <= x.type.width:
        return c.assign(x.fixed)
    amount = c.printer.constant_by_element(
        c.node, "drop", drop, c.node.shape, c.index, "fraction bits to drop"
    )
    rounding, overflow = Rounding(c.node.attrs["rounding"]), Overflow(c.node.attrs["overflow"])
    wide = max(x.type.width + int(not x.type.signed), int(drop.max()) + 1) + 1 + max(0, -int(drop.min()))
    name = "round_half_even" if rounding is Rounding.HALF_EVEN else "round_floor"
    lo, hi = c.node.type.limits(overflow)
    rounded = f"{name}<{wide}>({x.raw}, {amount})"
    return c.assign_raw(f"saturate<{c.result.raw}, {_long(lo)}, {_long(hi)}>({rounded})")


def _long(value: int) -> str:
    return f"{value}LL" if abs(value) > 0x7FFFFFFF else str(value)


def _normalise(c: Context) -> list[str]:
    (x,) = c.args()
    return c.assign_raw(f"{c.result.raw}(leading_zeros({x.raw}))")


def _shift(c: Context) -> list[str]:
    x, s = c.args()
    return c.assign_raw(f"shift_left<{c.result.raw}>({x.raw}, int({s.raw}))")


def _copy(c: Context) -> list[str]:
    (x,) = c.args()
    return c.assign(_copied(x, c.result))


def _accumulation(c: Context, size: int, term: Callable[[str], str], before: Sequence[str] = ()) -> list[str]:
    """A sum of raw products over a loop, in the result's integer type; `before`: lines that make the term."""
    if c.result.uniform or c.result.ident + _subscript(c.index) == c.target:
        total, ending = c.printer.names(f"{c.result.ident} sum"), True
    else:
        total, ending = c.result.ident, False
    lines = [f"{c.result.raw} {total}(0);"]
    lines += c.printer.loop(f"{c.result.ident}_terms", "k", size, [*before, f"{total} += {term('k')};"])
    return lines + (c.assign_raw(total) if ending else [])


def _constmatmul(c: Context) -> list[str]:
    (name,) = c.node.inputs
    weights = c.printer.graph.constants[c.node.attrs["weights"]]
    weights_type = FixedType.from_dict(c.node.attrs["weights_type"])
    comment = f"{c.node.name}: {weights.shape[0]} x {weights.shape[1]} weights, {weights_type}"
    rom = c.printer._rom(f"{c.result.ident} weights", weights, comment, c.printer.weights)
    integer = integer_type(weights_type.signed, weights_type.width)
    facts = c.printer.nodes[name]
    shift = collapse(facts.type.max_frac - np.broadcast_to(np.asarray(facts.type.frac), facts.shape))

    def term(k: str) -> str:
        index = (*c.index[:-1], k)
        x = c.printer.operand(name, index, c.scalars).raw
        amount = c.printer.constant_by_element(
            c.node, "align", shift, facts.shape, index, "left shift to the common LSB"
        )
        x = x if amount == "0" else f"shift_left<{c.result.raw}>({x}, {amount})"
        return f"{x} * {integer}({rom.ident}[{c.index[-1]}][{k}])"

    return _accumulation(c, weights.shape[1], term)


def _matmul(c: Context) -> list[str]:
    a, b = c.node.inputs

    def term(k: str) -> str:
        left = c.printer.operand(a, (c.index[0], k), c.scalars).raw
        return f"{left} * {c.printer.operand(b, (k, c.index[1]), c.scalars).raw}"

    return _accumulation(c, c.printer.nodes[a].shape[1], term)


def _reduce(c: Context) -> list[str]:
    (name,) = c.node.inputs
    axis, keep = int(c.node.attrs["axis"]), bool(c.node.attrs["keepdims"])
    facts = c.printer.nodes[name]
    frac = np.broadcast_to(np.asarray(facts.type.frac), facts.shape)
    shift = collapse(frac.max(axis=axis, keepdims=True) - frac)

    def place(k: str) -> tuple[str, ...]:
        index = (*c.index[:axis], k, *c.index[axis + int(keep) :])
        return tuple("0" if size == 1 else i for i, size in zip(index, facts.shape, strict=True))

    def product(k: str) -> list[str]:
        return c.printer.statements(facts, place(k), scalars) if name in c.printer.terms else []

    scalars = c.scalars | ({name} & c.printer.terms)

    def element(k: str, into: str) -> str:
        index = place(k)
        x = c.printer.operand(name, index, scalars).raw
        amount = c.printer.constant_by_element(
            c.node, "align", shift, facts.shape, index, "left shift to the common LSB"
        )
        return f"{into}({x})" if amount == "0" else f"shift_left<{into}>({x}, {amount})"

    if c.node.attrs["kind"] == "sum":
        return _accumulation(c, facts.shape[axis], lambda k: element(k, c.result.raw), product("k"))
    wide = integer_type(True, facts.type.width + int(not facts.type.signed) + int(np.max(shift)))
    best = c.printer.names(f"{c.result.ident} best")
    update = f"{best} = larger<{wide}>({best}, {element('k', wide)});"
    lines = [f"{wide} {best}({element('0', wide)});"]
    lines += c.printer.loop(f"{c.result.ident}_terms", "k", facts.shape[axis], [update])
    return lines + c.assign_raw(f"{c.result.raw}({best})")


_PRINT: dict[str, Callable[[Context], list[str]]] = {
    "add": _sum("+"),
    "sub": _sum("-"),
    "accumulate": _sum("+"),
    "mul": _mul,
    "maximum": _maximum,
    "table": _table,
    "requantise": _requantise,
    "normalise": _normalise,
    "shift": _shift,
    "copy": _copy,
    "constmatmul": _constmatmul,
    "matmul": _matmul,
    "reduce": _reduce,
}
