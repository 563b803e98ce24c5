"""The golden model: whole windows through step and head, integers in and integers out, over batches of windows.

Two engines run the step graph: `numpy_engine`, and `native`, the same arithmetic as compiled C++. Results of both are
those of `reference.run_step`, integer for integer (tests hold them to it).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from venom_hw.compiled import KernelUnavailable
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.native import NativeEngine
from venom_hw.datapath.numpy_engine import NumpyEngine
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.reference import checked, run_step

ENGINES = ("auto", "numpy", "native")
WORTH_COMPILING = 64 * 64
"""Samples in one call from which `auto` compiles the step graph (once; the library is kept in the cache folder)."""


@dataclass(frozen=True)
class WindowResult:
    """Integers of a batch of windows.

    Attributes:
        outputs: head outputs by name, (windows, *shape).
        states: states after each window's last sample, (windows, *shape).
        trace: with `trace=True`, states and step outputs after every sample, (windows, L, *shape), in the
            narrowest of int16, int32 and int64; what stands beyond a window's length means nothing.
        saturations: values saturated, by tensor (step tensors, and head tensors prefixed `head.`).
        engine: what ran the step graph, `numpy` or `native`.
    """

    outputs: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    saturations: dict[str, int]
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    engine: str = NumpyEngine.name


class Golden:
    """A datapath's step and head graphs over batches of windows.

    >>> result = Golden(datapath.step, datapath.head).run(samples)      # samples: int16 (windows, L, 2)
    >>> result.outputs["energy"]                                        # integers, LSB 2**-12 eV
    """

    def __init__(
        self, step: Graph, head: Graph | None = None, *, threads: int | None = None, engine: str = "auto"
    ):
        """
        Args:
            threads: of the step's engine; default: the machine's cores (8 at most) for native, 1 for numpy, whose
                threads wait for each other's interpreter lock.
            engine: `numpy`, `native`, or `auto`: native where a C++ compiler is found and a call is large enough
                to be worth it, else numpy. The environment variable VENOM_GOLDEN sets what `auto` stands for.

        Raises:
            DatapathError: an unknown engine, or a step graph with more than one input.
        """
        if len(step.inputs) != 1:
            raise DatapathError(f"graph {step.name!r}: a step graph has one input, found {len(step.inputs)}")
        chosen = os.environ.get("VENOM_GOLDEN") or "auto" if engine == "auto" else engine
        if chosen not in ENGINES:
            raise DatapathError(f"golden engine {chosen!r}; the engines are {', '.join(ENGINES)}")
        self.step, self.head, self.threads = step, head, threads
        self.wanted, self.strict = chosen, engine == "native"
        self._native: NativeEngine | None = None

    @cached_property
    def _numpy(self) -> NumpyEngine:
        return NumpyEngine(self.step)

    def _engine(self, samples: int) -> NumpyEngine | NativeEngine:
        """The engine for a call of so many samples."""
        if self._native is None and self.wanted != "numpy" and (self.wanted == "native" or samples >= WORTH_COMPILING):
            try:
                self._native = NativeEngine(self.step)
            except (KernelUnavailable, DatapathError) as error:
                if self.strict:
                    raise
                self.wanted = "numpy"
                warn_once(str(error))
        return self._native or self._numpy

    def run(
        self, samples: np.ndarray, lengths: np.ndarray | None = None, *, trace: bool = False
    ) -> WindowResult:
        """Run windows.

        Args:
            samples: integers (windows, L, *input shape), L at most the graph's max_steps.
            lengths: valid samples of each window, 1..L; all of L by default.
            trace: also return every state word after every sample (memory: about windows * L * words * 2.5 bytes).

        Raises:
            DatapathError: a wrong shape, a window too long or empty, samples outside the input's type.
        """
        samples = np.asarray(samples)
        node = self.step.inputs[0]
        if samples.ndim < 2 or samples.shape[0] == 0:
            raise DatapathError(f"samples of shape {samples.shape}; expected (windows, L, {node.shape}), windows >= 1")
        count, length = samples.shape[:2]
        checked_ = checked(node, {node.name: samples.reshape((-1,) + samples.shape[2:])})
        samples = checked_.reshape((count, length) + node.shape)
        if not 1 <= length <= self.step.max_steps:
            proven = f"the accumulators are proven for 1..{self.step.max_steps}"
            raise DatapathError(f"windows of {length} samples; {proven}")
        lengths = np.full(count, length) if lengths is None else np.asarray(lengths)
        if lengths.shape != (count,) or lengths.min() < 1 or lengths.max() > length:
            raise DatapathError(f"lengths must be {count} integers in 1..{length}")

        engine = self._engine(count * length)
        cores = min(os.cpu_count() or 1, 8) if engine is self._native else 1
        states, traced, saturations = engine.run(samples, lengths, trace, self.threads or cores)
        outputs: dict[str, np.ndarray] = {}
        if self.head is not None:
            head = run_step(self.head, {n.name: states[n.name] for n in self.head.inputs}, {})
            outputs = head.outputs
            saturations.update({f"head.{k}": v for k, v in head.saturations.items() if v})
        states = {s: states[s] for s, _ in self.step.states}
        return WindowResult(outputs, states, saturations, traced, engine.name)


@cache
def warn_once(reason: str) -> None:
    message = f"compiled golden model not available, using the slower NumPy one: {reason}"
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def run_by_step(step: Graph, samples: np.ndarray) -> Mapping[str, list]:
    """Windows (B, L, ...) through the reference executor, sample by sample: every output and state, for tests."""
    from venom_hw.datapath.reference import initial_states

    states = initial_states(step, samples.shape[0])
    history: dict[str, list] = {}
    for t in range(samples.shape[1]):
        result = run_step(step, {step.inputs[0].name: samples[:, t]}, states)
        states = result.states
        for name, value in {**result.outputs, **states}.items():
            history.setdefault(name, []).append(value)
    return history
