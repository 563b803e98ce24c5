"""The RTL in the main job: rendered for the board, held to the golden model, described in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.dispatcher import most_slots, write_triggered
from venom_hw.codegen.rtl.project import RtlProject, render_rtl
from venom_hw.codegen.rtl.rates import dead_time, shortest_window, window_fifo_depth
from venom_hw.codegen.stimulus import Stimulus
from venom_hw.datapath.model import Datapath
from venom_hw.flow.checks import Check

PHOTON_RATE = 5000.0
"""Photons a second and pixel for which the report gives the dead time."""
FREEING = 0.5
"""Samples that a window blocks its channel beyond its own: it is half a sample on average from a trigger to the
window's first beat, and the beat after its last one frees the channel."""
BENCH_CHANNELS = 8
BENCH_FIFO = 128
"""Places in the engine that the bench drives: its short windows come faster than the head takes them."""


def render_board_rtl(options, datapath: Datapath, out: Path) -> RtlProject:
    """The engine of the board's size, its stage chart, and, where the rate is known, its event-driven top."""
    project = render_rtl(
        datapath, options.board, out, channels=options.channels, name=options.files.name, chart=True
    )
    window = datapath.meta.get("window") or {}
    write_triggered(project.folder, project.manifest, window, trigger_delay=options.trigger_delay)
    return project


def check_rtl_replay(project: RtlProject, datapath: Datapath, stimulus: Stimulus, out: Path) -> Check:
    """The RTL of the board's own size under Verilator, driven by a plain C++ program with a vector file."""
    from sim.replay import replay

    check = Check("rtl_verilator")
    result = replay(project, datapath, out, [stimulus], optimise="-O1")
    check.windows, check.mismatches, check.integers = result.windows, result.mismatches, result.compared
    check.first = "" if result.first is None else str(result)
    check.notes = {
        "beats": result.beats,
        "channels": project.channels,
        "samples_per_second": round(result.rate),
    }
    return check


def check_rtl_cocotb(options, datapath: Datapath, pulses: np.ndarray, out: Path) -> Check:
    """The same RTL with few channels on the cocotb bench: gaps, resets, overflow, broken distances."""
    from sim.rtl_bench import run_rtl_bench

    check = Check("rtl_cocotb")
    project = render_rtl(
        datapath,
        options.board,
        out / "rtl",
        channels=BENCH_CHANNELS,
        name=options.files.name,
        fifo_depth=BENCH_FIFO,
    )
    result = run_rtl_bench(
        project, datapath, out / "rtl_bench", windows=options.bench_windows, seed=options.seed, pulses=pulses[:64]
    )
    check.windows, check.mismatches = result.results, result.mismatches
    check.integers = result.state_words + 2 * result.results
    check.first = next((d for s in result.scenarios for d in s.differences), "")
    check.notes = {"scenarios": [s.name for s in result.scenarios], "channels": project.channels}
    return check


def rtl_report(project: RtlProject, board, window: dict) -> dict:
    """What report.json says of the RTL: clocks, registers, and the arithmetic of rates, FIFO and dead time.

    Args:
        window: of the model's meta; without its rate_hz there is no time, hence no dead time.
    """
    m = project.manifest
    given = ("channels", "interval", "revisit", "distances", "max_steps", "fifo_depth", "head", "head_interval",
             "head_fallback", "latency", "clocks", "state_bits", "register_bits", "stages", "stats")  # fmt: skip
    report = {name: m[name] for name in given}
    clock_hz = board.design_mhz * 1e6
    report["latency_us"] = round(m["latency"] / board.design_mhz, 3)
    report["windows_per_second"] = {
        "finished": clock_hz / (m["interval"] * m["max_steps"]),
        "head": clock_hz / m["head_interval"],
    }
    report["shortest_window"] = shortest_window(m["head_interval"], interval=m["interval"])
    needed = m["fifo_needed"]
    slack = None if needed is None else m["fifo_depth"] - needed
    report["continuous"] = {
        "fifo_needed": needed,
        "fifo_slack": slack,
        "pause_clocks": None if slack is None else max(0, slack) * m["head_interval"],
    }
    if "rate_hz" not in window:
        return report
    spacing = int(clock_hz // window["rate_hz"])
    for name, channels in (("triggered", project.channels), ("triggered_all_pixels", board.pixels)):
        slots = most_slots(channels, spacing, m["revisit"], interval=m["interval"])
        if slots >= 1:
            report[name] = _triggered(m, channels, slots, (m["max_steps"] + FREEING) / window["rate_hz"])
    return report


def _triggered(m: dict, channels: int, slots: int, seconds: float) -> dict:
    """Photons of triggered channels on one engine, `slots` windows at once, each blocking its channel for `seconds`."""
    loss = dead_time(channels, PHOTON_RATE, seconds, slots=slots)
    return {
        "channels": channels,
        "windows_at_once": slots,
        "fifo_needed": _depth(m, slots),
        "photons_per_second": PHOTON_RATE,
        "recorded": round(loss.recorded, 4),
        "own_window": round(loss.own_window, 4),
        "refused": round(loss.refused, 6),
    }


def _depth(m: dict, windows: int) -> int | None:
    """Places with which nothing is lost; None: the head does not keep up with windows of L for ever."""
    try:
        return window_fifo_depth(
            windows, m["max_steps"], m["head_interval"], interval=m["interval"], latency=m["latency"]
        )
    except CodegenError:
        return None
