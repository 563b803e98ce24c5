"""The golden model: whole windows through step and head, integers in and integers out, over batches of windows.

Everything that does not depend on the recurrent state is computed for all samples of a chunk of windows at once
(`passes.hoist`); only the state update runs sample by sample. Results are those of `reference.run_step`, integer
for integer (a test holds them to it); the speed comes from `kernels`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from venom_hw.datapath.graph import Graph
from venom_hw.datapath.kernels import Kernels, SaturationCounter
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.datapath.passes.hoist import hoist
from venom_hw.datapath.reference import checked, run_step

CHUNK_VALUES = 1 << 22
"""Values of one hoisted tensor row (windows x samples x 64) a chunk may hold: bounds memory and keeps to the cache."""


@dataclass(frozen=True)
class WindowResult:
    """Integers of a batch of windows.

    Attributes:
        outputs: head outputs by name, (windows, *shape).
        states: states after each window's last sample, (windows, *shape).
        trace: with `trace=True`, states and step outputs after every sample, (windows, L, *shape); samples beyond
            a window's length repeat nothing meaningful.
        saturations: values saturated, by tensor (step tensors, and head tensors prefixed `head.`).
    """

    outputs: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    saturations: dict[str, int]
    trace: dict[str, np.ndarray] = field(default_factory=dict)


class StepRunner:
    """One step graph, compiled for whole windows."""

    def __init__(self, graph: Graph):
        if len(graph.inputs) != 1:
            raise DatapathError(f"graph {graph.name!r}: a step graph has one input, found {len(graph.inputs)}")
        self.graph = graph
        self.fast = factor_decay(graph)
        self.plan = hoist(self.fast)

    def run(self, samples: np.ndarray, lengths: np.ndarray, trace: bool) -> tuple[dict, dict, dict]:
        """Final states, trace and saturations of windows (B, L, *shape) of int samples."""
        counter = SaturationCounter()
        kernels = Kernels(self.fast, counter)
        plan, graph = self.plan, self.fast
        batch, length = samples.shape[:2]
        flat = (length * batch,)
        inside = np.arange(length)[:, None] < lengths  # (L, B)
        counter.valid = None if inside.all() else inside.reshape(-1)
        env: dict[str, np.ndarray] = {}
        source = graph.inputs[0].name
        stream = np.ascontiguousarray(np.swapaxes(samples, 0, 1)).reshape(flat + samples.shape[2:])
        env[source] = kernels.to_carrier(source, stream)
        waiting = dict(plan.delays)

        for node in plan.before:
            if node.op == "state":
                continue
            for name in node.inputs:
                if name in waiting:
                    env[name] = _delayed(env[waiting[name].source], waiting.pop(name).depth, length, batch)
            if node.op != "input":
                env[node.name] = kernels.kernel[node.name]([env[i] for i in node.inputs], None)

        last = lengths - 1
        final: dict[str, np.ndarray] = {}
        traced: dict[str, np.ndarray] = {}
        self._loop(kernels, env, length, batch, inside, last, final, traced, trace)
        counter.valid = None if inside.all() else inside.reshape(-1)
        for node in plan.after:
            env[node.name] = kernels.kernel[node.name]([env[i] for i in node.inputs], None)

        integers = lambda name: kernels.to_integers(name, env[name]).reshape(  # noqa: E731
            (-1, batch) + graph[name].shape
        )
        for state, term in plan.sums.items():
            terms = integers(term)
            if terms.shape[0] == 1:
                terms = np.broadcast_to(terms, (length,) + terms.shape[1:])
            if trace:
                traced[state] = np.cumsum(terms, axis=0)
            mask = inside.reshape(inside.shape + (1,) * (terms.ndim - 2))
            final[state] = np.where(mask, terms, 0).sum(axis=0)
        for state, delay in plan.delays.items():
            taps = _delayed(env[delay.source], delay.depth, length, batch, current=True)
            taps = kernels.to_integers(delay.source, taps).reshape((length, batch) + graph[state].shape)
            final[state] = taps[last, np.arange(batch)]
            if trace:
                traced[state] = taps
        if trace:
            for name, node in graph.outputs:
                if node in env and node not in dict(graph.states).values():
                    traced[name] = integers(node)
        return final, {k: np.swapaxes(v, 0, 1) for k, v in traced.items()}, counter.counts

    def _loop(self, kernels, env, length, batch, inside, last, final, traced, trace) -> None:
        """The recurrent part, sample by sample; tensors that later nodes need are kept for the window."""
        plan, graph = self.plan, self.fast
        if not plan.loop and not plan.recurrent:
            return
        following = dict(graph.states)
        in_loop = {n.name for n in plan.loop}
        later = {i for n in plan.after for i in n.inputs} | set(plan.sums.values())
        later |= {node for _, node in graph.outputs} if trace else set()
        kept = {n: None for n in in_loop & later}
        outside = {i for n in plan.loop for i in n.inputs} - in_loop - set(plan.recurrent)
        by_sample = {
            name: env[name] if env[name].shape[0] == 1 else env[name].reshape((length, batch) + graph[name].shape)
            for name in outside
        }
        state = {s: np.zeros((batch, *graph[s].shape), kernels.dtype[s]) for s in plan.recurrent}
        buffers = {
            n.name: np.empty((batch, *n.shape), kernels.dtype[n.name])
            for n in plan.loop
            if n.op not in ("slice", "reshape", "concat")
        }
        steps = [(n.name, kernels.kernel[n.name], n.inputs, buffers.get(n.name)) for n in plan.loop]
        everything = inside.all()
        for t in range(length):
            if not everything:
                kernels.counter.valid = inside[t]
            now = {n: (v if v.shape[0] == 1 and v.ndim == len(graph[n].shape) + 1 else v[t]) for n, v in by_sample.items()}
            now.update(state)
            for name, kernel, inputs, out in steps:
                now[name] = kernel([now[i] for i in inputs], out)
            for s in plan.recurrent:
                state[s][...] = now[following[s]]
            for name in kept:
                if kept[name] is None:
                    kept[name] = np.empty((length, batch, *graph[name].shape), now[name].dtype)
                kept[name][t] = now[name]
            if trace:
                for s in plan.recurrent:
                    if s not in traced:
                        traced[s] = np.empty((length, batch, *graph[s].shape), np.int64)
                    traced[s][t] = kernels.to_integers(s, state[s])
            ending = np.flatnonzero(last == t)
            for s in plan.recurrent if ending.size else ():
                final.setdefault(s, np.zeros((batch, *graph[s].shape), np.int64))
                final[s][ending] = kernels.to_integers(s, state[s][ending])
        for name, value in kept.items():
            env[name] = value.reshape((length * batch, *graph[name].shape))


def _delayed(source: np.ndarray, depth: int, length: int, batch: int, current: bool = False) -> np.ndarray:
    """The last `depth` values before (with `current`, up to) each sample, zero before the window: (L*B, depth, ...)."""
    shape = source.shape[1:]
    source = source.reshape((length, batch) + shape)
    out = np.zeros((length, batch, depth) + shape, source.dtype)
    for j in range(depth):
        lag = depth - j - int(current)
        if lag < length:
            out[lag:, :, j] = source[: length - lag]
    return out.reshape((length * batch, depth) + shape)


class Golden:
    """A datapath's step and head graphs over batches of windows.

    >>> result = Golden(datapath.step, datapath.head).run(samples)      # samples: int16 (windows, L, 2)
    >>> result.outputs["energy"]                                        # integers, LSB 2**-12 eV
    """

    def __init__(self, step: Graph, head: Graph | None = None, *, threads: int | None = None):
        self.step, self.head = step, head
        self.runner = StepRunner(step)
        self.threads = threads or min(os.cpu_count() or 1, 8)

    def run(
        self, samples: np.ndarray, lengths: np.ndarray | None = None, *, trace: bool = False
    ) -> WindowResult:
        """Run windows.

        Args:
            samples: integers (windows, L, *input shape), L at most the graph's max_steps.
            lengths: valid samples of each window, 1..L; all of L by default.
            trace: also return every state word after every sample (memory: windows * L * words * 8 bytes).

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
            raise DatapathError(f"windows of {length} samples; the accumulators are proven for 1..{self.step.max_steps}")
        lengths = np.full(count, length) if lengths is None else np.asarray(lengths)
        if lengths.shape != (count,) or lengths.min() < 1 or lengths.max() > length:
            raise DatapathError(f"lengths must be {count} integers in 1..{length}")

        size = max(1, min(count, CHUNK_VALUES // (64 * length), -(-count // self.threads)))
        chunks = [slice(i, min(i + size, count)) for i in range(0, count, size)]
        work = lambda part: self.runner.run(samples[part], lengths[part], trace)  # noqa: E731
        if self.threads > 1 and len(chunks) > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                parts = list(pool.map(work, chunks))
        else:
            parts = [work(part) for part in chunks]

        join = lambda i: {k: np.concatenate([p[i][k] for p in parts]) for k in parts[0][i]}  # noqa: E731
        states, saturations = join(0), _total(p[2] for p in parts)
        outputs: dict[str, np.ndarray] = {}
        if self.head is not None:
            head = run_step(self.head, {n.name: states[n.name] for n in self.head.inputs}, {})
            outputs = head.outputs
            saturations.update({f"head.{k}": v for k, v in head.saturations.items() if v})
        return WindowResult(outputs, {s: states[s] for s, _ in self.step.states}, saturations, join(1))


def _total(counts) -> dict[str, int]:
    out: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            out[name] = out.get(name, 0) + count
    return out


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
