"""Command line: bring measured pulses and old weights into this project's formats."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from venom_hw.detector.convert_loop import HEIGHTS, convert_loop
from venom_hw.detector.errors import DataError
from venom_hw.detector.postage_stamp import UNITS, read_stamps, write_stamp_folder
from venom_hw.detector.wavelength import line_label

EPILOG = """\
Three kinds of file:

  mkidcalculator   a pickled Loop (Resonator, Sweep, Pulse) with the npz files saved beside it. The pickle is read as
                   data: nothing in it runs, and a file that names anything but pulse data and fit results is refused.
  postage          capture buffers of the MKIDGen3 readout, (N, 128, 2) int16, one file a laser line
  weights          a weight file of the original VENOM, with the data folder that it was trained on

What comes out is a data folder (one npz a laser line, metadata.json) or a checkpoint that this project's commands read.

examples:
  python -m venom_hw.convert mkidcalculator lab/loop.p --out InHfData
  python -m venom_hw.convert mkidcalculator lab/loop.p --wavelengths 808,920,980,1120,1310 --out PtSiData
  python -m venom_hw.convert postage 808=stamps_808.npy 1310=stamps_1310.npy --channel 1033 --out data/ch1033
  python -m venom_hw.convert weights opt/venom_inhf.safetensors --data InHfData --out inhf.safetensors

Each has its own --help.
"""
WEIGHTS = """A weight file of the original VENOM into a checkpoint of this project: sizes from its tensors, window and
normalisation from the data folder, history and held-out pulses from FILE_meta.json beside it."""
POSTAGE_EPILOG = """\
A capture of several channels gives a folder a channel (OUT/channel-0007, ...), or one of them by --channel.
Stamps have eight samples before the trigger, so load and train with a short front: --downsample 2 --set n_pre=3.

--units: gateware and models see counts, the default. The readout's number format implies that 2^15 counts are full
scale; the lab's own reading function divides by 2^14. Name the one that your capture means to get floats.
"""


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': expected numbers with commas, e.g. 808,1310") from None


def _capture(text: str) -> tuple[float, Path]:
    wavelength, equals, name = text.partition("=")
    try:
        value = float(wavelength.lower().removesuffix("nm"))
    except ValueError:
        value = 0.0
    if not equals or not name or not 50 <= value <= 50000:
        raise argparse.ArgumentTypeError(f"'{text}': expected NM=FILE, e.g. 808=stamps_808.npy")
    return value, Path(name)


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(prog="python -m venom_hw.convert", description=__doc__, epilog=EPILOG,
                                formatter_class=raw)
    kinds = p.add_subparsers(dest="kind", required=True, metavar="KIND")

    loop = kinds.add_parser("mkidcalculator", help="a pickled Loop into a data folder", formatter_class=raw,
                            description=convert_loop.__doc__)
    loop.add_argument("file", type=Path, help="the pickle; its npz files must lie beside it")
    loop.add_argument("--out", type=Path, required=True, help="folder to write")
    loop.add_argument("--loop", type=int, help="number of the Loop, where the file holds several")
    loop.add_argument("--wavelengths", type=_numbers, help="nm of the pulse sets in file order, where it does not say")
    loop.add_argument("--sample-rate", type=float, help="raw rate in Hz, where the file does not say")
    loop.add_argument("--heights", choices=HEIGHTS, default="auto",
                      help="peak heights: the file's responses or recomputed (auto: responses if all are there)")
    loop.add_argument("--placeholder", action="append", default=[], metavar="NAME",
                      help="a further full name (package.Class) to skip over; it is never imported or run")
    loop.add_argument("--force", action="store_true", help="convert again into a folder that this command wrote")

    stamps = kinds.add_parser("postage", help="Gen3 postage stamps into data folders", formatter_class=raw,
                              epilog=POSTAGE_EPILOG, description="Gen3 postage stamps into data folders.")
    stamps.add_argument("captures", nargs="+", type=_capture, metavar="NM=FILE", help="one capture a laser line")
    stamps.add_argument("--out", type=Path, required=True, help="folder to write")
    stamps.add_argument("--channel", type=int, help="only this channel, straight into --out")
    stamps.add_argument("--units", choices=list(UNITS), default="counts", help="of the written traces (default counts)")
    stamps.add_argument("--skip", type=int, default=1, help="stamps left out at the start; the first is garbage (1)")
    stamps.add_argument("--force", action="store_true", help="convert again into a folder that this command wrote")

    weights = kinds.add_parser("weights", help="a legacy weight file into a checkpoint", formatter_class=raw,
                               description=WEIGHTS)
    weights.add_argument("file", type=Path, help="safetensors, or a PyTorch zip under that suffix")
    weights.add_argument("--data", type=Path, required=True, help="data folder that the weights were trained on")
    weights.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    weights.add_argument("--downsample", type=int, default=4, help="as in training (default 4)")
    weights.add_argument("--n-tau", type=float, default=5.0, help="as in training (default 5)")
    weights.add_argument("--n-pre", type=int, default=10, help="samples before the trigger (default 10)")
    weights.add_argument("--peak-sigma", type=float, default=2.0, help="as in training (default 2)")
    weights.add_argument("--full", action="store_true", help="trained on whole traces")
    weights.add_argument("--sample-rate", type=float, help="raw rate in Hz, where the folder does not say")
    weights.add_argument("--energy", choices=("auto", "standardised", "eV"), default="auto",
                         help="what the network's first output is (default auto: nearer to the labels)")
    weights.add_argument("--force", action="store_true", help="replace --out")
    return p


def _mkidcalculator(args) -> str:
    with tqdm(unit="set", desc="read pulse sets (each twice)", file=sys.stderr) as bar:
        files = convert_loop(args.file, args.out, loop=args.loop, wavelengths=args.wavelengths, heights=args.heights,
                             sample_rate_hz=args.sample_rate, placeholders=args.placeholder, force=args.force,
                             progress=bar.update)
    if not files:
        return f"{args.out}: {args.file.name} is there already (nothing written; --force converts it again)"
    lines = [f.stem for f in files if f.stem.endswith("nm")]
    return f"{args.out}: {len(lines)} lines ({', '.join(lines)}), {len(files)} files"


def _postage(args) -> str:
    captures = dict(args.captures)
    if len(captures) < len(args.captures):
        raise DataError("captures", None, "a wavelength twice", "one capture a laser line")
    files = tqdm(captures.items(), unit="file", desc="read stamps", file=sys.stderr)
    captures = {w: read_stamps(path, skip=args.skip) for w, path in files}
    if args.channel is not None:
        folders = {args.channel: args.out}
    else:
        sets = [set(stamps.channels.tolist()) for stamps in captures.values()]
        common = sorted(set.intersection(*sets))
        if not common:
            raise DataError("captures", "channel", "no channel is in all captures", "captures of the same channels")
        folders = {channel: args.out / f"channel-{channel:04d}" for channel in common}
        for channel in sorted(set.union(*sets) - set(common)):
            print(f"channel {channel}: left out, not in every capture", file=sys.stderr)
    said = []
    for channel, folder in folders.items():
        files = write_stamp_folder(captures, folder, channel, units=args.units, force=args.force)
        counts = ", ".join(f"{line_label(w)} {len(s.of_channel(channel))}" for w, s in sorted(captures.items()))
        said.append(f"{folder}: channel {channel}, stamps {counts}" if files else f"{folder}: there already")
    return "\n".join(said)


def _weights(args) -> str:
    from venom_hw.legacy import load_legacy  # PyTorch is loaded for this kind only
    from venom_hw.model import save_checkpoint

    if args.out.exists() and not args.force:
        raise DataError(args.out, None, "exists", "another --out, or --force")
    found = load_legacy(args.file, args.data, downsample=args.downsample, n_tau=args.n_tau, n_pre=args.n_pre,
                        peak_sigma=args.peak_sigma, full=args.full, sample_rate_hz=args.sample_rate,
                        energy=args.energy)
    for line in [*found.weights.folded, *found.notes]:
        print(f"note: {line}", file=sys.stderr)
    save_checkpoint(args.out, found.checkpoint)
    sizes = ", ".join(f"{k} {v}" for k, v in found.checkpoint.model.config.items())
    return (f"{args.out}: {found.checkpoint.model.parameter_count()} parameters ({sizes}), window of "
            f"{found.checkpoint.window['length']} samples, energies {found.energy}, Gaussian mean R "
            f"{found.summary['mean_all']:.1f} on held-out pulses ({found.held_out})")


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    try:
        print({"mkidcalculator": _mkidcalculator, "postage": _postage, "weights": _weights}[args.kind](args))
    except (ValueError, OSError) as error:  # DataError, CheckpointError, TrainError are ValueErrors
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
