"""`python sim/run.py`: run the generated C++ or RTL of a model under cocotb and Verilator, every integer compared."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # started as a script: find sim and venom_hw

FIFO_DEPTH, RTL_FIFO_DEPTH = 16, 128
"""Results that wait. In RTL those on their way count too, and short windows come faster than its head takes them."""

EPILOG = """\
examples:
  python sim/run.py                                            the shipped PtSi model, all scenarios
  python sim/run.py --model inhf --windows 64                  more windows
  python sim/run.py --scenario reset --scenario gaps --waves   two scenarios, with a VCD to look at
  python sim/run.py --rtl --interval 4                         the RTL, its multipliers used four times a sample
  python sim/run.py --list                                     what the scenarios are

The C++ that is generated for the model runs behind an AXI4-Stream shell (DPI-C); with --rtl the generated SystemVerilog
runs itself. Every result and every state word
after every sample is compared with the golden model. The exit status is 0 only if no integer differs (1: one does,
2: something is missing or malformed).
"""


def parser() -> argparse.ArgumentParser:
    from sim.hls_bench import CHANNELS

    p = argparse.ArgumentParser(
        prog="python sim/run.py",
        description=__doc__.split(": ", 1)[1],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--board", default="rfsoc4x2", help="a folder of boards/ (default: rfsoc4x2)")
    p.add_argument("--model", help="a shipped model (ptsi, inhf), or a folder with step.onnx and head.onnx; ptsi")
    p.add_argument("--out", type=Path, help="output folder (default: build/<board>/sim)")
    p.add_argument("--channels", type=int, default=CHANNELS, help=f"interleaved channels (default: {CHANNELS})")
    p.add_argument(
        "--revisit", type=int,
        help="least clocks between two samples of a channel (default: 5/8 channels; with --rtl the least possible)",
    )  # fmt: skip
    p.add_argument("--rtl", action="store_true", help="the generated SystemVerilog instead of the C++")
    p.add_argument("--interval", type=int, default=1, help="with --rtl: clocks a sample, 1, 2, 4 or 8 (default: 1)")
    p.add_argument("--head", choices=("serial", "parallel"), default="serial", help="with --rtl (default: serial)")
    p.add_argument("--windows", type=int, default=32, help="windows a scenario, roughly (default: 32)")
    p.add_argument("--seed", type=int, default=1, help="seed of windows, order and gaps (default: 1)")
    p.add_argument("--fifo-depth", type=int, help="results that wait (default: 16; with --rtl 128)")
    p.add_argument("--latency", type=int, default=24, help="clocks of the shell's pipeline (default: 24)")
    p.add_argument("--scenario", action="append", metavar="NAME", help="only this one; may be given again")
    p.add_argument("--waves", action="store_true", help="keep a VCD of all signals")
    p.add_argument("--list", action="store_true", help="list the scenarios and end")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from sim.errors import BenchError
    from sim.scenarios import SCENARIOS, Plan
    from sim.toolchain import ToolchainError
    from venom_hw.boards import BoardError, load_board
    from venom_hw.codegen.errors import CodegenError
    from venom_hw.datapath import DatapathError
    from venom_hw.flow.model_files import ModelError, find_model
    from venom_hw.flow.stimuli import simulated_pulses
    from venom_hw.interchange.importer import import_venom
    from venom_hw.interchange.onnx_graph import ImportRefused

    if args.list:
        plan = Plan(channels=8, revisit=5, max_steps=20, capacity=args.fifo_depth or FIFO_DEPTH)
        for name, scenario in SCENARIOS.items():
            print(f"{name:14} {scenario(plan).about}")
        return 0
    try:
        for name, least in (
            ("channels", 1), ("windows", 1), ("fifo_depth", 1), ("latency", 2), ("seed", 0), ("revisit", 1),
        ):  # fmt: skip
            if getattr(args, name) is not None and getattr(args, name) < least:
                raise BenchError(f"--{name.replace('_', '-')} {getattr(args, name)}: at least {least}")
        board, files = load_board(args.board), find_model(args.model)
        out = args.out or Path("build") / board.name / "sim"
        what = "RTL" if args.rtl else "C++"
        print(f"VENOM-HW bench: model {files.name}, {what}, {args.channels} channels", flush=True)
        datapath = import_venom(files.step, files.head)
        given = {
            "windows": args.windows,
            "seed": args.seed,
            "pulses": simulated_pulses(datapath, out / "pulses", 4 * args.windows, args.seed),
            "scenarios": args.scenario,
            "waves": args.waves,
        }
        result = (_rtl if args.rtl else _cpp)(args, datapath, board, files.name, out, given)
    except (
        BenchError, ToolchainError, BoardError, CodegenError, DatapathError, ModelError, ImportRefused, OSError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{result.table()}\n")
    print(f"wrote {result.path}" + (f", {result.waves}" if result.waves else ""))
    verdict = "BIT EXACT: every integer as the golden model says" if result.passed else "NOT BIT EXACT: see above"
    print(verdict)
    return 0 if result.passed else 1


def _cpp(args, datapath, board, name: str, out: Path, given: dict):
    """The C++ behind the DPI shell."""
    from sim.hls_bench import default_revisit, run_bench
    from venom_hw.codegen.hls_project import render_project

    revisit = default_revisit(args.channels) if args.revisit is None else args.revisit
    project = render_project(datapath, board, out / "hls", channels=args.channels, revisit=revisit, name=name)
    print("  compiling the generated C++ and the DPI shell ...", flush=True)
    depth = args.fifo_depth or FIFO_DEPTH
    return run_bench(project, datapath, out, fifo_depth=depth, latency=args.latency, **given)


def _rtl(args, datapath, board, name: str, out: Path, given: dict):
    """The SystemVerilog itself."""
    from sim.rtl_bench import run_rtl_bench
    from venom_hw.codegen.rtl.project import render_rtl

    print("  scheduling the pipeline and writing the SystemVerilog ...", flush=True)
    project = render_rtl(
        datapath, board, out / "rtl", channels=args.channels, revisit=args.revisit, name=name,
        interval=args.interval, head=args.head, fifo_depth=args.fifo_depth or RTL_FIFO_DEPTH,
    )  # fmt: skip
    print(f"  revisit distance {project.revisit} clocks; compiling with Verilator ...", flush=True)
    return run_rtl_bench(project, datapath, out / "rtl_bench", **given)


if __name__ == "__main__":
    sys.exit(main())
