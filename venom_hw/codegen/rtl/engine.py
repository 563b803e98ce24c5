"""The engine around the step: at which clock each part of a beat is needed, and the modules made of that.

Clocks count from the beat on the stream's ports (clock 0). The step's own clock 0 lies at `step_clock`, as early as
every memory in front of it can deliver: registers behind the ports take a clock, a memory two more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.names import Names
from venom_hw.codegen.rtl.calibration import Calibration, calibration_of
from venom_hw.codegen.rtl.head import HeadUnit
from venom_hw.codegen.rtl.pipeline import Pipeline, PipelinePort
from venom_hw.codegen.rtl.rates import window_fifo_depth, with_slack
from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.passes.loadable import Loadable

BEAT_CLOCK = 1
"""Clock in which a beat lies in the registers behind the ports."""
ACCEPT_CLOCK = 5
"""Clock in which the window protocol has decided what a beat is; its own words are read in 1 and written in 5."""
MEMORY_CLOCKS = 2
"""Clocks from a memory's address to its value: the memory's register, and one in the fabric."""
MAX_REVISIT = 256
"""Longest revisit distance that the hardware watches."""
EPOCH_BITS = 24
"""Bits of the count of resets that a window's word carries."""


@dataclass(frozen=True)
class StateMemory:
    """The memory of one state, with the clocks of its read and its write."""

    name: str
    ident: str
    port: PipelinePort
    following: PipelinePort
    step_clock: int
    first_word: int

    @property
    def shape(self) -> str:
        return "x".join(map(str, self.port.shape)) or "scalar"

    @property
    def note(self) -> str:
        return self.port.note

    @property
    def bits(self) -> int:
        return self.port.bits

    @property
    def words(self) -> int:
        return self.port.words

    @property
    def value(self) -> str:
        return f"{self.ident}_state"

    @property
    def next(self) -> str:
        return f"{self.ident}_next"

    @property
    def value_clock(self) -> int:
        return self.step_clock + self.port.clock

    @property
    def read_clock(self) -> int:
        return self.value_clock - MEMORY_CLOCKS

    @property
    def next_clock(self) -> int:
        return self.step_clock + self.following.clock

    @property
    def write_clock(self) -> int:
        """Clock of the write: not before it is known whether the beat is used, and behind the beat's own read.

        A next value that does not depend on the old one (the one tap of a convolution of two) is there before the
        old one is wanted.
        """
        return max(self.next_clock, ACCEPT_CLOCK, self.read_clock + 1)

    @property
    def distance(self) -> int:
        """Clocks from a beat to the first one of its channel that reads what it wrote."""
        return self.write_clock - self.read_clock + 1

    @property
    def extended(self) -> str:
        """A word of the trace, sign-extended to 64 bits."""
        width = self.port.width
        place = f"{self.ident}_traced[{width}*word+:{width}]"
        return f"64'(signed'({place}))" if self.port.signed else f"64'({place})"


@dataclass(frozen=True)
class Sum:
    """An input of the head: a next state, an output of the step or calibration, delayed to the FIFO's clock.

    Attributes:
        source: the signal that carries it, in `clock`.
        port: of the step, where it is an output that is no next state.
    """

    name: str
    bits: int
    source: str
    clock: int
    port: PipelinePort | None = None
    delay: int = 0

    @property
    def signal(self) -> str:
        return f"{self.source}_sum" if self.delay else self.source


@dataclass(frozen=True)
class Engine:
    """Everything the templates need; made by `plan_engine`."""

    channels: int
    revisit: int
    max_steps: int
    interval: int
    fifo_depth: int
    step: Pipeline
    head: HeadUnit
    step_clock: int
    memories: tuple[StateMemory, ...]
    sums: tuple[Sum, ...]
    fifo_clock: int
    sample: PipelinePort
    calibration: Calibration | None

    @property
    def channel_bits(self) -> int:
        return channel_bits(self.channels)

    @property
    def distances(self) -> dict[str, int]:
        """Least revisit distance of each memory, the window protocol's included."""
        return {"window": ACCEPT_CLOCK - BEAT_CLOCK + 1} | {m.name: m.distance for m in self.memories}

    @property
    def sample_delay(self) -> int:
        """Clocks that the sample waits for the step, behind the port's register."""
        return self.step_clock + self.sample.clock - BEAT_CLOCK

    @property
    def trace_clock(self) -> int:
        """Clock of the last write-back, in which the state trace is made."""
        return max(m.write_clock for m in self.memories)

    @property
    def latency(self) -> int:
        """Clocks from a window's last beat to its result at an idle head: two in the FIFO, one in the output."""
        return self.fifo_clock + 2 + self.head.latency + 1

    @property
    def state_bits(self) -> int:
        """Bits of a channel's state, its window word included."""
        return sum(m.bits for m in self.memories) + EPOCH_BITS + self.max_steps.bit_length()

    @property
    def fifo_bits(self) -> int:
        return sum(s.bits for s in self.sums) + self.channel_bits


def plan_engine(
    step_graph: Graph,
    step: Pipeline,
    head: HeadUnit,
    *,
    channels: int,
    revisit: int | None = None,
    fifo_depth: int | None = None,
    loadable: Sequence[Loadable] = (),
    head_loadable: Sequence[Loadable] = (),
) -> Engine:
    """The clocks of an engine.

    Args:
        step_graph: the graph that `step` renders; its one input that is not in `loadable` is the sample.
        head: its inputs are states (their next values) or outputs of the step, or in `head_loadable`.
        revisit: declared least distance D between two beats of a channel; by default the least one possible.
        fifo_depth: results that wait in the engine at most; by default `default_fifo_depth`.

    Raises:
        CodegenError: D is shorter than a state's loop (the message names it) or longer than the hardware watches,
            or ports do not fit.
    """
    if channels < 1:
        raise CodegenError(f"channels = {channels}: at least 1")
    if fifo_depth is not None and fifo_depth < 1:
        raise CodegenError(f"fifo_depth = {fifo_depth}: at least 1")
    loaded = {t.name for t in loadable}
    states = [name for name, _ in step_graph.states]
    samples = [name for name in step.inputs if name not in loaded and name not in states]
    if len(samples) != 1 or step.inputs[samples[0]].bits != 32:
        raise CodegenError(f"step: expected one input of two 16-bit words (I, Q), found {', '.join(samples) or 'none'}")
    sample = step.inputs[samples[0]]
    behind = [step.inputs[name].clock for name in (*loaded, *states)]
    step_clock = max([BEAT_CLOCK - sample.clock, *(BEAT_CLOCK + MEMORY_CLOCKS - clock for clock in behind)])

    names = Names()
    memories, first = [], 0
    for state, following in step_graph.states:
        port = step.inputs[state]
        memories.append(StateMemory(state, names(state), port, step.outputs[following], step_clock, first))
        first += port.words
    if not memories:
        raise CodegenError(f"step {step_graph.name!r}: it has no state; the engine keeps one for every channel")

    loaded_by_head = {t.name for t in head_loadable}
    sums = [_sum(name, bits, step, memories, step_clock, names) for name, bits in head.inputs.items()
            if name not in loaded_by_head]  # fmt: skip
    fifo_clock = max([ACCEPT_CLOCK + 1, *(s.clock for s in sums)])
    clocks = {t.name: step_clock + step.inputs[t.name].clock for t in loadable}
    clocks |= {t.name: fifo_clock for t in head_loadable}
    calibration = calibration_of([*loadable, *head_loadable], clocks, channels, names) if clocks else None
    by_name = {s.name: replace(s, delay=fifo_clock - s.clock) for s in sums}
    if calibration is not None:
        by_name |= {t.name: Sum(t.name, t.bits, t.signal, fifo_clock) for t in calibration.tensors}
    sums = tuple(by_name[name] for name in head.inputs)

    engine = Engine(
        channels, 0, step_graph.max_steps, step.interval, fifo_depth or 1, step, head, step_clock,
        tuple(memories), sums, fifo_clock, sample, calibration,
    )  # fmt: skip
    if fifo_depth is None:
        engine = replace(engine, fifo_depth=default_fifo_depth(engine))
    return _with_revisit(engine, revisit)


def needed_fifo_depth(e: Engine) -> int:
    """Places with which continuous windows of L samples lose nothing, in whatever order they end, while the consumer
    takes each result at once.

    Raises:
        CodegenError: the head does not keep up with windows of L samples.
    """
    return window_fifo_depth(e.channels, e.max_steps, e.head.interval, interval=e.interval, latency=e.latency)


def default_fifo_depth(e: Engine) -> int:
    """The needed places with some for a consumer that pauses (`rates.with_slack`).

    Raises:
        CodegenError: as `needed_fifo_depth`.
    """
    return with_slack(needed_fifo_depth(e))


def _sum(name: str, bits: int, step: Pipeline, memories: Sequence[StateMemory], step_clock: int, names: Names) -> Sum:
    memory = next((m for m in memories if m.name == name), None)
    if memory is not None:
        found = Sum(name, memory.bits, memory.next, memory.next_clock)
    elif name in step.outputs:
        port = step.outputs[name]
        found = Sum(name, port.bits, f"{names(name)}_output", step_clock + port.clock, port)
    else:
        raise CodegenError(f"head: input {name!r} is no state and no output of the step")
    if found.bits != bits:
        raise CodegenError(f"head: input {name!r} has {bits} bits, the step gives {found.bits}")
    return found


def _with_revisit(engine: Engine, revisit: int | None) -> Engine:
    distances = engine.distances
    slowest = max(distances, key=distances.__getitem__)
    least = max(distances[slowest], engine.interval)
    if revisit is None:
        revisit = least
    if revisit < least:
        memory = next((m for m in engine.memories if m.name == slowest), None)
        clocks = (BEAT_CLOCK, ACCEPT_CLOCK) if memory is None else (memory.read_clock, memory.write_clock)
        raise CodegenError(
            f"revisit = {revisit} clocks: state {slowest!r} is read in clock {clocks[0]} and written in clock "
            f"{clocks[1]} of a beat, so a channel may come again after {least} clocks at the earliest"
        )
    if revisit > MAX_REVISIT:
        raise CodegenError(
            f"revisit = {revisit} clocks: the engine watches at most the last {MAX_REVISIT}; "
            f"it needs {least}, and any longer distance is allowed without declaring it"
        )
    return replace(engine, revisit=revisit)
