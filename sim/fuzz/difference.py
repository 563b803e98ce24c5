"""What a rendering got wrong."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np

from venom_hw.codegen.stimulus import Stimulus
from venom_hw.codegen.vectors import Expected


@dataclass(frozen=True)
class Difference:
    """The first difference of a rendering, or the error with which it ended.

    Attributes:
        rendering: by name (`sim.fuzz.renderings`).
        message: for the reader, one line first.
        tensor: the state or output that differs; "" of an error.
        error: the class of the error; "" of a difference.
    """

    rendering: str
    message: str
    tensor: str = ""
    error: str = ""

    @property
    def kind(self) -> tuple[str, str, str]:
        """Equal for differences that are likely to have one cause: all differences of a rendering's values, errors
        of one class and of one text, names and numbers apart."""
        if not self.error:
            return self.rendering, "", ""
        text = re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "*", self.message.splitlines()[0])
        codes = sorted(set(re.findall(r"%(?:Warning|Error)[-\w]*|\[-W[-\w=]*\]", self.message)))
        return self.rendering, self.error, " ".join([text, *codes])

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.rendering}: {self.message}"


def first_difference(
    rendering: str,
    stimulus: Stimulus,
    max_steps: int,
    expected: Expected,
    states: dict[str, np.ndarray],
    outputs: dict[str, np.ndarray],
) -> Difference | None:
    """Compare the runs of a stimulus: states (R, longest, *shape) after every sample used, outputs (R, 1) of results.

    Returns:
        The earliest sample's first tensor in the order of the state words; outputs come after all states.
    """
    runs = stimulus.runs(max_steps)
    found = None
    for name, wanted in expected.states.items():
        wrong = np.asarray(states[name]) != wanted
        wrong = wrong.reshape(*wrong.shape[:2], -1)
        wrong &= (np.arange(wrong.shape[1]) < runs.length[:, None])[..., None]
        if wrong.any():
            run, step, index = (int(v) for v in min(np.argwhere(wrong).tolist(), key=lambda at: (at[1], at[0])))
            if found is None or step < found[0]:
                pair = [int(v.reshape(*v.shape[:2], -1)[run, step, index]) for v in (wanted, np.asarray(states[name]))]
                found = step, run, name, index, pair
    if found:
        step, run, name, index, (want, got) = found
        return Difference(
            rendering, f"window {run}, sample {step}, state {name}[{index}]: expected {want}, found {got}", name
        )
    closed = runs.closing >= 0
    for name in ("energy", "log_variance"):
        wanted, got = (np.asarray(v).reshape(len(runs)) for v in (getattr(expected, name), outputs[name]))
        wrong = np.flatnonzero((wanted != got) & closed)
        if len(wrong):
            at = int(wrong[0])
            return Difference(rendering, f"window {at}, {name}: expected {wanted[at]}, found {got[at]}", name)
    return None
