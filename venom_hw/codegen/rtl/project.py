"""A folder of SystemVerilog of a datapath: engine, step, head, calibration, manifest, a script for Vivado."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from venom_hw.atomic import write_atomically
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import check_ports, state_entry
from venom_hw.codegen.rtl.chart import draw_chart
from venom_hw.codegen.rtl.engine import Engine, needed_fifo_depth, plan_engine
from venom_hw.codegen.rtl.engine_files import TEMPLATES, engine_files
from venom_hw.codegen.rtl.parts import head_unit, needed, pipeline_of, with_calibration
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.codegen.stimulus import channel_bits

MANIFEST_FORMAT = "venom-hw/rtl-project/1"
CALIBRATIONS = ("auto", "loadable", "constant")
HEADS = ("serial", "parallel")
CHART = "stages.svg"
INTERVALS = (1, 2, 4, 8)


@dataclass(frozen=True)
class RtlProject:
    """Rendered RTL.

    Attributes:
        folder: where it lies.
        manifest: the content of manifest.json.
        files: Verilog sources by name, in order of compilation, the top module last.
        written: files whose content changed with this rendering.
    """

    folder: Path
    manifest: Mapping[str, object] = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    top: str = "venom"
    written: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def sources(self) -> list[Path]:
        """SystemVerilog files, top last. Simulations add sim/state_trace.sv, or define SYNTHESIS."""
        return [self.folder / name for name in self.files]

    @property
    def memory_files(self) -> list[Path]:
        """Contents of tables; the sources read them by bare name, from the directory of the simulation."""
        return [self.folder / name for name in self.manifest["memory_files"]]

    @property
    def channels(self) -> int:
        return self.manifest["channels"]

    @property
    def revisit(self) -> int:
        return self.manifest["revisit"]

    @property
    def max_steps(self) -> int:
        return self.manifest["max_steps"]

    @property
    def fifo_depth(self) -> int:
        return self.manifest["fifo_depth"]

    @property
    def latency(self) -> int:
        """Clocks from a window's last beat to its result at an idle head."""
        return self.manifest["latency"]


def load_rtl(folder: str | Path) -> RtlProject:
    """A project that was rendered before.

    Raises:
        CodegenError: no manifest.json of this version.
    """
    path = Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CodegenError(f"{path}: no readable project manifest: {error}") from None
    if manifest.get("format") != MANIFEST_FORMAT:
        raise CodegenError(f"{path}: format {manifest.get('format')!r}, expected {MANIFEST_FORMAT!r}")
    return RtlProject(Path(folder).resolve(), manifest, tuple(manifest["sources"]), manifest["top"])


def render_rtl(
    datapath,
    board,
    out: str | Path,
    *,
    channels: int | None = None,
    revisit: int | None = None,
    name: str | None = None,
    interval: int = 1,
    head: str = "serial",
    head_interval: int | None = None,
    fifo_depth: int | None = None,
    strategies: Strategies | None = None,
    calibration: str = "auto",
    chart: bool = False,
) -> RtlProject:
    """Write the RTL of a datapath for a board.

    Args:
        datapath: `.step`, `.head` graphs and `.meta`.
        board: a `venom_hw.boards.Board`.
        out: the project's folder; files of equal content are left alone, others replaced atomically.
        channels: N >= 1; by default what the board's operating point gives at the model's rate.
        revisit: declared least distance D in clocks between two beats of a channel; by default the least possible.
        name: of the model, for titles; meta["model"] by default.
        interval: clocks a sample (1, 2, 4, 8): the step's multipliers are used as many times.
        head: "serial" (time-multiplexed) or "parallel" (one pipeline). A head that cannot be serial is parallel,
            unless `head_interval` is given.
        head_interval: clocks between two windows of a serial head at most; `default_head_interval` by default.
        fifo_depth: results that wait in the engine at most; by default `engine.default_fifo_depth`.
        strategies: how operations are lowered.
        calibration: "loadable" (affine and energy scale of every channel through AXI4-Lite), "constant", or "auto":
            loadable where the network begins with an affine or ends with gain and offset.
        chart: draw the step's stages over the clocks too, `stages.svg`.

    Raises:
        CodegenError: the datapath does not have the contract's ports, or a number makes no sense.
    """
    meta = dict(datapath.meta)
    if calibration not in CALIBRATIONS:
        raise CodegenError(f"calibration {calibration!r}; one of {', '.join(CALIBRATIONS)}")
    if head not in HEADS:
        raise CodegenError(f"head {head!r}; one of {', '.join(HEADS)}")
    if interval not in INTERVALS:
        raise CodegenError(f"interval {interval}: one of {', '.join(map(str, INTERVALS))} clocks a sample")
    if channels is None:
        rate = (meta.get("window") or {}).get("rate_hz")
        if rate is None:
            raise CodegenError("the datapath's meta has no window.rate_hz: give channels")
        channels = board.operating_point(float(rate)).channels
    if channels < 1:
        raise CodegenError(f"channels = {channels}: at least 1")
    name = name or str(meta.get("model", "venom"))
    check_ports(datapath.step, datapath.head)
    step_graph, step_loaded, head_graph, head_loaded = with_calibration(datapath, calibration)
    step_graph, head_graph = needed(step_graph, head_graph)
    banner = f"{name} (datapath {datapath.hash[:12]}), generated by VENOM-HW: change the model, not this file."

    strategies = strategies or Strategies()
    step = pipeline_of(step_graph, "step", strategies, interval)
    head, unit, fallback = head_unit(
        head_graph, head, head_interval, step_graph.max_steps * interval, channel_bits(channels), banner, strategies
    )
    engine = plan_engine(
        step_graph, step, unit, channels=channels, revisit=revisit, fifo_depth=fifo_depth,
        loadable=step_loaded, head_loadable=head_loaded,
    )  # fmt: skip
    project = write_rtl(datapath, board, engine, Path(out), name=name, banner=banner, head=head, head_fallback=fallback)
    if chart:
        draw_chart(step, project.folder / CHART, states=dict(step_graph.states))
    return project


def write_rtl(
    datapath, board, engine: Engine, out: Path, *, name: str, banner: str, head: str = "serial",
    head_fallback: str | None = None,
) -> RtlProject:
    """Write the files of a planned engine; `head_fallback`: why its head is not serial though it was to be."""
    own = engine_files(engine, banner)
    made = {**engine.head.files, **engine.step.files}
    clash = [f for f in own if f in made and made[f] != own[f]]
    if clash:
        raise CodegenError(f"two modules want the file {clash[0]}")
    top = own.pop("venom.sv")
    files = {**made, **own, "venom.sv": top}
    sources = [f for f in files if f.endswith(".sv")]
    manifest = _manifest(datapath, board, engine, name, head) | {
        "head_fallback": head_fallback,
        "sources": sources,
        "memory_files": [f for f in files if f.endswith(".mem")],
    }
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    for file in ("vivado_project.tcl", "README.md"):
        files[file] = env.get_template(f"{file}.j2").render(banner=banner, b=board, **manifest)
    files["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    out = out.resolve()
    return RtlProject(out, manifest, tuple(sources), "venom", write_files(out, files))


def write_files(folder: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    """Write files atomically where their content differs from what is there; those written. Stale sources go."""
    written = []
    for path, text in files.items():
        target = folder / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            written.append(write_atomically(target, text))
    for stale in folder.glob("*"):
        if stale.name not in files and stale.suffix in (".sv", ".mem"):
            stale.unlink()
    return tuple(written)


def _fifo_needed(e: Engine) -> int | None:
    """Places that continuous windows need; None: the head does not keep up with them for ever, no depth is enough."""
    try:
        return needed_fifo_depth(e)
    except CodegenError:
        return None


def _manifest(datapath, board, e: Engine, name: str, head: str) -> dict:
    step = datapath.step
    return {
        "format": MANIFEST_FORMAT,
        "top": "venom",
        "model": name,
        "datapath": datapath.hash,
        "board": board.name,
        "part": board.part,
        "clock_mhz": board.design_mhz,
        "channels": e.channels,
        "channel_bits": e.channel_bits,
        "interval": e.interval,
        "revisit": e.revisit,
        "distances": e.distances,
        "max_steps": e.max_steps,
        "fifo_depth": e.fifo_depth,
        "fifo_needed": _fifo_needed(e),
        "head": head,
        "head_interval": e.head.interval,
        "latency": e.latency,
        "clocks": {
            "step": e.step_clock,
            "step_latency": e.step.latency,
            "head_latency": e.head.latency,
            "window_fifo": e.fifo_clock,
            "memories": {m.name: {"read": m.read_clock, "write": m.write_clock} for m in e.memories},
        },
        "states": [state_entry(node) for node in step.state_nodes],
        "outputs": [state_entry(datapath.head[node]) | {"name": o} for o, node in datapath.head.outputs],
        "counters": ["abandoned_count", "ignored_count", "overlong_count", "dropped_count", "revisit_error"],
        "calibration": None if e.calibration is None else e.calibration.to_dict(),
        "state_bits": e.state_bits,
        "register_bits": e.step.register_bits,
        "stages": [dict(stage) for stage in e.step.stages],
        "stats": {"step": dict(e.step.stats), "head": dict(e.head.stats)},
    }
