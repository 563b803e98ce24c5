"""`python -m venom_hw.tutorial`: run docs/tutorial.py, the whole road in ten minutes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "tutorial.py"


def main(argv: list[str] | None = None) -> int:
    """Run it; a step that fails, and --help, end it by SystemExit as argparse does."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not SCRIPT.is_file():
        print(f"error: {SCRIPT}: no such file; the tutorial comes with the checkout of the project", file=sys.stderr)
        return 2
    before = sys.argv
    sys.argv = ["python -m venom_hw.tutorial", *argv]
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(main())
