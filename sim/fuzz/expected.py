"""What the int64 reference executor makes of a stimulus: the integers that every rendering must give."""

from __future__ import annotations

import numpy as np

from venom_hw.codegen.stimulus import Stimulus
from venom_hw.codegen.vectors import Expected
from venom_hw.datapath.golden import run_by_step
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.reference import run_step


def reference(datapath: Datapath, stimulus: Stimulus) -> Expected:
    """Results and states of the runs of a stimulus, from the reference executor."""
    samples, lengths = stimulus.windows(datapath.step.max_steps)
    history = run_by_step(datapath.step, samples)
    states = {s: np.stack(history[s], axis=1) for s, _ in datapath.step.states}
    rows = np.arange(len(lengths))
    head = run_step(
        datapath.head, {n.name: states[n.name][rows, lengths - 1] for n in datapath.head.inputs}, {}
    )
    return Expected(head.outputs["energy"], head.outputs["log_variance"], states)
