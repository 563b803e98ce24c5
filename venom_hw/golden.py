"""`python -m venom_hw.golden`: regenerate the committed golden vectors of the shipped models and show what changed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

EPILOG = """\
examples:
  python -m venom_hw.golden             both shipped models
  python -m venom_hw.golden --check     write nothing; exit status 1 if anything differs

The vectors in tests/golden/ pin the arithmetic of the shipped models: a change of theirs belongs into the commit that
makes it, with a reason. Samples once committed are kept, so that what is shown is what the models do differently.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.golden",
        description=__doc__.split(": ", 1)[1],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", help="one model: a shipped name, or a folder (default: all shipped models)")
    p.add_argument("--out", type=Path, help="folder of the vectors (default: tests/golden; your own: build/golden)")
    p.add_argument("--seed", type=int, default=7, help="seed of the windows of a model without vectors (default: 7)")
    p.add_argument("--check", action="store_true", help="write nothing; exit status 1 if anything differs")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from venom_hw.datapath import DatapathError
    from venom_hw.detector import DataError
    from venom_hw.flow import golden_vectors as vectors
    from venom_hw.flow.model_files import ModelError, find_model, shipped_models
    from venom_hw.interchange.importer import import_venom
    from venom_hw.interchange.onnx_graph import ImportRefused

    changed = False
    try:
        if args.seed < 0:
            raise ModelError(f"--seed {args.seed}: at least 0")
        for model in [args.model] if args.model else shipped_models():
            files = find_model(model)
            folder = args.out or (vectors.FOLDER if model in shipped_models() else Path("build") / "golden")
            datapath = import_venom(files.step, files.head)
            exist = (folder / f"{files.name}.json").exists()
            old = vectors.load_vectors(files.name, folder) if exist else None
            with tempfile.TemporaryDirectory() as scratch:
                pulses = Path(scratch) / "pulses"
                new = vectors.make_vectors(files, datapath, seed=args.seed, scratch=pulses, previous=old)
            differences = vectors.changes(old, new)
            changed = changed or bool(differences)
            print(f"{files.name}: datapath {datapath.hash[:16]}, {new.facts['windows']} windows: ", end="")
            print("unchanged" if not differences else "changed" if old else "new")
            for line in differences if old else []:
                print(f"  {line}")
            if differences and not args.check:
                for path in vectors.save_vectors(new, folder):
                    print(f"  wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    except (ModelError, ImportRefused, DataError, DatapathError, vectors.GoldenVectorError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return int(changed and args.check)


if __name__ == "__main__":
    sys.exit(main())
