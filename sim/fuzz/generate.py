"""Fuzz cases by number: case k of a seed is the same whatever else runs, as long as the generators are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.fuzz.case import FuzzCase
from sim.fuzz.options import random_options
from sim.fuzz.random_graph import random_pulses, small_datapath
from sim.fuzz.venom import random_venom

WINDOWS = 12
VENOM_EVERY = 4
"""One case in so many is a VENOM configuration, the others are random graphs."""


def random_case(seed: int, number: int) -> FuzzCase:
    """Case `number` of a run with this seed."""
    rng = np.random.default_rng([seed, number])
    kind = "venom" if number % VENOM_EVERY == 0 else "graph"
    datapath = random_venom(rng) if kind == "venom" else small_datapath(rng)
    channels = int(rng.integers(1, 6))
    pulses = random_pulses(rng, windows=WINDOWS, channels=channels, max_steps=datapath.step.max_steps)
    case = FuzzCase(f"{kind}-{seed}-{number}", datapath, tuple(pulses), channels, int(rng.integers(1 << 30)))
    options = random_options(rng)
    if kind == "venom" and options.get("head") != "parallel":
        options["head"] = "serial"  # every VENOM head can be
    return replace(case, options=options)
