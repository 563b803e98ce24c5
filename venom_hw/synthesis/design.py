"""One engine through synthesis: the generated RTL of a model at two sizes, its head, its step, and alkaid's step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from venom_hw.boards import Board
from venom_hw.codegen.rtl.dispatcher import NAME as DISPATCHER
from venom_hw.codegen.rtl.dispatcher import Dispatcher, write_triggered
from venom_hw.codegen.rtl.project import RtlProject, render_rtl
from venom_hw.codegen.rtl.strategies import CHOICES, Strategies
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.model import Datapath
from venom_hw.synthesis.alkaid_step import AlkaidStep, render_alkaid, synthesise_alkaid
from venom_hw.synthesis.area import Area, synthesise
from venom_hw.synthesis.counts import Counts
from venom_hw.synthesis.errors import SynthesisError

HEAD, STEP = "head", "step"
SHARED_ENGINES = 4
"""Engines that share the readout's pixels in the second budget: an undecimated 1 MHz stream of each pixel."""


@dataclass(frozen=True)
class Measured:
    """What was synthesised of a model.

    Attributes:
        areas: by channels of the engine, the whole readout's first (xcup).
        packed: the same for xc7, whose DSP blocks Yosys packs; only the first size.
        projects: the RTL, by channels.
        alkaid, alkaid_area: alkaid's version of the step.
        dispatcher, dispatcher_area: what cuts triggered windows out of continuous samples, in front of the engine.
    """

    areas: Mapping[int, Area]
    packed: Area | None
    projects: Mapping[int, RtlProject]
    alkaid: AlkaidStep | None = None
    alkaid_area: Area | None = None
    dispatcher: Dispatcher | None = None
    dispatcher_area: Area | None = None

    @property
    def largest(self) -> Area:
        return next(iter(self.areas.values()))


def measure(
    datapath: Datapath,
    board: Board,
    out: Path,
    *,
    name: str,
    cache: Path,
    packed: bool = True,
    alkaid: bool = True,
    jobs: int | None = None,
    options: Mapping[str, object] | None = None,
    say: Callable[[str], None] = print,
) -> Measured:
    """Render and synthesise everything.

    Args:
        out: folder for the RTL (`rtl_<channels>`), alkaid's Verilog and Yosys' scripts.
        packed: also for xc7.
        alkaid: also alkaid's version of the step.
        options: of `render_rtl`.

    Raises:
        SynthesisError: Yosys stopped, or alkaid's step is not equal to the golden one.
        CodegenError: no RTL for this datapath.
    """
    sizes = (board.pixels, -(-board.pixels // SHARED_ENGINES))
    projects, areas = {}, {}
    for channels in dict.fromkeys(sizes):
        say(f"  one engine for {channels:,} channels ...")
        project = render_rtl(datapath, board, out / f"rtl_{channels}", channels=channels, name=name, **(options or {}))
        projects[channels] = project
        areas[channels] = engine_area(project, out / f"yosys_{channels}", cache=cache, jobs=jobs)
    dispatcher, dispatcher_area = dispatcher_of(datapath, projects[sizes[0]], out, cache=cache, jobs=jobs)
    packed_area = None
    if packed:
        say("  the same for 7-series, for its packing of DSP registers ...")
        first = projects[sizes[0]]
        packed_area = engine_area(first, out / "yosys_xc7", cache=cache, jobs=jobs, family="xc7")
    step = area = None
    if alkaid:
        say("  the same step by alkaid alone ...")
        step = render_alkaid(step_of(datapath), out / "alkaid")
        area = synthesise_alkaid(step, out / "yosys_alkaid", cache=cache, jobs=jobs)
    return Measured(areas, packed_area, projects, step, area, dispatcher, dispatcher_area)


def named_strategies(given: Sequence[str]) -> Strategies:
    """Strategies of texts like "products=dsp_packed".

    Raises:
        SynthesisError: no such form or strategy.
        CodegenError: the strategy has no such value.
    """
    chosen = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in CHOICES:
            raise SynthesisError(f"strategy {text!r}; expected NAME=VALUE with a name of {', '.join(CHOICES)}")
        chosen[name] = value
    return Strategies(**chosen)


def step_of(datapath: Datapath) -> Graph:
    """The step graph with only the outputs that the head reads, as the engine has it."""
    read = {node.name for node in datapath.head.inputs} - {state for state, _ in datapath.step.states}
    return replace(datapath.step, outputs=tuple((o, n) for o, n in datapath.step.outputs if o in read))


def engine_area(project: RtlProject, work: Path, **options) -> Area:
    """Synthesise a project; head and step are units of their own."""
    sources = [*project.sources, *project.memory_files]
    return synthesise(sources, project.top, work, keep=(HEAD, STEP), **options)


def dispatcher_of(
    datapath: Datapath, project: RtlProject, out: Path, **options
) -> tuple[Dispatcher | None, Area | None]:
    """The dispatcher in front of an engine at the model's rate, and its area; None where the rate leaves none."""
    made = write_triggered(project.folder, project.manifest, datapath.meta.get("window") or {})
    if made is None:
        return None, None
    source = project.folder / "triggered" / f"{DISPATCHER}.sv"
    return made, synthesise([source], DISPATCHER, out / "yosys_dispatcher", progress=False, **options)


def part(area: Area, name: str) -> tuple[Counts, int]:
    """Counts and levels of the engine without its head ("engine"), of the head or of the step alone.

    Raises:
        SynthesisError: the design has no such part.
    """
    unit = HEAD if name == "engine" else name
    if unit not in area.design.units:
        raise SynthesisError(f"{area.design.top} has no module {unit!r}")
    inside = area.design.below(unit)
    counts = area.total(unit)
    names = list(inside)
    if name == "engine":
        counts = area.total() - counts
        names = [n for n, times in area.design.instances().items() if times and n not in inside]
        return counts, max(area.timings[n].own.levels for n in names) if area.timings else 0
    return counts, area.levels(unit) if area.timings else 0
