"""What the scheduler and the renderer hand on: a feed-forward pipeline, its ports and their clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PipelinePort:
    """A packed port of a pipeline: element k (row-major) in bits [k*width +: width].

    Attributes:
        clock: an input must hold sample t's value in clock t + clock, an output does (an II > 1 pipeline: for II
            clocks from there on, sample t entering at clock t * II).
    """

    name: str
    shape: tuple[int, ...]
    width: int
    signed: bool
    clock: int
    note: str = ""

    @property
    def words(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bits(self) -> int:
        return self.width * self.words


@dataclass(frozen=True)
class Pipeline:
    """A rendered pipeline: module `name` with port `clk` (and `phase`, sample entry = 0, when interval > 1).

    Attributes:
        interval: II, clocks between two samples.
        latency: clocks from the first input to the last output.
        inputs, outputs: ports by name of the graph's input, state, output, next state.
        files: text by file name (`*.sv`, top module last; `*.mem` for tables, `$readmemh` by bare name).
        register_bits: flip-flop bits of the pipeline registers and balancing delays, as scheduled.
        stages: for the chart and the report: one dict a stage with name, first, last (clocks), cells, register_bits,
            profile (register bits by clock); "between stages" is what waits in the top module.
        stats: counts by lowering: multipliers_dsp, multipliers_lut, roms, rom_bits, cells_<kind>, delay_bits, and the
            register bits that lie in multipliers and memories (dsp_register_bits, bram_register_bits).
    """

    name: str
    interval: int
    latency: int
    inputs: Mapping[str, PipelinePort]
    outputs: Mapping[str, PipelinePort]
    files: Mapping[str, str] = field(repr=False)
    register_bits: int
    stages: tuple[Mapping[str, object], ...] = ()
    stats: Mapping[str, int] = field(default_factory=dict)
