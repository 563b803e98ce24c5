"""Random datapaths: graphs of every operation for the tests, small ones of a few operations for fuzzing.

A small graph uses a random handful of the operations only: bugs that need several nodes of one kind, or one operation
right after another, come up far more often than where everything is mixed, and what fails is small to begin with.
"""

from __future__ import annotations

import numpy as np

from sim.fuzz.grower import OPS, Grower
from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.model import Datapath

IN_STEP_ONLY = ("accumulate", "recurrent")


def _watch(grower: Grower, names) -> None:
    """Make tensors the next values of states, so that they are compared after every sample."""
    paired = set(grower.b.states.values())
    for name in names:
        if name not in paired:
            facts = grower.facts(name)
            grower.b.next_state(grower.b.state(f"seen_{name}", facts.shape, facts.type), name)


def _first_tensors(rng: np.random.Generator, max_steps: int) -> tuple[Grower, str]:
    """A grower whose pool has the sample, a matrix and a few quantised tensors made of it."""
    builder = GraphBuilder("step", max_steps=max_steps)
    grower = Grower(builder, rng)
    sample = builder.input("sample", (2,), FixedType(True, 16, grower.int(-2, 12)))
    grower.pool = [sample, builder.constant(rng.integers(-100, 100, (2, 3)), FixedType(True, 8, 3))]
    grower.pool.append(grower.quantised(sample, 10))
    grower.pool.append(
        builder.constmatmul(grower.pool[-1], rng.integers(-8, 8, (6, 2)), FixedType(True, 4, 2))
    )
    grower.pool.append(grower.quantised(builder.reshape(grower.pool[-1], (2, 3)), 8, uniform=True))
    return grower, sample


def random_step(rng: np.random.Generator, nodes: int, max_steps: int) -> tuple[Graph, dict[str, int]]:
    """A step graph of every operation, and how often each occurs."""
    grower, sample = _first_tensors(rng, max_steps)
    for op in [*OPS, *rng.permutation(OPS * 8)]:
        if len(grower.pool) >= nodes and all(grower.done.values()):
            break
        grower.grow(str(op))
    computed = [n for n in grower.pool if n != sample]
    leaves = [n for n in computed if n not in grower.used]
    _watch(grower, dict.fromkeys([*leaves, *(n for n in computed if grower.chance(0.35))]))
    return grower.b.build({}), grower.done


def small_step(rng: np.random.Generator, nodes: int, max_steps: int) -> Graph:
    """A step graph of about so many further nodes, of a few operations only."""
    grower, sample = _first_tensors(rng, max_steps)
    given = set(grower.pool)
    ops = rng.choice(OPS, int(rng.integers(2, 8)), replace=False)
    for op in rng.choice([*ops, *ops, "requantise"], 4 * nodes):
        if len(grower.pool) >= nodes + len(given):
            break
        grower.grow(str(op))
    grown = [n for n in grower.pool if n not in given] or [n for n in grower.pool if n != sample]
    leaves = [n for n in grown if n not in grower.used]
    _watch(grower, dict.fromkeys([*leaves, *(n for n in grown if grower.chance(0.2))]))
    return grower.b.build({})


def random_head(rng: np.random.Generator, step: Graph, nodes: int) -> Graph:
    """A head of some states of the step, with at most so many further nodes and the two ends."""
    builder = GraphBuilder("head")
    grower = Grower(builder, rng)
    for at in rng.permutation(len(step.states))[:4]:
        state = step.state_nodes[int(at)]
        grower.pool.append(builder.input(state.name, state.shape, state.type))
    for op in rng.permutation([o for o in OPS if o not in IN_STEP_ONLY] * 3)[:nodes]:
        grower.grow(str(op))
    ends = []
    for name, type_ in (("energy", FixedType(False, 16, 3)), ("log_variance", FixedType(True, 16, 5))):
        flat = grower.find() or grower.pool[0]
        flat = builder.reshape(flat, (builder.facts[flat].lo.size,))
        at = grower.int(0, builder.facts[flat].shape[0] - 1)
        word = builder.slice(flat, 0, at, at + 1)
        frac = int(np.ravel(builder.facts[word].type.frac)[0])
        if type_.frac - frac > 62 - builder.facts[word].type.width:  # too far to the left
            type_ = FixedType(type_.signed, type_.width, frac)
        ends.append(builder.requantise(word, type_, name=name))
    return builder.build(dict(zip(("energy", "log_variance"), ends, strict=True)))


def random_datapath(seed: int, *, nodes: int = 40, max_steps: int = 5) -> tuple[Datapath, dict[str, int]]:
    """A datapath of every operation, and how often each occurs in its step graph."""
    rng = np.random.default_rng(seed)
    step, done = random_step(rng, nodes, max_steps)
    head = random_head(rng, step, 10)
    return Datapath(step, head, {"model": f"random {seed}", "max_steps": max_steps}), done


def small_datapath(rng: np.random.Generator) -> Datapath:
    """A small random datapath for fuzzing: 3 to 16 nodes, windows of 1 to 12 samples."""
    max_steps = int(rng.integers(1, 13))
    step = small_step(rng, int(rng.integers(3, 17)), max_steps)
    head = random_head(rng, step, int(rng.integers(0, 7)))
    return Datapath(step, head, {"model": "fuzz", "max_steps": max_steps})


def random_pulses(rng: np.random.Generator, *, windows: int, channels: int, max_steps: int) -> list[Pulse]:
    """Windows of 1 to max_steps samples, some abandoned, some too long, some samples outside windows."""
    pulses = []
    for _ in range(windows):
        kind = rng.random()
        length = int(rng.integers(1, max_steps + 1)) + (max_steps if kind < 0.1 else 0)
        scale = 1 << int(rng.integers(1, 17))
        samples = np.clip(rng.integers(-scale, scale, (length, 2)), -32768, 32767)
        pulses.append(Pulse(int(rng.integers(channels)), samples, start=kind < 0.93, last=kind > 0.2))
    return pulses


def random_stimulus(seed: int, *, windows: int, channels: int, revisit: int, max_steps: int) -> Stimulus:
    """`random_pulses`, interleaved at random with a few idle clocks."""
    pulses = random_pulses(np.random.default_rng(seed), windows=windows, channels=channels, max_steps=max_steps)
    return schedule(pulses, channels=channels, revisit=revisit, seed=seed, idle_fraction=0.1)
