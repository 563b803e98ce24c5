"""Command line: quick plots of a data folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from venom_hw.detector.errors import DataError
from venom_hw.detector.explore import PLOTS, explore
from venom_hw.detector.folder import line_files
from venom_hw.detector.folder_summary import summarise_folder

EPILOG = """\
plots: traces (raw I and Q), pulses (mean pulses, shapes, response, counts), heights (histograms of all lines),
loop (I/Q plane), noise (spectra). With --line also that line's page, and traces of it alone.

examples:
  python -m venom_hw.explore data/ptsi --out plots
  python -m venom_hw.explore data/ptsi --plots loop,noise --out plots
  python -m venom_hw.explore data/ptsi --line 808nm --plots traces --out plots
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m venom_hw.explore", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path, help="folder with one npz a laser line")
    p.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    p.add_argument("--plots", default=",".join(PLOTS), help=f"with commas (default {','.join(PLOTS)})")
    p.add_argument("--line", help="one line's own page, e.g. 808nm")
    p.add_argument("--peak-sigma", type=float, default=2.0, help="MAD clip on peak heights, 0 for none (default 2)")
    p.add_argument("--sample-rate", type=float, help="raw rate in Hz, where the folder does not say")
    p.add_argument("--seed", type=int, default=0, help="of the choice of traces that are drawn (default 0)")
    return p


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.peak_sigma < 0:
            raise DataError("--peak-sigma", None, f"{args.peak_sigma:g}", "0 or more")
        with tqdm(total=len(line_files(args.data)), unit="line", desc="read", file=sys.stderr) as bar:
            summary = summarise_folder(args.data, sample_rate_hz=args.sample_rate, peak_sigma=args.peak_sigma,
                                       seed=args.seed, progress=bar.update)
        files = explore(summary, args.out, [p for p in args.plots.split(",") if p], args.line)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {', '.join(f.name for f in files)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
