"""The NumPy engine of the golden model: a block of samples of many windows at a time.

Everything that does not depend on the recurrent state is computed for a block of samples of many windows at once
(`passes.hoist`); only the state update runs sample by sample. The speed comes from `kernels`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.kernels import Kernels, SaturationCounter
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.datapath.passes.hoist import Hoisted, hoist

CHUNK_WINDOWS = 512
"""Windows that run together: enough to hide the interpreter, few enough for their tensors to stay in cache."""
BLOCK_ROWS = 2048
"""Samples (of all windows of a chunk together) that the hoisted part takes at once."""


class NumpyEngine:
    """One step graph, its nodes made into NumPy kernels for whole windows."""

    name = "numpy"

    def __init__(self, graph: Graph):
        self.graph = factor_decay(graph)
        self.plan = hoist(self.graph)
        self._idle: list[Kernels] = []  # compiled kernels that no thread is using

    def _kernels(self) -> Kernels:
        try:
            kernels = self._idle.pop()
        except IndexError:
            wide = {n.name for n in self.plan.loop} | set(self.plan.recurrent)
            kernels = Kernels(self.graph, SaturationCounter(), wide=wide)
        kernels.counter.counts = {}
        return kernels

    def run(
        self, samples: np.ndarray, lengths: np.ndarray, trace: bool, threads: int = 1
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
        """Final states, trace and saturations of windows (B, L, *shape) of int samples."""
        count = len(samples)
        size = max(1, min(CHUNK_WINDOWS, -(-count // threads)))
        chunks = [slice(i, min(i + size, count)) for i in range(0, count, size)]
        work = lambda part: self._run(samples[part], lengths[part], trace)  # noqa: E731
        if threads > 1 and len(chunks) > 1:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(work, chunks))
        else:
            parts = [work(part) for part in chunks]
        join = lambda i: {k: np.concatenate([p[i][k] for p in parts]) for k in parts[0][i]}  # noqa: E731
        return join(0), join(1), _total(p[2] for p in parts)

    def _run(self, samples: np.ndarray, lengths: np.ndarray, trace: bool) -> tuple[dict, dict, dict]:
        kernels = self._kernels()
        run = _WindowRun(self.graph, self.plan, kernels, lengths, trace)
        stream = np.swapaxes(samples, 0, 1)
        for start in range(0, samples.shape[1], run.block):
            run.advance(start, stream[start : start + run.block])
        self._idle.append(kernels)
        return run.results()


class _WindowRun:
    """A chunk of windows on its way through the step graph, a block of samples at a time."""

    def __init__(self, graph: Graph, plan: Hoisted, kernels: Kernels, lengths: np.ndarray, trace: bool):
        self.graph, self.plan, self.kernels, self.last, self.trace = graph, plan, kernels, lengths - 1, trace
        self.batch = batch = len(lengths)
        self.block = max(1, BLOCK_ROWS // batch)
        self.counter = kernels.counter
        self.following = dict(graph.states)
        dtype = self.kernels.dtype
        self.state = {s: np.zeros((batch, *graph[s].shape), dtype[s]) for s in plan.recurrent}
        self.history = {
            s: np.zeros((d.depth + self.block, batch, *graph[d.source].shape), dtype[d.source])
            for s, d in plan.delays.items()
        }
        self.sums = {s: np.zeros((batch, *graph[s].shape)) for s in plan.sums}
        self.final = {
            s: np.zeros((batch, *graph[s].shape), np.int64) for s in (*plan.recurrent, *plan.delays)
        }
        self.traced: dict[str, list[np.ndarray]] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.inside = np.ones((1, batch), bool)

        in_loop = {n.name for n in plan.loop}
        later = {i for n in plan.after for i in n.inputs} | set(plan.sums.values())
        if trace:
            later |= {node for _, node in graph.outputs}
        self.kept = in_loop & later
        read = {i for n in plan.loop for i in n.inputs} | {self.following[s] for s in plan.recurrent}
        self.from_outside = read - in_loop - set(plan.recurrent)
        self.step_outputs = {
            name: node for name, node in graph.outputs if node not in self.following.values()
        } if trace else {}

    # one block ---------------------------------------------------------------------------------------------------

    def advance(self, start: int, samples: np.ndarray) -> None:
        """Samples `start` to `start + len(samples)` of every window, (block, batch, *shape) integers."""
        count = len(samples)
        times = np.arange(start, start + count)
        self.inside = times[:, None] <= self.last
        self.whole = bool(self.inside.all())
        self.counter.valid = None if self.whole else self.inside.reshape(-1)
        self.env = env = {}
        self.fresh = set(self.plan.delays)
        source = self.graph.inputs[0].name
        env[source] = self.kernels.to_carrier(source, samples.reshape((-1,) + samples.shape[2:]))
        for node in self.plan.before:
            if node.op not in ("input", "state") and node.name not in self.kernels.fused:
                self.evaluate(node, count)
        self.loop(start, count)
        self.counter.valid = None if self.whole else self.inside.reshape(-1)
        for node in self.plan.after:
            if node.name not in self.kernels.fused:
                self.evaluate(node, count)
        self.collect(start, count)

    def evaluate(self, node: Node, count: int) -> None:
        inputs = self.kernels.inputs[node.name]
        for name in inputs:
            if name in self.fresh:
                self.delay(name, count)
        rows = count * self.batch
        out = None
        if node.op not in ("slice", "reshape", "constant"):
            out = self.buffer(node, rows)
        self.env[node.name] = self.kernels.kernel[node.name]([self.env[i] for i in inputs], out)

    def buffer(self, node: Node, rows: int) -> np.ndarray | None:
        if node.name not in self.buffers:
            variable = any(i in self.env and self.env[i].shape[0] != 1 for i in node.inputs)
            if not variable:
                return None
            self.buffers[node.name] = np.empty((rows, *node.shape), self.kernels.dtype[node.name])
        return self.buffers[node.name][:rows]

    def delay(self, state: str, count: int) -> None:
        """The state's value before each sample of the block, out of the last values of its source."""
        self.fresh.discard(state)
        delay, history = self.plan.delays[state], self.history[state]
        shape = self.graph[delay.source].shape
        history[delay.depth : delay.depth + count] = self.env[delay.source].reshape((count, self.batch) + shape)
        windows = [history[j : j + count] for j in range(delay.depth)]
        self.env[state] = np.stack(windows, axis=2).reshape((count * self.batch, delay.depth) + shape)

    def loop(self, start: int, count: int) -> None:
        """The recurrent part, sample by sample; tensors that later nodes need are kept for the block."""
        graph, kernels = self.graph, self.kernels
        by_sample = {}
        for name in self.from_outside:
            value = self.env[name]
            constant = value.shape[0] == 1 and count * self.batch != 1
            value = value if constant else value.reshape((count, self.batch) + graph[name].shape)
            by_sample[name] = (value, constant)
        steps = [
            (n.name, kernels.kernel[n.name], kernels.inputs[n.name], self.loop_buffer(n))
            for n in self.plan.loop
            if n.name not in kernels.fused
        ]
        rescale = {s: kernels.rescale(self.following[s], s) for s in self.state}
        kept = {n: self.kept_buffer(n, count) for n in self.kept}
        ends = self.last - start
        for t in range(count):
            if not self.whole:
                self.counter.valid = self.inside[t]
            now = {name: v if constant else v[t] for name, (v, constant) in by_sample.items()}
            now.update(self.state)
            for name, kernel, inputs, out in steps:
                now[name] = kernel([now[i] for i in inputs], out)
            for s, value in self.state.items():
                following = now[self.following[s]]
                np.copyto(value, following if rescale[s] is None else following * rescale[s])
            for name, store in kept.items():
                store[t] = now[name]
            if self.trace:
                for s, value in self.state.items():
                    self.keep_trace(s, kernels.to_integers(s, value)[None])
            if not self.whole or (ends == t).any():
                ending = np.flatnonzero(ends == t)
                for s, value in self.state.items():
                    self.final[s][ending] = kernels.to_integers(s, value[ending])
        for name, store in kept.items():
            self.env[name] = store.reshape((count * self.batch,) + graph[name].shape)

    def loop_buffer(self, node: Node) -> np.ndarray | None:
        if node.op in ("slice", "reshape", "concat"):
            return None
        key = f"{node.name} in the loop"
        if key not in self.buffers:
            self.buffers[key] = np.empty((self.batch, *node.shape), self.kernels.dtype[node.name])
        return self.buffers[key]

    def kept_buffer(self, name: str, count: int) -> np.ndarray:
        key = f"{name} kept"
        if key not in self.buffers:
            self.buffers[key] = np.empty((count, self.batch, *self.graph[name].shape), self.kernels.dtype[name])
        return self.buffers[key][:count]

    def collect(self, start: int, count: int) -> None:
        """Sums, final values of delays, and the trace of a block."""
        kernels, graph = self.kernels, self.graph
        by_sample = lambda name: np.broadcast_to(  # noqa: E731
            self.env[name].reshape((-1, self.batch if self.env[name].shape[0] != 1 else 1) + graph[name].shape),
            (count, self.batch) + graph[name].shape,
        )
        for state, term in self.plan.sums.items():
            terms = by_sample(term)
            if self.trace:
                total = self.sums[state] + np.cumsum(terms, axis=0, dtype=np.float64)
                self.keep_trace(state, self.integers_of_sum(term, total))
            mask = self.inside.reshape(self.inside.shape + (1,) * (terms.ndim - 2))
            self.sums[state] += np.add.reduce(terms if self.whole else terms * mask, axis=0, dtype=np.float64)
        for state, delay in self.plan.delays.items():
            if state in self.fresh:
                self.delay(state, count)
            history = self.history[state]
            if self.trace:
                taps = np.stack([history[j + 1 : j + 1 + count] for j in range(delay.depth)], axis=2)
                taps = kernels.to_integers(delay.source, taps)
                self.keep_trace(state, taps.reshape((count, self.batch) + graph[state].shape))
            ending = np.flatnonzero((self.last >= start) & (self.last < start + count))
            for j in range(delay.depth if ending.size else 0):
                values = history[self.last[ending] - start + 1 + j, ending]
                self.final[state][ending, j] = kernels.to_integers(delay.source, values)
            history[: delay.depth] = history[count : count + delay.depth].copy()
        for name, node in self.step_outputs.items():
            self.keep_trace(name, kernels.to_integers(node, by_sample(node)), node)

    def keep_trace(self, name: str, integers: np.ndarray, node: str | None = None) -> None:
        """Adds a block (count, batch, *shape) to the trace, in the narrowest integers that hold the type."""
        self.traced.setdefault(name, []).append(integers.astype(self.graph[node or name].type.dtype))

    def integers_of_sum(self, term: str, values: np.ndarray) -> np.ndarray:
        return self.kernels.to_integers(term, values)  # an accumulator has its term's LSB

    def results(self) -> tuple[dict, dict, dict]:
        for state, term in self.plan.sums.items():
            self.final[state] = self.integers_of_sum(term, self.sums[state])
        traced = {name: np.swapaxes(np.concatenate(parts), 0, 1) for name, parts in self.traced.items()}
        return self.final, traced, self.counter.counts


def _total(counts) -> dict[str, int]:
    out: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            out[name] = out.get(name, 0) + count
    return out
