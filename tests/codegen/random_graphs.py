"""Random small datapaths that use every operation, with random widths, signs and binary points (arrays, negative)."""

from __future__ import annotations

import numpy as np

from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule
from venom_hw.codegen.vectors import Expected
from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.golden import run_by_step
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.reference import run_step

OPS = (
    "constmatmul", "matmul", "add", "sub", "mul", "square", "maximum", "accumulate", "table", "requantise", "reduce",
    "normalise", "shift", "slice", "concat", "reshape", "recurrent",
)  # fmt: skip
STAGES = ("first", "second", "third")
WIDEST = 30
"""Bits of operands, unless an operation asks for wider ones."""


class Grower:
    """Adds random nodes to a builder."""

    def __init__(self, builder: GraphBuilder, rng: np.random.Generator):
        self.b, self.rng = builder, rng
        self.pool: list[str] = []
        self.used: set[str] = set()
        self.done: dict[str, int] = dict.fromkeys(OPS, 0)

    def int(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def facts(self, name: str):
        return self.b.facts[name]

    def pick(self, test=lambda facts: True, widest: int = WIDEST) -> str | None:
        fit = [n for n in self.pool if test(self.facts(n)) and self.facts(n).type.width <= widest]
        if not fit:
            return None
        name = fit[int(self.rng.integers(len(fit)))]
        self.used.add(name)
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
        """One more node (or a few) of an operation; None if nothing in the pool suits."""
        self.b.stage = STAGES[self.int(0, len(STAGES) - 1)]
        try:
            made = getattr(self, op)()
        except DatapathError:
            return None
        if made is not None:
            self.pool.append(made)
            self.done[op] += 1
        return made

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
        if a is None:
            return None
        wanted = self.facts(a).shape[1]
        b = self.pick(lambda f: plain(f) and f.shape[0] == wanted)
        return None if b is None else self.b.matmul(a, b)

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
        code = self.pick(lambda f: f.type.width <= 9)
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
        return None if other is None else self.b.shift(other, s, offset=self.int(-3, 9))

    def slice(self):
        x = self.pick(lambda f: len(f.shape) > 0)
        shape = self.facts(x).shape
        axis = self.int(0, len(shape) - 1)
        start = self.int(0, shape[axis] - 1)
        return self.b.slice(x, axis, start, self.int(start + 1, shape[axis]))

    def concat(self):
        x = self.pick(lambda f: 0 < len(f.shape) and max(f.shape) <= 6)
        if x is None:
            return None
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


def _watch(grower: Grower, names) -> None:
    """Make tensors the next values of states, so that they are compared after every sample."""
    paired = set(grower.b.states.values())
    for name in names:
        if name not in paired:
            facts = grower.facts(name)
            grower.b.next_state(grower.b.state(f"seen_{name}", facts.shape, facts.type), name)


def random_step(rng: np.random.Generator, nodes: int, max_steps: int) -> tuple[Graph, dict[str, int]]:
    builder = GraphBuilder("step", max_steps=max_steps)
    grower = Grower(builder, rng)
    sample = builder.input("sample", (2,), FixedType(True, 16, grower.int(-2, 12)))
    grower.pool = [sample, builder.constant(rng.integers(-100, 100, (2, 3)), FixedType(True, 8, 3))]
    grower.pool.append(grower.quantised(sample, 10))
    grower.pool.append(
        builder.constmatmul(grower.pool[-1], rng.integers(-8, 8, (6, 2)), FixedType(True, 4, 2))
    )
    grower.pool.append(grower.quantised(builder.reshape(grower.pool[-1], (2, 3)), 8, uniform=True))
    for op in [*OPS, *rng.permutation(OPS * 8)]:
        if len(grower.pool) >= nodes and all(grower.done.values()):
            break
        grower.grow(str(op))
    computed = [n for n in grower.pool if n != sample]
    leaves = [n for n in computed if n not in grower.used]
    _watch(grower, dict.fromkeys([*leaves, *(n for n in computed if grower.chance(0.35))]))
    return builder.build({}), grower.done


def random_head(rng: np.random.Generator, step: Graph, nodes: int) -> Graph:
    builder = GraphBuilder("head")
    grower = Grower(builder, rng)
    for at in rng.permutation(len(step.states))[:4]:
        state = step.state_nodes[int(at)]
        grower.pool.append(builder.input(state.name, state.shape, state.type))
    for op in rng.permutation([o for o in OPS if o not in ("accumulate", "recurrent")] * 3)[:nodes]:
        grower.grow(str(op))
    ends = []
    for name, type_ in (("energy", FixedType(False, 16, 3)), ("log_variance", FixedType(True, 16, 5))):
        flat = grower.pick() or grower.pool[0]
        flat = builder.reshape(flat, (builder.facts[flat].lo.size,))
        at = grower.int(0, builder.facts[flat].shape[0] - 1)
        ends.append(builder.requantise(builder.slice(flat, 0, at, at + 1), type_, name=name))
    return builder.build(dict(zip(("energy", "log_variance"), ends, strict=True)))


def random_datapath(seed: int, *, nodes: int = 40, max_steps: int = 5) -> tuple[Datapath, dict[str, int]]:
    """A datapath, and how often each operation occurs in its step graph."""
    rng = np.random.default_rng(seed)
    step, done = random_step(rng, nodes, max_steps)
    head = random_head(rng, step, 10)
    return Datapath(step, head, {"model": f"random {seed}", "max_steps": max_steps}), done


def random_stimulus(seed: int, *, windows: int, channels: int, revisit: int, max_steps: int) -> Stimulus:
    """Windows of 1 to max_steps samples, some abandoned, some too long, some samples outside windows."""
    rng = np.random.default_rng(seed)
    pulses = []
    for _ in range(windows):
        kind = rng.random()
        length = int(rng.integers(1, max_steps + 1)) + (max_steps if kind < 0.1 else 0)
        scale = 1 << int(rng.integers(1, 17))
        samples = np.clip(rng.integers(-scale, scale, (length, 2)), -32768, 32767)
        pulses.append(Pulse(int(rng.integers(channels)), samples, start=kind < 0.93, last=kind > 0.2))
    return schedule(pulses, channels=channels, revisit=revisit, seed=seed, idle_fraction=0.1)


def reference(datapath: Datapath, stimulus: Stimulus) -> Expected:
    """What the int64 reference executor gives for the runs of a stimulus."""
    samples, lengths = stimulus.windows(datapath.step.max_steps)
    history = run_by_step(datapath.step, samples)
    states = {s: np.stack(history[s], axis=1) for s, _ in datapath.step.states}
    rows = np.arange(len(lengths))
    head = run_step(
        datapath.head, {n.name: states[n.name][rows, lengths - 1] for n in datapath.head.inputs}, {}
    )
    return Expected(head.outputs["energy"], head.outputs["log_variance"], states)
