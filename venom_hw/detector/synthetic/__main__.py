"""Command line: fit a generator of synthetic pulses to a data folder and see how well it copies the detector."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from venom_hw.atomic import write_atomically

from ..dataset import load_pulse_set, stratified_split
from ..errors import DataError
from .compare import compare_with, comparison_rows, comparison_text
from .generator import GENERATORS
from .plot import plot_generator

EPILOG = """\
85 % of each line are fitted, the rest is compared with synthetic pulses of the same energy: a filter with the least
variance on synthetic pulses reads both, in eV. A bias says that synthetic pulses of an energy look like another one,
a ratio above 1 that they are cleaner than the detector. --between does the same at energies without a line (simulate
some with python -m venom_hw.simulate --energies ...): that is where the interpolation shows.

--out gets generator.npz (python -m venom_hw.train makes its own), generator.png and comparison.json.

examples:
  python -m venom_hw.detector.synthetic --data data/ptsi --out build/synthetic/ptsi
  python -m venom_hw.detector.synthetic --data data/inhf --between data/inhf-between --out build/synthetic/inhf
  python -m venom_hw.detector.synthetic --data lab/PtSi --kind template --out build/synthetic/lab
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m venom_hw.detector.synthetic", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="data folder, one npz a line")
    p.add_argument("--between", type=Path, help="data folder of other energies to compare with")
    p.add_argument("--out", type=Path, required=True, help="folder to write")
    p.add_argument("--kind", choices=sorted(GENERATORS), default="pca", help="which generator (default pca)")
    p.add_argument("--n-components", type=int, default=50, help="principal components (default 50)")
    p.add_argument("--pulses", type=int, default=120_000, help="pulses of the speed measurement (default 120000)")
    p.add_argument("--downsample", type=int, default=4, help="decimation of the raw traces (default 4)")
    p.add_argument("--n-tau", type=float, default=5.0, help="window in decay times (default 5)")
    p.add_argument("--peak-sigma", type=float, default=2.0, help="clip on peak heights, robust sigmas (default 2)")
    p.add_argument("--seed", type=int, default=0, help="of the split and of the synthetic pulses (default 0)")
    return p


def _bar(total: int, unit: str, title: str):
    return tqdm(total=total, unit=unit, desc=title, file=sys.stderr, mininterval=0.5)


def _run(args) -> str:
    if args.seed < 0 or args.pulses < 1:
        raise DataError("--seed, --pulses", None, f"{args.seed}, {args.pulses}", "a seed of 0 or more, a pulse or more")
    cut = {"downsample": args.downsample, "n_tau": args.n_tau, "peak_sigma": args.peak_sigma}
    lines = load_pulse_set(args.data, **cut)
    between = load_pulse_set(args.between, **cut, window=lines.window) if args.between else None
    train, held = stratified_split(lines.wl_ids, seed=args.seed)
    started = time.process_time()
    with _bar(len(train), "pulse", f"fit {args.kind}") as bar:
        generator = GENERATORS[args.kind].fit(lines, train, n_components=args.n_components, progress=bar.update)
    fitted = time.process_time() - started
    rng = np.random.default_rng(args.seed)
    energies = rng.uniform(*generator.energy_range, args.pulses)
    started = time.process_time()
    with _bar(args.pulses, "pulse", "sample") as bar:
        generator.sample(energies, rng, progress=bar.update)
    sampled = time.process_time() - started
    texts, results = [], {}
    for name, pulses, index in (("held-out pulses of the lines", lines, held), ("between the lines", between, None)):
        if pulses is not None:
            with _bar(len(pulses.wl_labels), "line", "compare") as bar:
                rows = compare_with(generator, pulses, index, args.seed, bar.update)
            texts.append(comparison_text(rows, name))
            results[name] = comparison_rows(rows)
    generator.save(args.out / "generator.npz")
    plot_generator(generator, lines, args.out / "generator.png", args.seed)
    summary = {"kind": generator.kind, "components": getattr(generator, "n_components", None), "data": args.data.name,
               "source": {k: (lines.source or {}).get(k) for k in ("preset", "version", "seed", "pulses")},
               "seed": args.seed, "window_samples": generator.length, "training_pulses": len(train),
               "fit_cpu_s": round(fitted, 3), "sampled": args.pulses, "sample_cpu_s": round(sampled, 3), **results}
    write_atomically(args.out / "comparison.json", json.dumps(summary, indent=1) + "\n")
    return "\n".join([*texts, f"fit: {len(train)} pulses, {fitted:.1f} s of CPU time",
                      f"{args.pulses} synthetic pulses of {generator.length} samples: {sampled:.1f} s of CPU time",
                      f"{args.out}: generator.npz, generator.png, comparison.json"])


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            text = _run(args)
    except (DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for message in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        print(f"note: {message}", file=sys.stderr)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
