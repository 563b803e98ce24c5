"""Command line: simulate MKID pulses and write them as the laboratory's npz folders."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from venom_hw.detector.errors import DataError
from venom_hw.detector.generate import NOISE_TRACES, generate_folder
from venom_hw.detector.presets import PRESETS

EPILOG = """\
The folder gets one npz a laser line (808nm.npz: i_trace, q_trace int16 centred counts, mask, peak_heights),
noise.npz (traces without a photon) and metadata.json (preset, version, seed, sample rate, parameters).
The same preset and seed give the same traces; a larger --pulses begins with the same ones.

examples:
  python -m venom_hw.simulate --preset ptsi --out data/ptsi
  python -m venom_hw.simulate --preset inhf --pulses 4000 --seed 7 --out data/inhf7
  python -m venom_hw.simulate --preset ptsi --energies 1.05,1.25,1.45 --out data/between_lines
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m venom_hw.simulate", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=sorted(PRESETS), default="ptsi", help="simulated detector (default ptsi)")
    p.add_argument("--out", type=Path, required=True, help="folder to write")
    p.add_argument("--pulses", type=int, default=10_000, help="photons a line (default 10000)")
    p.add_argument("--seed", type=int, default=1, help="seed of the data set (default 1)")
    p.add_argument("--energies", help="photon energies in eV, comma separated, instead of the preset's laser lines")
    p.add_argument("--force", action="store_true", help="replace another simulated data set in --out")
    return p


def _energies(text: str) -> list[float]:
    try:
        energies = [float(part) for part in text.split(",")]
    except ValueError:
        raise DataError("--energies", None, f"'{text}'", "numbers in eV with commas, e.g. 1.05,1.25") from None
    if bad := [e for e in energies if not 0.05 <= e <= 10.0]:
        raise DataError("--energies", None, f"{bad[0]:g} eV", "0.05 to 10 eV")
    return energies


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.pulses < 1:
            raise DataError("--pulses", None, str(args.pulses), "1 or more")
        if args.seed < 0:
            raise DataError("--seed", None, str(args.seed), "0 or more")
        preset = PRESETS[args.preset]
        energies = _energies(args.energies) if args.energies else None
        lines = len(energies or preset.wavelengths_nm)
        total = lines * args.pulses + min(args.pulses, NOISE_TRACES)
        with tqdm(total=total, unit="pulse", desc=f"simulate {preset.name}", file=sys.stderr) as bar:
            files = generate_folder(preset, args.out, args.pulses, args.seed, energies, args.force, bar.update)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not files:
        print(f"{args.out}: this data set is already there (nothing written; --force makes it again)")
        return 0
    size = sum(f.stat().st_size for f in files) / 1e6
    print(f"{args.out}: {lines} lines of {args.pulses} pulses, preset {preset.name} version {preset.version}, "
          f"seed {args.seed}, {len(files)} files, {size:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
