"""A Vitis HLS project of a datapath: C++ for the engine and the head, scripts, test bench, manifest.

`render_project` writes the folder; `venom_hw.codegen.csim` builds and runs its C simulation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np

from venom_hw.atomic import write_atomically
from venom_hw.codegen.cost import estimate
from venom_hw.codegen.cpp_types import Tensor
from venom_hw.codegen.engine_code import EngineCode, engine_code
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.names import Names
from venom_hw.codegen.pragmas import check_source
from venom_hw.codegen.stage_code import GraphCode, render_graph
from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath.graph import Graph, Node

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates" / "hls"
HEADERS = ROOT / "hls"
MANIFEST_FORMAT = "venom-hw/hls-project/1"
OUTPUTS = ("energy", "log_variance")


@dataclass(frozen=True)
class Project:
    """A rendered project.

    Attributes:
        folder: where it lies.
        manifest: the content of manifest.json: constants, layout of the state words, costs.
        written: files whose content changed with this rendering.
    """

    folder: Path
    manifest: Mapping[str, object]
    written: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def sources(self) -> list[Path]:
        """C++ files of the design (the DPI shell compiles these; the csim adds tb/tb.cpp)."""
        return [self.folder / "src" / name for name in self.manifest["sources"]]

    @property
    def include_dirs(self) -> list[Path]:
        """Folders of the project's own headers; the ap_types come on top (`csim.ap_types_folder`)."""
        return [self.folder / "src", self.folder / "csim"]

    @property
    def channels(self) -> int:
        return self.manifest["channels"]

    @property
    def revisit(self) -> int:
        return self.manifest["revisit"]

    @property
    def max_steps(self) -> int:
        return self.manifest["max_steps"]


def load_project(folder: str | Path) -> Project:
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
    return Project(Path(folder).resolve(), manifest)


def render_project(
    datapath,
    board,
    out: str | Path,
    *,
    channels: int | None = None,
    revisit: int | None = None,
    name: str | None = None,
    head_interval: int | None = None,
    fifo_depth: int | None = None,
) -> Project:
    """Write the project of a datapath for a board.

    Args:
        datapath: `.step`, `.head` graphs and `.meta`.
        board: a `venom_hw.boards.Board`.
        out: the project's folder; files of equal content are left alone, others replaced atomically.
        channels: N; by default what the board's operating point gives at the model's rate.
        revisit: D in clocks; by default `channels` (round robin).
        name: of the model, for titles; meta["model"] by default.
        head_interval: clocks between two windows of the head (its operators are shared over as many); by default
            the largest power of two that keeps up with windows of max_steps samples back to back.
        fifo_depth: finished windows that wait for the head; by default one for each channel.

    Raises:
        CodegenError: the datapath does not have the contract's ports, or a number makes no sense.
    """
    step, head, meta = datapath.step, datapath.head, dict(datapath.meta)
    point = None
    if channels is None or revisit is None:
        rate = (meta.get("window") or {}).get("rate_hz")
        if rate is None:
            raise CodegenError("the datapath's meta has no window.rate_hz: give channels and revisit")
        point = board.operating_point(float(rate))
    channels = int(point.channels if channels is None else channels)
    revisit = int(channels if revisit is None else revisit)
    if channels < 1 or revisit < 1:
        raise CodegenError(f"channels = {channels}, revisit = {revisit}: both must be at least 1")
    name = name or str(meta.get("model", "venom"))
    head_interval = int(head_interval or 1 << max(0, step.max_steps.bit_length() - 1))
    fifo_depth = int(fifo_depth or max(2, channels))

    step_code, head_code = _graphs(step, head, head_interval)
    engine = engine_code(step, step_code, head_code, channels=channels, revisit=revisit, fifo_depth=fifo_depth,
                         head_interval=head_interval)  # fmt: skip
    manifest = {
        "format": MANIFEST_FORMAT,
        "top": "venom",
        "model": name,
        "datapath": datapath.hash,
        "board": board.name,
        "part": board.part,
        "channels": channels,
        "channel_bits": channel_bits(channels),
        "revisit": revisit,
        "max_steps": step.max_steps,
        "fifo_depth": fifo_depth,
        "head_interval": head_interval,
        "states": [state_entry(node) for node in step.state_nodes],
        "outputs": [state_entry(head[node]) | {"name": output} for output, node in head.outputs],
        "counters": ["abandoned_count", "overlong_count", "dropped_count"],
        "sources": ["step.cpp", "head.cpp", "venom.cpp"],
        "cost": estimate(datapath, channels=channels, fifo_depth=fifo_depth, head_interval=head_interval),
    }
    files = _files(step_code, head_code, engine, manifest, board)
    out = Path(out).resolve()
    return Project(out, manifest, write_files(out, files))


def state_entry(node: Node) -> dict:
    """A tensor for the manifest: name, shape and type."""
    frac = np.asarray(node.type.frac)
    frac = int(frac) if frac.ndim == 0 else np.broadcast_to(frac, node.shape).tolist()
    return {
        "name": node.name,
        "shape": list(node.shape),
        "signed": node.type.signed,
        "width": node.type.width,
        "frac": frac,
    }


def _graphs(step: Graph, head: Graph, head_interval: int) -> tuple[GraphCode, GraphCode]:
    """Both graphs as C++; the head's inputs are states or outputs of the step."""
    check_ports(step, head)
    following = dict(step.states)
    roots = dict(step.states)
    for node in head.inputs:
        if node.name not in following:
            roots[node.name] = dict(step.outputs)[node.name]
    names = Names()
    step_code = render_graph(
        step,
        roots,
        prefix="step",
        names=names,
        ident=names,
        interval=1,
        given=[step.inputs[0].name, *(n.name for n in step.state_nodes)],
    )

    def ident(name: str) -> str:
        mine = step.by_name.get(name)
        node = head.by_name.get(name)
        shared = mine is not None and node is not None and node.op == "input" and mine.op == "state"
        if (
            mine is None
            and not names.known(name)
            or shared
            and mine.type == node.type
            and mine.shape == node.shape
        ):
            return names(name)
        return names(name if mine is None else f"head {name}")

    head_code = render_graph(
        head,
        {output: node for output, node in head.outputs if output in OUTPUTS},
        prefix="head",
        names=names,
        ident=ident,
        interval=head_interval,
        given=[n.name for n in head.inputs],
    )
    return step_code, head_code


def check_ports(step: Graph, head: Graph) -> None:
    """Whether a step and a head fit the contracts' streams.

    Raises:
        CodegenError: the step's input is no (I, Q), the head reads what the step does not give, an output is missing.
    """
    if len(step.inputs) != 1 or step.numel(step.inputs[0].name) != 2 or step.inputs[0].type.width != 16:
        shown = ", ".join(f"{n.name} {n.shape} {n.type}" for n in step.inputs)
        raise CodegenError(
            f"step graph: the stream carries one input of two 16-bit words (I, Q), not {shown}"
        )
    offered = {*dict(step.states), *dict(step.outputs)}
    missing = [n.name for n in head.inputs if n.name not in offered]
    if missing:
        raise CodegenError(f"head graph: input {missing[0]!r} is no state and no output of the step graph")
    if not head.inputs:
        raise CodegenError("head graph: it has no input")
    outputs = dict(head.outputs)
    for wanted in OUTPUTS:
        if wanted not in outputs:
            raise CodegenError(f"head graph: output {wanted!r} is missing; it has {', '.join(outputs)}")
        node = head[outputs[wanted]]
        if head.numel(node.name) != 1 or node.type.width > 16:
            raise CodegenError(
                f"head graph: output {wanted!r} {node.shape} {node.type} is no word of 16 bits"
            )


def _files(step: GraphCode, head: GraphCode, engine: EngineCode, manifest: dict, board) -> dict[str, str]:
    """Content of every file by its path in the project."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made_from = f"{manifest['model']} (datapath {manifest['datapath'][:12]})"
    banner = f"{made_from}, generated by VENOM-HW: change the model, not this file."
    render = lambda template, **given: env.get_template(template).render(banner=banner, **given)  # noqa: E731
    groups, seen = [], set()
    for title, code in (
        ("Tier 1, the step of every sample.", step),
        ("Tier 2, the head of every window.", head),
    ):
        tensors: list[Tensor] = [t for t in code.tensors.values() if t.typedef not in seen]
        seen |= {t.typedef for t in tensors}
        groups.append({"title": title, "tensors": tensors})
    files = {"src/types.h": render("types.h.j2", groups=groups)}
    for prefix, code, title in (
        (
            "step",
            step,
            "Tier 1: one step of the recurrent network. Feed-forward: a sample enters every clock.",
        ),
        (
            "head",
            head,
            "Tier 2: the energy head, once a window; its operators are shared over the clocks between.",
        ),
    ):
        roms = {
            "tables": "Tables: raw integers, the address is the last index.",
            "weights": "Weights, constants, shifts.",
        }
        for kind, about in roms.items():
            if getattr(code, kind):
                files[f"src/{prefix}_{kind}.h"] = render(
                    "roms.h.j2",
                    title=about,
                    guard=f"VENOM_{prefix}_{kind}_H".upper(),
                    roms=getattr(code, kind),
                )
        given = {"code": code, "title": title, "prefix": prefix, "guard": f"VENOM_{prefix}_H".upper()}
        files[f"src/{prefix}.h"] = render("graph.h.j2", **given)
        files[f"src/{prefix}.cpp"] = render("graph.cpp.j2", **given)
    files["src/venom.h"] = render("venom.h.j2", **manifest)
    files["src/venom.cpp"] = render("venom.cpp.j2", **manifest | vars(engine))
    files["src/venom_simulation.inc"] = render("venom_simulation.inc.j2", **vars(engine))
    for name in ("venom_fixed.h", "venom_stream.h", "venom_simulation.h"):
        files[f"src/{name}"] = (HEADERS / name).read_text(encoding="utf-8")
    files["csim/ap_axi_sdata.h"] = (HEADERS / "csim" / "ap_axi_sdata.h").read_text(encoding="utf-8")
    files["tb/tb.cpp"] = (HEADERS / "csim" / "tb.cpp").read_text(encoding="utf-8")
    sources = [f"src/{name}" for name in manifest["sources"]]
    files["hls_config.cfg"] = render("hls_config.cfg.j2", **manifest, b=board, files=sources)
    files["run_hls.tcl"] = render("run_hls.tcl.j2", **manifest, b=board, files=sources)
    files["README.md"] = render("README.md.j2", **manifest, b=board)
    files["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    for path, text in files.items():
        if path.startswith(("src/", "tb/", "csim/")):
            check_source(text, path)
    return files


def write_files(folder: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    """Write files atomically where their content differs from what is there; those written."""
    written = []
    for path, text in files.items():
        target = folder / path
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        written.append(write_atomically(target, text))
    for stale in (folder / "src").glob("*"):
        if f"src/{stale.name}" not in files and stale.suffix in (".h", ".cpp", ".inc"):
            stale.unlink()
    return tuple(written)
