"""How the RTL of a case is lowered: strategies by name, reuse factor and head, drawn at random, kept in the case."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from venom_hw.codegen.rtl.strategies import CHOICES, Strategies

HEADS = ("any", "parallel")
"""any: serial where the head can be, else a pipeline."""
INTERVALS = (1, 1, 1, 2, 4, 8)
SMALL_TABLES = (0, 4, 6, 8)


def random_options(rng: np.random.Generator) -> dict[str, object]:
    """Options of a case; the defaults half of the time."""
    options: dict[str, object] = {}
    if rng.random() < 0.5:
        return options
    for strategy, names in CHOICES.items():
        options[strategy] = str(rng.choice(names))
    options["small_table"] = int(rng.choice(SMALL_TABLES))
    options["head"] = str(rng.choice(HEADS))
    options["interval"] = int(rng.choice(INTERVALS))
    return options


def strategies_of(options: Mapping[str, object]) -> Strategies:
    """The strategies among the options; those left out keep their default.

    Raises:
        CodegenError: a strategy or a name of one that does not exist.
    """
    return Strategies(**{name: options[name] for name in (*CHOICES, "small_table") if name in options})


def interval_of(options: Mapping[str, object]) -> int:
    """Clocks between two samples (the reuse factor)."""
    return int(options.get("interval", 1))
