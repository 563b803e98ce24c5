"""`python -m venom_hw.hls`: HLS project and RTL of a quantised model for a board, proven bit for bit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EPILOG = """\
examples:
  python -m venom_hw.hls --board rfsoc4x2                    the shipped PtSi model
  python -m venom_hw.hls --board zcu111 --model inhf         the other shipped model
  python -m venom_hw.hls --model runs/mine --windows 200     a folder that `python -m venom_hw.quantize` wrote

What happens: the QONNX files are read into a typed fixed-point datapath; its golden model (exact integers) runs
simulated pulses and stress windows; the QONNX files, a reference executor, the generated C++ compiled with g++, the
same C++ behind AXI4-Stream under cocotb and Verilator, and the generated SystemVerilog, driven by a C++ program and by
the same bench, must give the same integers on every output and every state word after every sample. The exit status is
0 only if they do (1: a bit differs, 2: something is missing or malformed).
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.hls",
        description=__doc__.split(": ", 1)[1],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--board", default="rfsoc4x2", help="a folder of boards/ (default: rfsoc4x2)")
    p.add_argument("--model", help="a shipped model (ptsi, inhf), or a folder with step.onnx and head.onnx; ptsi")
    p.add_argument("--out", type=Path, help="output folder (default: build/<board>)")
    p.add_argument("--data", type=Path, help="folder of pulses to check with (default: simulated ones)")
    p.add_argument("--windows", type=int, default=1000, help="windows to check (default: 1000)")
    p.add_argument("--seed", type=int, default=1, help="seed of windows and interleaving (default: 1)")
    p.add_argument("--channels", type=int, help="interleaved channels (default: the board's, at the model's rate)")
    p.add_argument("--revisit", type=int, help="least clocks between two samples of a channel (default: channels)")
    p.add_argument(
        "--trigger-delay", type=int, default=1,
        help="rtl/triggered: samples of a channel from a peak to the latest one as its trigger comes (default: 1)",
    )  # fmt: skip
    p.add_argument("--no-bench", action="store_true", help="leave out cocotb and Verilator")
    p.add_argument("--no-rtl", action="store_true", help="leave out the SystemVerilog")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from venom_hw.boards import BoardError, load_board
    from venom_hw.codegen.errors import CodegenError
    from venom_hw.codegen.stimulus import StimulusError
    from venom_hw.datapath import DatapathError
    from venom_hw.detector import DataError
    from venom_hw.flow.build import Options, build
    from venom_hw.flow.model_files import ModelError, find_model
    from venom_hw.flow.summary import summary
    from venom_hw.interchange.onnx_graph import ImportRefused

    errors: tuple[type[Exception], ...] = (
        BoardError, CodegenError, DatapathError, DataError, ImportRefused, ModelError, StimulusError, OSError,
    )  # fmt: skip
    if not args.no_bench:
        from sim.errors import BenchError
        from sim.toolchain import ToolchainError, verilator_environment

        errors = (*errors, BenchError, ToolchainError)
    try:
        for name, least in (("windows", 4), ("seed", 0), ("channels", 1), ("revisit", 1), ("trigger-delay", 0)):
            value = getattr(args, name.replace("-", "_"))
            if value is not None and value < least:
                raise ModelError(f"--{name} {value}: at least {least}")
        if not args.no_bench:
            verilator_environment()  # what is missing is said before the work
        board, files = load_board(args.board), find_model(args.model)
        files.parameters()  # reads the checkpoint: a broken one is said now
        out = args.out or Path("build") / board.name
        print(f"VENOM-HW: model {files.name} for {board.title}")
        options = Options(
            board, files, out, args.windows, args.seed, not args.no_bench,
            channels=args.channels, revisit=args.revisit, data=args.data, rtl=not args.no_rtl,
            trigger_delay=args.trigger_delay,
        )  # fmt: skip
        report = build(options, lambda text: print(text, flush=True))
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print()
    print(summary(report, out))
    return 0 if report["bit_exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
