"""Netlists that can be simulated: a design as LUTs, carry chains, shift registers and flip-flops, in Verilog."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from venom_hw.synthesis.area import SOFT, map_design
from venom_hw.synthesis.errors import SynthesisError
from venom_hw.synthesis.units import cut


def cell_models() -> Path:
    """Yosys' simulation models of the cells in such a netlist.

    Raises:
        SynthesisError: pyosys is not installed.
    """
    spec = find_spec("pyosys")
    if spec is None or not spec.submodule_search_locations:
        raise SynthesisError("pyosys is not installed; it comes with pip install -e .[dev]")
    return Path(spec.submodule_search_locations[0]) / "share" / "xilinx" / "cells_sim.v"


def simulation_netlist(
    sources: Sequence[Path],
    top: str,
    work: Path,
    *,
    keep: Sequence[str] = (),
    cache: Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Synthesise a design to cells without hard blocks; the Verilog files to simulate, the top module's last.

    Args:
        sources: SystemVerilog and `.mem` files; the netlist contains their contents.
        work: folder for scripts and logs.
        keep: modules that stay modules, small as they may be.

    Raises:
        SynthesisError: Yosys stopped.
    """
    design = cut(sources, top, work, keep=keep)
    files, _ = map_design(design, work, SOFT, cache=cache, jobs=jobs, progress=progress)
    return [cell_models(), *(files[name] for name in design.bottom_up())]
