"""Renderings held to the golden model on windows: every integer of every output and state, after every sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.golden import WindowResult
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.reference import initial_states, run_step
from venom_hw.flow.model_files import ModelFiles
from venom_hw.interchange.execute import Executor


@dataclass
class Check:
    """What one comparison covered and found; batches of windows add up in one Check.

    Attributes:
        windows: windows compared (`batch_at`: those before the running batch); integers: words compared.
        mismatches: words that differ.
        first: the first difference, in words ('' when none).
    """

    name: str
    windows: int = 0
    integers: int = 0
    mismatches: int = 0
    first: str = ""
    seconds: float = 0.0
    batch_at: int = 0
    notes: dict = field(default_factory=dict)

    def compare(self, tensor: str, expected: np.ndarray, found: np.ndarray, valid: np.ndarray, where: str) -> None:
        """Count differences of (windows, *shape) integers; windows that are not valid do not count."""
        expected, found = np.broadcast_arrays(expected, found)
        valid = np.broadcast_to(valid.reshape(valid.shape + (1,) * (expected.ndim - 1)), expected.shape)
        wrong = (expected != found) & valid
        self.integers += int(np.count_nonzero(valid))
        count = int(np.count_nonzero(wrong))
        if count and not self.first:
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            self.first = (
                f"window {self.batch_at + index[0]}, {where}, {tensor}{list(index[1:])}: "
                f"golden {expected[index]}, {self.name} {found[index]}"
            )
        self.mismatches += count

    def to_dict(self) -> dict:
        return {
            "windows": self.windows,
            "integers": self.integers,
            "mismatches": self.mismatches,
            "first": self.first,
            "seconds": round(self.seconds, 2),
            **self.notes,
        }


Step = Callable[[np.ndarray, Mapping[str, np.ndarray]], tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]


def _follow(
    check: Check, datapath: Datapath, golden: WindowResult, samples, lengths, step: Step, states, progress
) -> dict[str, np.ndarray]:
    """Runs `step` sample by sample on its own trajectory, compares with the golden trace; the states at the ends."""
    check.batch_at, check.windows = check.windows, check.windows + len(samples)
    final = {name: np.zeros_like(golden.states[name]) for name, _ in datapath.step.states}
    for t in progress(range(samples.shape[1])):
        outputs, states = step(samples[:, t], states)
        valid = t < lengths
        for name, value in {**states, **outputs}.items():
            check.compare(name, golden.trace[name][:, t], value, valid, f"sample {t}")
        ending = lengths - 1 == t
        for name in final:
            final[name][ending] = states[name][ending]
    return final


def check_reference(
    datapath, golden: WindowResult, samples, lengths, progress: Callable[..., Iterator], check: Check | None = None
) -> Check:
    """The int64 reference executor, node by node: the golden model's own check. Adds to `check` if given."""
    check = check or Check("reference")

    def step(sample, states):
        result = run_step(datapath.step, {datapath.step.inputs[0].name: sample}, states)
        return result.outputs, result.states

    cleared = initial_states(datapath.step, len(samples))
    final = _follow(check, datapath, golden, samples, lengths, step, cleared, progress)
    outputs = run_step(datapath.head, {n.name: final[n.name] for n in datapath.head.inputs}, {}).outputs
    _compare_outputs(check, golden, outputs)
    return check


def check_qonnx(
    files: ModelFiles,
    datapath,
    golden: WindowResult,
    samples,
    lengths,
    progress: Callable[..., Iterator],
    check: Check | None = None,
) -> Check:
    """The QONNX files, executed in float64 through ONNX's ReferenceEvaluator, sample by sample. Adds to `check`."""
    check = check or Check("qonnx")
    step_file, head_file = Executor(files.step), Executor(files.head)
    step_graph, head_graph = datapath.step, datapath.head

    def step(sample, states):
        feeds = {name: step_graph[name].type.to_value(value) for name, value in states.items()}
        out = step_file.run({step_graph.inputs[0].name: sample, **feeds})
        integers = lambda node, name: on_grid(step_graph[node].type, out[name])  # noqa: E731
        outputs = {name: integers(node, name) for name, node in step_graph.outputs}
        return outputs, {state: integers(following, following) for state, following in step_graph.states}

    cleared = {n.name: np.zeros((len(samples), *n.shape), np.int64) for n in step_graph.state_nodes}
    final = _follow(check, datapath, golden, samples, lengths, step, cleared, progress)
    out = head_file.run({n.name: n.type.to_value(final[n.name]) for n in head_graph.inputs})
    outputs = {name: on_grid(head_graph[node].type, out[name]) for name, node in head_graph.outputs}
    _compare_outputs(check, golden, outputs)
    return check


OFF_GRID = np.iinfo(np.int64).min
"""Stands for a value that is no integer of its format: it equals no integer, so it counts as a mismatch."""


def on_grid(type_: FixedType, values: np.ndarray) -> np.ndarray:
    """Integers of executed values; OFF_GRID where a value is off the grid or not finite."""
    scaled = np.ldexp(np.asarray(values, np.float64), np.asarray(type_.frac).astype(np.int32))
    good = np.isfinite(scaled) & (np.rint(scaled) == scaled) & (np.abs(scaled) < 2.0**62)
    return np.where(good, np.where(good, scaled, 0).astype(np.int64), OFF_GRID)


def _compare_outputs(check: Check, golden: WindowResult, outputs: Mapping[str, np.ndarray]) -> None:
    for name, value in outputs.items():
        check.compare(name, golden.outputs[name], value, np.ones(len(value), bool), "at the end")
