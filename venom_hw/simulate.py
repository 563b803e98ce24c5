"""Command line: simulate MKID pulses and write them as the laboratory's npz folders."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from venom_hw.detector.errors import DataError
from venom_hw.detector.generate import NOISE_TRACES, generate_folder
from venom_hw.detector.pixels import generate_pixels
from venom_hw.detector.presets import PRESETS, DetectorPreset, find_preset

EPILOG = """\
The folder gets one npz a laser line (808nm.npz: i_trace, q_trace int16 centred counts, mask, peak_heights),
noise.npz (traces without a photon) and metadata.json (preset, version, seed, sample rate, parameters).
The same preset and seed give the same traces; a larger --pulses begins with the same ones.

With --pixels N there is such a folder for each of N pixels (pixel-0000, ...), scattered about the preset as the
pixels of an array are; more of them later begin with the same ones.
With --overlay the preset's pulses and noise are plotted over the real PtSi ones (no data set is written unless --out
is given too): phase, dissipation, the I/Q plane, noise spectra.
With --pile-up 0.1 every tenth trace has a second photon of the same energy, somewhere in it (mask: False).

examples:
  python -m venom_hw.simulate --preset ptsi --out data/ptsi
  python -m venom_hw.simulate --preset inhf --pulses 4000 --seed 7 --out data/inhf7
  python -m venom_hw.simulate --preset ptsi --energies 1.05,1.25,1.45 --out data/between_lines
  python -m venom_hw.simulate --preset inhf --version 1 --out data/inhf_version_1
  python -m venom_hw.simulate --preset ptsi --pile-up 0.2 --pulses 2000 --out data/crowded
  python -m venom_hw.simulate --overlay overlay.png --real ../shared/data/mkid/ptsi_real_2MHz.npz
  python -m venom_hw.simulate --preset ptsi --pixels 64 --pulses 1000 --out data/array
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m venom_hw.simulate", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=sorted(PRESETS), default="ptsi", help="simulated detector (default ptsi)")
    p.add_argument("--out", type=Path, help="folder to write (needed unless --overlay is given)")
    p.add_argument("--pulses", type=int, default=10_000, help="photons a line (default 10000)")
    p.add_argument("--seed", type=int, default=1, help="seed of the data set (default 1)")
    p.add_argument("--energies", help="photon energies in eV, comma separated, instead of the preset's laser lines")
    p.add_argument("--pixels", type=int, metavar="N", help="N pixels with scattered parameters, a folder each")
    p.add_argument("--pile-up", type=float, metavar="SHARE", help="share of traces with a second photon, 0 to 1 "
                   "(default: the preset's, 0.01)")
    p.add_argument("--version", type=int, help="version of the preset (default: the newest)")
    p.add_argument("--overlay", type=Path, metavar="PNG", help="plot simulated pulses and noise over real ones")
    p.add_argument("--real", type=Path, metavar="NPZ", help="real pulses for --overlay (default: "
                   "mkid/ptsi_real_2MHz.npz in VENOM_DATA or ../shared/data; left out of the plot where it is not)")
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


def _preset(args) -> DetectorPreset:
    preset = find_preset(args.preset, args.version)
    if args.pile_up is None:
        return preset
    if not 0.0 <= args.pile_up <= 1.0:
        raise DataError("--pile-up", None, f"{args.pile_up:g}", "a share from 0 to 1")
    return replace(preset, pileup_fraction=args.pile_up)


def _real_pulses(named: Path | None) -> Path | None:
    """The file of real pulses: the one named, else that of the shared data if it is there."""
    if named is not None:
        return named
    found = Path(os.environ.get("VENOM_DATA", "../shared/data")) / "mkid" / "ptsi_real_2MHz.npz"
    return found if found.is_file() else None


def _overlay(preset: DetectorPreset, picture: Path, named: Path | None, seed: int) -> None:
    from venom_hw.detector.pulse_overlay import noise_level, plot_overlay, real_curves, simulated_curves

    path = _real_pulses(named)
    real = real_curves(preset, path) if path is not None else None
    simulated = simulated_curves(preset, seed=seed)
    plot_overlay(preset, simulated, real, picture)
    if real is None:
        print(f"{picture}: simulated pulses of {preset.name} alone; skipped the real ones, which are not in VENOM_DATA "
              "or ../shared/data (--real names them)")
    else:
        print(f"{picture}: simulated {preset.name} over {path}; phase noise {noise_level(real, simulated):.2f} of "
              "the real power, 5 to 250 kHz")


def _simulate(preset: DetectorPreset, args) -> None:
    energies = _energies(args.energies) if args.energies else None
    lines = len(energies or preset.wavelengths_nm)
    total = (lines * args.pulses + min(args.pulses, NOISE_TRACES)) * (args.pixels or 1)
    with tqdm(total=total, unit="pulse", desc=f"simulate {preset.name}", file=sys.stderr) as bar:
        common = args.pulses, args.seed, energies, args.force, bar.update
        if args.pixels:
            files = generate_pixels(preset, args.out, args.pixels, *common)
        else:
            files = generate_folder(preset, args.out, *common)
    if not files:
        print(f"{args.out}: this data set is already there (nothing written; --force makes it again)")
        return
    size = sum(f.stat().st_size for f in files) / 1e6
    pixels = f"{args.pixels} pixels, each " if args.pixels else ""
    print(f"{args.out}: {pixels}{lines} lines of {args.pulses} pulses, preset {preset.name} version {preset.version}, "
          f"seed {args.seed}, {len(files)} files, {size:.0f} MB")


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    try:
        for option, value, least in (("--pulses", args.pulses, 1), ("--seed", args.seed, 0),
                                     ("--pixels", args.pixels, 1)):
            if value is not None and value < least:
                raise DataError(option, None, str(value), f"{least} or more")
        if args.out is None and args.overlay is None:
            raise DataError("--out", None, "missing", "a folder to write (or --overlay PNG)")
        preset = _preset(args)
        if args.overlay is not None:
            _overlay(preset, args.overlay, args.real, args.seed)
        if args.out is not None:
            _simulate(preset, args)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
