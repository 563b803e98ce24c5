"""python -m venom_hw.tradeoff: resolving power against area, over models or over recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
A table of quantised models: change of mean resolving power (from their reports) against LUTs, multipliers and block
RAMs (estimated from their graphs; synthesised ones beside them with --synth).

With --recipes each recipe is first quantised (python -m venom_hw.quantize; a finished one is kept) into OUT/<recipe>,
with pulses of python -m venom_hw.simulate: on the laser lines (--data) and between them (--extra).
"""
EPILOG = """\
examples:
  python -m venom_hw.tradeoff
  python -m venom_hw.tradeoff ptsi ptsi-lean --synth ptsi-lean=build/rfsoc4x2/synth.json
  python -m venom_hw.tradeoff --preset ptsi --recipes default w6a10 lean --out runs/tradeoff-ptsi"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.tradeoff",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("models", nargs="*", help="shipped models or folders (default: all shipped models)")
    p.add_argument("--recipes", nargs="+", default=[], metavar="RECIPE", help="shipped recipes or TOML files to try")
    p.add_argument(
        "--preset", default="ptsi", choices=("ptsi", "inhf"), help="float model and data of --recipes (default ptsi)"
    )
    p.add_argument("--data", type=Path, metavar="FOLDER", help="pulses for --recipes (default data/PRESET)")
    p.add_argument(
        "--extra", type=Path, metavar="FOLDER", help="pulses between the lines for --recipes (default DATA-between)"
    )
    p.add_argument("--out", type=Path, default=Path("build/tradeoff"), help="folder of the results (build/tradeoff)")
    p.add_argument("--channels", type=int, default=2048, help="contexts whose states are counted (default 2048)")
    p.add_argument(
        "--synth", action="append", default=[], metavar="MODEL=FILE", help="synth.json of a model; may be repeated"
    )
    return p


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    from venom_hw.flow.model_files import ModelError, find_model, shipped_models
    from venom_hw.tradeoff.table import TradeoffError, make_row, plot, text, write_json

    folders = []
    for recipe in options.recipes:
        out = options.out / Path(recipe).stem
        folders.append(str(out))
        if (status := _quantise(options, recipe, out)) != 0:
            return status
    names = options.models or ([] if folders else shipped_models())
    try:
        synthesis = {}
        for entry in options.synth:
            name, _, path = entry.partition("=")
            if not path:
                raise TradeoffError(f"--synth {entry}: expected MODEL=FILE")
            synthesis[name] = Path(path)
        models = [find_model(name) for name in (*names, *folders)]
        if unknown := set(synthesis) - {m.name for m in models}:
            raise TradeoffError(f"--synth: {', '.join(sorted(unknown))} is not in the table")
        rows = [make_row(m, channels=options.channels, synthesis=synthesis.get(m.name)) for m in models]
    except (ModelError, TradeoffError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text(rows))
    for path in (write_json(options.out / "tradeoff.json", rows), plot(options.out / "tradeoff.png", rows)):
        print(f"wrote {path}")
    return 0


def _quantise(options: argparse.Namespace, recipe: str, out: Path) -> int:
    from venom_hw.flow.model_files import PRETRAINED
    from venom_hw.quantize.__main__ import main as quantise

    preset = options.preset
    data = options.data or Path("data") / preset
    extra = options.extra or data.with_name(f"{data.name}-between")
    for folder, what in ((data, "--pulses 8000 --seed 1"), (extra, "--pulses 300 --seed 3 --energies E1,E2,...")):
        if not any(folder.glob("*.npz")):
            print(
                f"error: {folder}: no pulses to quantise with; make them, or say where they are (--data, --extra):\n"
                f"  python -m venom_hw.simulate --preset {preset} {what} --out {folder}\n"
                f"the shipped models' numbers and energies: {PRETRAINED / 'README.md'}",
                file=sys.stderr,
            )
            return 2
    return quantise(
        [
            *("--model", str(PRETRAINED / f"{preset}.safetensors"), "--data", str(data), "--extra", str(extra)),
            *("--recipe", recipe, "--out", str(out), "--name", f"{preset}-{out.name}", "--threads", "1"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
