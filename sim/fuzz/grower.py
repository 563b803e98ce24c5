"""Adds random operations to a graph: random widths, signs, binary points (arrays, negative), shapes and constants."""

from __future__ import annotations

import numpy as np

from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import GraphBuilder
from venom_hw.datapath.ops import DatapathError, Facts

OPS = (
    "constmatmul", "matmul", "add", "sub", "mul", "square", "maximum", "accumulate", "table", "requantise", "reduce",
    "normalise", "shift", "slice", "concat", "reshape", "recurrent",
)  # fmt: skip
STAGES = ("first", "second", "third")
WIDEST = 30
"""Bits of operands, unless an operation asks for wider ones."""


class NothingFits(DatapathError):
    """No tensor grown so far can be an operand of the operation."""


class Grower:
    """Adds random nodes to a builder.

    Attributes:
        pool: tensors that further nodes may use.
        used: those that one does.
        done: how often each operation was added.
    """

    def __init__(self, builder: GraphBuilder, rng: np.random.Generator):
        self.b, self.rng = builder, rng
        self.pool: list[str] = []
        self.used: set[str] = set()
        self.done: dict[str, int] = dict.fromkeys(OPS, 0)

    def int(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def facts(self, name: str) -> Facts:
        return self.b.facts[name]

    def find(self, test=lambda facts: True, widest: int = WIDEST) -> str | None:
        """A random tensor of the pool that passes the test, None if there is none."""
        fit = [n for n in self.pool if test(self.facts(n)) and self.facts(n).type.width <= widest]
        if not fit:
            return None
        name = fit[int(self.rng.integers(len(fit)))]
        self.used.add(name)
        return name

    def pick(self, test=lambda facts: True, widest: int = WIDEST) -> str:
        """A random tensor of the pool that passes the test.

        Raises:
            NothingFits: there is none.
        """
        name = self.find(test, widest)
        if name is None:
            raise NothingFits("no tensor of the pool suits")
        return name

    def frac(self, shape, base: int):
        """One binary point, or one an element (or one a row, broadcasting)."""
        if not shape or self.chance(0.5):
            return base
        if len(shape) > 1 and self.chance(0.3):
            return base + self.rng.integers(-2, 4, (shape[0], *[1] * (len(shape) - 1)))
        return base + self.rng.integers(-3, 4, shape)

    def code_type(self, width: int, shape, frac: int) -> FixedType:
        return FixedType(bool(self.chance(0.6)), width, self.frac(shape, frac))

    def quantised(self, name: str, width: int, frac=None, uniform=False) -> str:
        facts = self.facts(name)
        lowest = int(np.min(facts.type.frac))
        wanted = lowest - facts.type.width + width + self.int(-2, 3) if frac is None else frac
        type_ = FixedType(self.chance(0.6) if facts.type.signed else self.chance(0.2), width, 0)
        type_ = FixedType(type_.signed, width, wanted if uniform else self.frac(facts.shape, wanted))
        rounding = Rounding.HALF_EVEN if self.chance(0.6) else Rounding.FLOOR
        overflow = Overflow.SATURATE if self.chance(0.6) else Overflow.SATURATE_SYMMETRIC
        return self.b.requantise(name, type_, rounding, overflow)

    def grow(self, op: str) -> str | None:
        """One more node (or a few) of an operation; None if the pool or a type does not suit."""
        self.b.stage = STAGES[self.int(0, len(STAGES) - 1)]
        nodes = len(self.b.nodes)
        try:
            made = getattr(self, op)()
        except DatapathError:
            self._take_back(nodes)
            return None
        self.pool.append(made)
        self.done[op] += 1
        return made

    def _take_back(self, nodes: int) -> None:
        """Remove what a failed operation left behind if a state without a next value is among it."""
        left = self.b.nodes[nodes:]
        if any(node.op == "state" and node.name not in self.b.states for node in left):
            del self.b.nodes[nodes:]
            for node in left:
                del self.b.facts[node.name]
                self.b.states.pop(node.name, None)

    # ---------------------------------------------------------------- one method an operation

    def constmatmul(self):
        x = self.pick(lambda f: f.shape and f.type.width <= 16)
        rows, columns = self.int(1, 4), self.facts(x).shape[-1]
        width = self.int(2, 9)
        signed = bool(self.chance(0.8))
        weights_type = FixedType(signed, width, self.frac((rows,), self.int(-1, 8)))
        weights = self.rng.integers(weights_type.lo, weights_type.hi + 1, (rows, columns))
        return self.b.constmatmul(x, weights, weights_type)

    def matmul(self):
        plain = lambda f: len(f.shape) == 2 and f.type.is_uniform and f.type.width <= 16  # noqa: E731
        a = self.pick(plain)
        wanted = self.facts(a).shape[1]
        return self.b.matmul(a, self.pick(lambda f: plain(f) and f.shape[0] == wanted))

    def _pair(self):
        a = self.pick(widest=45)
        shape = self.facts(a).shape
        b = self.pick(lambda f: _broadcasts(f.shape, shape)) if self.chance(0.7) else self.constant(shape)
        if self.chance(0.5):
            a, b = b, a
        return a, b

    def constant(self, shape):
        shape = tuple(1 if self.chance(0.3) else s for s in shape)
        type_ = self.code_type(self.int(2, 10), shape, self.int(-2, 9))
        return self.b.constant(self.rng.integers(type_.lo, type_.hi + 1, shape), type_)

    def add(self):
        return self.b.add(*self._pair())

    def sub(self):
        return self.b.sub(*self._pair())

    def mul(self):
        return self.b.mul(*self._pair())

    def square(self):
        x = self.pick(lambda f: f.type.width <= 15)
        return self.b.mul(x, x)

    def maximum(self):
        return self.b.maximum(*self._pair())

    def accumulate(self):
        term = self.pick()
        return self.b.accumulator(f"sum_{len(self.pool)}", term)[1]

    def table(self):
        code = self.find(lambda f: f.type.width <= 9)
        if code is None:
            code = self.quantised(self.pick(), self.int(3, 8))
        facts = self.facts(code)
        entries = facts.type.hi - facts.type.lo + 1
        shape = facts.shape if self.chance(0.4) else ()
        if shape and self.chance(0.3):
            shape = (*shape[:-1], 1)
        type_ = self.code_type(self.int(3, 12), np.broadcast_shapes(shape, facts.shape), self.int(-2, 9))
        return self.b.table(code, self.rng.integers(type_.lo, type_.hi + 1, (entries, *shape)), type_)

    def requantise(self):
        return self.quantised(self.pick(widest=60), self.int(1, 30))

    def reduce(self):
        x = self.pick(lambda f: len(f.shape) > 0)
        axis = self.int(0, len(self.facts(x).shape) - 1)
        return self.b.reduce(x, axis, "sum" if self.chance(0.5) else "max", keepdims=self.chance(0.5))

    def _unsigned(self):
        x = self.quantised(self.pick(), self.int(4, 12), uniform=True)
        type_ = FixedType(False, self.facts(x).type.width, int(self.facts(x).type.frac))
        return self.b.requantise(x, type_) if self.facts(x).type.signed else x

    def normalise(self):
        return self.b.normalise(self._unsigned())

    def shift(self):
        x = self._unsigned()
        s = self.b.normalise(x)
        if self.chance(0.5):
            return self.b.shift(x, s, offset=self.int(-3, 9))
        other = self.pick(lambda f: _broadcasts(self.facts(s).shape, f.shape) and f.type.width <= 16)
        return self.b.shift(other, s, offset=self.int(-3, 9))

    def slice(self):
        x = self.pick(lambda f: len(f.shape) > 0)
        shape = self.facts(x).shape
        axis = self.int(0, len(shape) - 1)
        start = self.int(0, shape[axis] - 1)
        return self.b.slice(x, axis, start, self.int(start + 1, shape[axis]))

    def concat(self):
        x = self.pick(lambda f: 0 < len(f.shape) and max(f.shape) <= 6)
        shape = self.facts(x).shape
        axis = self.int(0, len(shape) - 1)
        rest = lambda s: (*s[:axis], *s[axis + 1 :])  # noqa: E731
        y = self.pick(lambda f: len(f.shape) == len(shape) and rest(f.shape) == rest(shape))
        return self.b.concat([x, y, x] if self.chance(0.3) else [x, y], axis)

    def reshape(self):
        x = self.pick()
        shape = list(self.facts(x).shape)
        size = int(np.prod(shape))
        choices = [[size], [1, *shape], [*shape, 1], [1, size, 1]] + [
            [d, size // d] for d in (2, 3) if size % d == 0
        ]
        return self.b.reshape(x, choices[self.int(0, len(choices) - 1)])

    def recurrent(self):
        """A state that is its old value, decayed, plus something: read back at every step."""
        x = self.pick(lambda f: f.type.width <= 16)
        facts = self.facts(x)
        type_ = FixedType(
            True, self.int(6, 14), self.frac(facts.shape, int(np.max(facts.type.frac)) + self.int(-3, 2))
        )
        old = self.b.state(f"old_{len(self.pool)}", facts.shape, type_)
        decay = FixedType(False, 6, self.frac(facts.shape, 7))
        g = self.b.constant(self.rng.integers(0, 64, facts.shape), decay)
        new = self.b.requantise(self.b.add(self.b.sub(old, self.b.mul(g, old)), x), type_)
        self.b.next_state(old, new)
        return new


def _broadcasts(a, b) -> bool:
    try:
        return np.prod(np.broadcast_shapes(a, b)) <= 24
    except ValueError:
        return False
