"""The main job: model files -> datapath -> HLS project and RTL, all held to the golden model, one report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from venom_hw import __version__
from venom_hw.atomic import write_atomically
from venom_hw.boards import Board
from venom_hw.codegen.csim import build_csim, run_csim
from venom_hw.codegen.hls_project import Project, render_project
from venom_hw.codegen.rtl.dispatcher import TRIGGER_DELAY
from venom_hw.codegen.rtl.project import CHART, RtlProject
from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule
from venom_hw.codegen.vectors import Expected, write_vectors
from venom_hw.datapath.golden import Golden, WindowResult
from venom_hw.datapath.model import Datapath, save_datapath
from venom_hw.flow.checks import Check, check_qonnx, check_reference
from venom_hw.flow.model_files import ModelFiles
from venom_hw.flow.rtl import check_rtl_cocotb, check_rtl_replay, render_board_rtl, rtl_report
from venom_hw.flow.stimuli import KINDS, CheckWindows, check_windows, measured_pulses
from venom_hw.interchange.importer import import_venom

FORMAT = "venom-hw/report/1"
PROJECT_WINDOWS = 48
"""Windows of the vector file that stays in the project, for whoever runs its C simulation in Vitis."""
SIMULATED = ("hls_cocotb", "rtl_verilator", "rtl_cocotb")
"""Checks that need Verilator."""
BATCH = 250
"""Windows that are traced at once; bounds the memory."""


@dataclass(frozen=True)
class Options:
    """What to build and how much to check."""

    board: Board
    files: ModelFiles
    out: Path
    windows: int = 1000
    seed: int = 1
    bench: bool = True
    bench_windows: int = 8
    rtl: bool = True
    channels: int | None = None
    revisit: int | None = None
    trigger_delay: int = TRIGGER_DELAY
    data: Path | None = None


class Phases:
    """Says what is going on, with a clock, and times it."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.seconds = say, {}

    def __call__(self, name: str, text: str, work: Callable):
        self.say(f"  {text} ...")
        start = time.perf_counter()
        result = work()
        self.seconds[name] = round(time.perf_counter() - start, 2)
        return result


def build(options: Options, say: Callable[[str], None] = print) -> dict:
    """Runs the whole job and returns the report (also written to `<out>/report.json`).

    Raises:
        ModelError, ImportRefused, CodegenError, BenchError, DataError: something is missing or malformed.
        A difference between renderings is no exception: it is in the report (`bit_exact`).
    """
    phase = Phases(say)
    out, files = options.out, options.files
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    datapath = phase("import", "reading the QONNX files", lambda: import_venom(files.step, files.head))
    datapath_file = save_datapath(datapath, out / "datapath")
    project = phase(
        "render",
        "generating the HLS project",
        lambda: render_project(
            datapath,
            options.board,
            out / "hls",
            channels=options.channels,
            revisit=options.revisit,
            name=files.name,
        ),
    )
    rtl = None
    if options.rtl:
        rtl = phase(
            "rtl_render",
            "scheduling the pipeline and writing the SystemVerilog",
            lambda: render_board_rtl(options, datapath, out / "rtl"),
        )
    windows = phase("stimuli", f"making {options.windows:,} windows", lambda: make_windows(options, datapath))
    stimulus = interleaved(windows, project, options.seed)
    samples, lengths = stimulus.windows(datapath.step.max_steps)
    golden = Golden(datapath.step, datapath.head)

    checks = phase(
        "qonnx",
        f"executing the QONNX files and the reference on {len(samples):,} windows",
        lambda: check_executions(files, datapath, golden, samples, lengths),
    )
    everything = golden.run(samples, lengths)
    saturations = {
        "pulses": golden.run(windows.samples[windows.kind == 0], windows.lengths[windows.kind == 0]).saturations,
        "all": everything.saturations,
    }
    checks.append(
        phase(
            "hls_csim",
            "compiling the C++ with g++ and running it on the same windows",
            lambda: check_csim(project, datapath, golden, stimulus, samples, lengths, out),
        )
    )
    if options.bench:
        checks.append(
            phase(
                "hls_cocotb",
                "driving the C++ through AXI4-Stream under cocotb and Verilator",
                lambda: check_cocotb(options, datapath, samples[lengths == datapath.step.max_steps], out),
            )
        )
    if options.bench and rtl is not None:
        checks.append(
            phase(
                "rtl_verilator",
                "compiling the RTL with Verilator and running it on the same windows",
                lambda: check_rtl_replay(
                    rtl, datapath, interleaved(windows, rtl, options.seed), out / "sim" / "replay"
                ),
            )
        )
        checks.append(
            phase(
                "rtl_cocotb",
                "driving the RTL through AXI4-Stream under cocotb and Verilator",
                lambda: check_rtl_cocotb(
                    options, datapath, samples[lengths == datapath.step.max_steps], out / "sim"
                ),
            )
        )
    for check in checks:
        check.seconds = check.seconds or phase.seconds.get(check.name, 0.0)
    phase.seconds["total"] = round(time.perf_counter() - start, 2)
    report = make_report(options, datapath, project, rtl, checks, saturations, phase.seconds, datapath_file)
    report["golden_engine"] = everything.engine
    write_atomically(out / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def make_windows(options: Options, datapath: Datapath) -> CheckWindows:
    """The windows to check with: the user's pulses or simulated ones, and stress windows."""
    pulses = None if options.data is None else measured_pulses(datapath, options.data)
    return check_windows(
        datapath, options.windows, folder=options.out / "pulses", seed=options.seed, pulses=pulses
    )


def interleaved(windows: CheckWindows, project: Project | RtlProject, seed: int) -> Stimulus:
    """All windows on a quarter of the channels or fewer, so that many follow others on their channel."""
    rng = np.random.default_rng(seed)
    count = len(windows.samples)
    used = max(1, min(project.channels, count) // 4)
    channels = rng.choice(project.channels, used, replace=False)
    owner = channels[rng.integers(0, used, count)]
    pulses = [Pulse(int(c), s[:n]) for c, s, n in zip(owner, windows.samples, windows.lengths, strict=True)]
    return schedule(pulses, channels=project.channels, revisit=project.revisit, seed=seed)


def check_executions(files, datapath, golden, samples, lengths) -> list[Check]:
    """The QONNX files and the reference executor, in batches."""
    qonnx, reference = Check("qonnx"), Check("reference")
    progress = tqdm(total=2 * samples.shape[1] * -(-len(samples) // BATCH), unit="step", leave=False, disable=None)

    def counted(iterable):
        for item in iterable:
            yield item
            progress.update()

    for at in range(0, len(samples), BATCH):
        part, length = samples[at : at + BATCH], lengths[at : at + BATCH]
        trace = golden.run(part, length, trace=True)
        clock = time.perf_counter()
        check_qonnx(files, datapath, trace, part, length, counted, qonnx)
        qonnx.seconds, clock = qonnx.seconds + time.perf_counter() - clock, time.perf_counter()
        check_reference(datapath, trace, part, length, counted, reference)
        reference.seconds += time.perf_counter() - clock
    progress.close()
    return [qonnx, reference]


def check_csim(project, datapath, golden, stimulus, samples, lengths, out: Path) -> Check:
    """The generated C++ compiled with g++: all windows interleaved, every state word after every beat."""
    check = Check("hls_csim")
    expected = Expected.of(datapath, golden.run(samples, lengths, trace=True))
    write_small_vectors(project, datapath, golden, stimulus)
    vectors = write_vectors(out / "check" / "vectors.bin", stimulus, expected, max_steps=datapath.step.max_steps)
    binary = build_csim(project)
    result = run_csim(project, vectors, binary=binary)
    check.windows, check.mismatches = result.windows, result.mismatches
    check.integers = result.compared
    check.first = "" if result.first is None else str(result)
    check.notes = {"beats": result.beats, "channels": project.channels}
    if not result.mismatches:
        vectors.unlink()
    return check


def write_small_vectors(project: Project, datapath: Datapath, golden: Golden, stimulus: Stimulus) -> Path:
    """tb/vectors.bin: the first windows of the check, for the project's own csim and cosim."""
    runs = stimulus.runs(datapath.step.max_steps)
    samples, lengths = stimulus.windows(datapath.step.max_steps)
    pulses = [
        Pulse(int(runs.channel[i]), samples[i, : lengths[i]]) for i in range(min(PROJECT_WINDOWS, len(samples)))
    ]
    small = schedule(pulses, channels=stimulus.channels, revisit=stimulus.revisit, seed=0)
    result: WindowResult = golden.run(*small.windows(datapath.step.max_steps), trace=True)
    expected = Expected.of(datapath, result)
    return write_vectors(project.folder / "tb" / "vectors.bin", small, expected, max_steps=datapath.step.max_steps)


def check_cocotb(options: Options, datapath: Datapath, pulses: np.ndarray, out: Path) -> Check:
    """The same C++ behind the DPI shell, driven by the cocotb bench."""
    from sim.hls_bench import CHANNELS, default_revisit, run_bench

    check = Check("hls_cocotb")
    project = render_project(
        datapath,
        options.board,
        out / "sim" / "hls",
        channels=CHANNELS,
        revisit=default_revisit(CHANNELS),
        name=options.files.name,
    )
    result = run_bench(
        project, datapath, out / "sim", windows=options.bench_windows, seed=options.seed, pulses=pulses[:64]
    )
    check.windows, check.mismatches = result.results, result.mismatches
    check.integers = result.state_words + 2 * result.results
    check.first = next((d for s in result.scenarios for d in s.differences), "")
    check.notes = {"scenarios": [s.name for s in result.scenarios], "channels": CHANNELS}
    return check


def make_report(
    options, datapath, project, rtl: RtlProject | None, checks, saturations, seconds, datapath_file
) -> dict:
    """The machine-readable report."""
    cost, files = project.manifest["cost"], options.files
    types = {n.name: n.type for n in (*datapath.step.nodes, *datapath.head.nodes)}
    return {
        "format": FORMAT,
        "version": __version__,
        "bit_exact": all(c.mismatches == 0 and c.windows >= wanted(c, options) for c in checks),
        "skipped": [name for name in SIMULATED if name not in {c.name for c in checks}],
        "model": files.name,
        "board": options.board.name,
        "part": options.board.part,
        "datapath": datapath.hash,
        "parameters": files.parameters(),
        "bits": {
            "weights": files.weight_bits(),
            "states": {n.name: n.type.width for n in datapath.step.state_nodes},
            "outputs": {name: types[node].width for name, node in datapath.head.outputs},
        },
        "window": dict(datapath.meta.get("window") or {}),
        "channels": project.channels,
        "revisit_clocks": project.revisit,
        "windows": {"count": options.windows, "kinds": list(KINDS), "seed": options.seed},
        "renderings": {c.name: c.to_dict() for c in checks},
        "saturations": saturations,
        "estimates": cost,
        "rtl": None if rtl is None else rtl_report(rtl, options.board, dict(datapath.meta.get("window") or {})),
        "files": {
            "datapath": shown(datapath_file, options.out),
            "project": shown(project.folder, options.out),
            "rtl": None if rtl is None else shown(rtl.folder, options.out),
            "chart": None if rtl is None else shown(rtl.folder / CHART, options.out),
            "written": sorted(
                shown(p, options.out) for p in project.folder.rglob("*") if p.is_file() and "build" not in p.parts[-3:]
            ),
        },
        "seconds": seconds,
    }


def wanted(check: Check, options: Options) -> int:
    """Windows that a check must have compared to count; the bench makes its own."""
    return 1 if check.name.endswith("_cocotb") else options.windows


def shown(path: Path, base: Path) -> str:
    """A path relative to the output folder."""
    return Path(path).resolve().relative_to(base.resolve()).as_posix()
