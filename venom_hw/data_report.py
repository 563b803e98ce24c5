"""Command line: what is in a data folder, as a PDF to read and a JSON to compute with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from venom_hw.detector.data_report import write_data_report
from venom_hw.detector.errors import DataError
from venom_hw.detector.folder import line_files
from venom_hw.detector.folder_summary import summarise_folder

EPILOG = """\
Pages: a table of numbers (pulses, masked, clipped, saturated, heights, decay, noise); raw traces of every line; all
lines together (mean pulses, shapes, response, where pulses are lost); then a page a line: mean pulse in I, Q and phase,
histogram of the heights with the clip, I/Q loop, noise spectra. The JSON of the same name holds the numbers.

examples:
  python -m venom_hw.data_report data/ptsi                        writes data/ptsi-report.pdf and .json
  python -m venom_hw.data_report InHfData --out inhf.pdf --peak-sigma 3
  python -m venom_hw.data_report mine --sample-rate 2e6           where metadata.json does not say the rate
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m venom_hw.data_report", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path, help="folder with one npz a laser line")
    p.add_argument("--out", type=Path, help="PDF to write (default: FOLDER-report.pdf beside the folder)")
    p.add_argument("--peak-sigma", type=float, default=2.0, help="MAD clip on peak heights, 0 for none (default 2)")
    p.add_argument("--sample-rate", type=float, help="raw rate in Hz, where the folder does not say")
    p.add_argument("--seed", type=int, default=0, help="of the choice of traces that are drawn (default 0)")
    return p


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    out = args.out or args.data.with_name(f"{args.data.resolve().name}-report.pdf")
    try:
        if args.peak_sigma < 0:
            raise DataError("--peak-sigma", None, f"{args.peak_sigma:g}", "0 or more")
        if out.suffix.lower() != ".pdf":
            raise DataError("--out", None, str(out), "a name that ends in .pdf")
        with tqdm(total=len(line_files(args.data)), unit="line", desc="read", file=sys.stderr) as bar:
            summary = summarise_folder(args.data, sample_rate_hz=args.sample_rate, peak_sigma=args.peak_sigma,
                                       seed=args.seed, progress=bar.update)
        files = write_data_report(summary, out)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    used, total = sum(x.used for x in summary.lines), sum(x.pulses for x in summary.lines)
    print(f"{files[0]}: {3 + len(summary.lines)} pages, laser lines: {len(summary.lines)}, {used} of {total} pulses "
          f"used; numbers in {files[1].name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
