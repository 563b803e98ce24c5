"""Every sample of a stimulus as one evaluation of the step graph: what goes in, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.fuzz.difference import Difference
from venom_hw.codegen.stimulus import Stimulus
from venom_hw.codegen.vectors import Expected
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.reference import run_step


@dataclass(frozen=True)
class StepVectors:
    """B evaluations of a graph.

    Attributes:
        inputs: (B, *shape) by input and state.
        outputs: (B, *shape) by output and state (its next value).
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def compare(self, rendering: str, found: dict[str, np.ndarray], prefix: str = "") -> Difference | None:
        """The first evaluation that differs.

        Args:
            prefix: before the tensor's name in the message ("head." for the head).
        """
        first = None
        for name, wanted in self.outputs.items():
            wrong = np.asarray(found[name]).reshape(len(wanted), -1) != wanted.reshape(len(wanted), -1)
            if wrong.any():
                row, index = (int(v) for v in np.argwhere(wrong)[0])
                if first is None or row < first[0]:
                    pair = [int(np.asarray(v).reshape(len(wanted), -1)[row, index]) for v in (wanted, found[name])]
                    first = row, name, index, pair
        if first is None:
            return None
        row, name, index, (want, got) = first
        return Difference(
            rendering, f"evaluation {row}, {prefix}{name}[{index}]: expected {want}, found {got}", f"{prefix}{name}"
        )


def step_vectors(step: Graph, stimulus: Stimulus, expected: Expected) -> StepVectors:
    """The step graph's evaluations, in the order of the beats that are used."""
    runs = stimulus.runs(step.max_steps)
    used = np.flatnonzero(runs.run >= 0)
    run, at = runs.run[used], runs.step[used]
    inputs = {step.inputs[0].name: np.asarray(stimulus.samples, np.int64)[used]}
    for state, _ in step.states:
        history = expected.states[state]
        before = history[run, np.maximum(at - 1, 0)]
        inputs[state] = np.where((at == 0).reshape(-1, *[1] * (before.ndim - 1)), 0, before)
    return _evaluated(step, inputs)


def head_vectors(head: Graph, stimulus: Stimulus, expected: Expected, max_steps: int) -> StepVectors:
    """The head's evaluations, one for each window, closed or not."""
    runs = stimulus.runs(max_steps)
    rows = np.arange(len(runs))
    inputs = {node.name: expected.states[node.name][rows, runs.length - 1] for node in head.inputs}
    return _evaluated(head, inputs)


def _evaluated(graph: Graph, inputs: dict[str, np.ndarray]) -> StepVectors:
    names = {node.name for node in graph.inputs}
    result = run_step(
        graph,
        {name: value for name, value in inputs.items() if name in names},
        {name: value for name, value in inputs.items() if name not in names},
    )
    return StepVectors(inputs, {**result.outputs, **result.states})
