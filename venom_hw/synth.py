"""`python -m venom_hw.synth`: area and logic depth of a model's gateware, by Yosys, against a board's budget."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

EPILOG = """\
examples:
  python -m venom_hw.synth --board rfsoc4x2                  ptsi-lean, the shipped model made for gateware
  python -m venom_hw.synth --model ptsi --no-alkaid          the 8-bit one, without alkaid's step beside it
  python -m venom_hw.synth --model runs/mine --no-packed     a folder that `python -m venom_hw.quantize` wrote

What happens: the RTL of one engine with a context for every pixel, and of one for a quarter of them, goes through
Yosys (synth_xilinx -family xcup) module by module; modules that are unchanged since the last run are not synthesised
again (build/synth-cache). Written: synth.json, synth.png. Beside it 7-series, for which alone Yosys packs registers
into DSP blocks as Vivado does. Minutes on two cores. Numbers of Yosys, not of Vivado: nothing is placed or routed.
"""


DEFAULT_MODEL = "ptsi-lean"
"""The model whose bits were chosen for area (venom_hw/quantize/recipes/lean.toml)."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.synth",
        description=__doc__.split(": ", 1)[1],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--board", default="rfsoc4x2", help="a folder of boards/ (default: rfsoc4x2)")
    p.add_argument("--model", help="a shipped model, or a folder with step.onnx and head.onnx; ptsi-lean")
    p.add_argument("--out", type=Path, help="output folder (default: build/<board>)")
    p.add_argument("--no-alkaid", action="store_true", help="leave out alkaid's version of the step")
    p.add_argument("--no-packed", action="store_true", help="leave out the 7-series estimate")
    p.add_argument(
        "--strategy", action="append", default=[], metavar="NAME=VALUE",
        help="how operations are lowered, e.g. products=dsp_packed (venom_hw/codegen/rtl/strategies.py); repeatable",
    )  # fmt: skip
    p.add_argument("--jobs", type=int, help="Yosys processes at once (default: the processors, at most 4)")
    p.add_argument("--cache", type=Path, default=Path("build/synth-cache"), help="where netlists are kept")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from venom_hw.atomic import write_atomically
    from venom_hw.boards import BoardError, load_board
    from venom_hw.codegen.errors import CodegenError
    from venom_hw.codegen.rtl.strategies import CHOICES
    from venom_hw.datapath import DatapathError
    from venom_hw.flow.model_files import ModelError, find_model
    from venom_hw.interchange.importer import import_venom
    from venom_hw.interchange.onnx_graph import ImportRefused
    from venom_hw.synthesis.design import measure, named_strategies
    from venom_hw.synthesis.errors import SynthesisError
    from venom_hw.synthesis.report import document
    from venom_hw.synthesis.tables import plot, summary
    from venom_hw.synthesis.yosys import yosys_version

    errors = (
        BoardError, CodegenError, DatapathError, ImportRefused, ModelError, SynthesisError, OSError
    )  # fmt: skip
    start = time.perf_counter()
    try:
        if args.jobs is not None and args.jobs < 1:
            raise SynthesisError(f"--jobs {args.jobs}: at least 1")
        strategies = named_strategies(args.strategy)
        board, files = load_board(args.board), find_model(args.model or DEFAULT_MODEL)
        print(f"VENOM-HW: model {files.name} for {board.title}, Yosys {yosys_version()}")
        out = args.out or Path("build") / board.name
        datapath = import_venom(files.step, files.head)
        found = measure(
            datapath, board, out / "synth", name=files.name, cache=args.cache, jobs=args.jobs,
            packed=not args.no_packed, alkaid=not args.no_alkaid, options={"strategies": strategies},
            say=lambda text: print(text, flush=True),
        )  # fmt: skip
        report = document(found, board, model=files.name, datapath_hash=datapath.hash)
        report["strategies"] = {name: getattr(strategies, name) for name in CHOICES}
        report["seconds"] = round(time.perf_counter() - start, 1)
        written = write_atomically(out / "synth.json", json.dumps(report, indent=1) + "\n")
        plot(report, out / "synth.png")
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print()
    print(summary(report))
    print(f"\nwrote {written} and {out / 'synth.png'} in {report['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
