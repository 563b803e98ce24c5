"""Train a VENOM network to read photon energies from raw MKID pulses, simulated or measured, and report its resolving
power against an optimal filter on held-out pulses."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from venom_hw.backend import BackendError
from venom_hw.detector import DataError
from venom_hw.model import CheckpointError, ModelError

from .config import TrainConfig, read_config
from .errors import TrainError
from .evaluate import text_report
from .options import add_setting_options, given_settings, parse_settings
from .resume import saved_config
from .run import MODEL_FILE, train

DATA_FOLDERS = {"ptsi": "PtSiData", "inhf": "InHfData"}  # the original's names
EPILOG = """\
Without --data the preset's detector is simulated first: its laser lines, energies between them (so that the network
learns energies and not line numbers), and a test at energies that no training pulse has. With --data the folder holds
one npz a wavelength (808nm.npz: i_trace, q_trace, mask, peak_heights); 15 % of each line are held out.

Measured folders have few lines, and a network may learn to tell the lines apart instead of measuring energy: then R at
the lines is no resolving power. --n-synthetic 120000 fits a generator (principal components, or interpolated templates)
to the training pulses and draws that many new pulses each epoch, at energies all over the range. What that is worth,
leaving a line out shows: python -m venom_hw leave-one-out.

--out gets: model.safetensors (the model with window and normalisation, ready for python -m venom_hw.quantize),
model_meta.json (history, held-out pulses), config.toml (the settings in effect), report.txt, report.json, report.png
and report.pdf (resolving power against the shared-template optimal filter on the same held-out pulses, spectra, parity,
residuals, attention; --plot-features adds every feature channel), report-0005.pdf ... (--report-every 5), generator.npz
(with synthetic pulses), state.json and state-*.safetensors (for --resume). The filter needs noise: noise.npz, or a
longer stretch before the pulses; without (postage stamps) it is left out, and the report says so. R values that the
folder stores (opt_filt_R in metadata.json) are shown beside it.

examples:
  python -m venom_hw.train --preset ptsi                        simulate a PtSi detector, train, report
  python -m venom_hw.train --preset ptsi --epochs 25 --set pulses=10000 between_pulses=600 warmup=5     as shipped: ptsi
  python -m venom_hw.train --preset inhf --epochs 25 --set pulses=10000 between_pulses=600 warmup=5     as shipped: inhf
  python -m venom_hw.train --data lab/PtSi --n-synthetic 120000 --epochs 25 --report-every 5 --out runs/lab
  python -m venom_hw.train --data lab/PtSi --synthetic --epochs 2 --out runs/quick       a quick test, synthetic pulses
  python -m venom_hw.train --data lab/PtSi --jitter 808nm=0.01 920nm=0.008 --out runs/jitter
  python -m venom_hw.train --ptsi --n-layers 4 --d-model 64 --micro-batch 64 --checkpoint-activations      less memory
  python -m venom_hw.train --data-root lab --ptsi --n-synthetic 120000 --epochs 25    the original's folder lab/PtSiData
  python -m venom_hw.train --resume runs/ptsi                   go on after an interruption, same bits as without it
  python -m venom_hw.train --config runs/ptsi/config.toml --set d_state=4 --out runs/small

Training computes with PyTorch on CUDA, Apple's MPS or the CPU, whichever is found first; --device or VENOM_DEVICE names
one. The original's options (--ptsi --downsample 4 --n-tau 5 --n-components 50 --loss gaussian_nll --epochs 25
--n-synthetic 120000 --n-layers 1 --d-model 16 --d-state 8 --expand 1 --peak-sigma 2.0 --report-every 25 --full --jitter
--plot-features --synthetic) mean here what they mean there; where its PtSiData and InHfData are, --data-root says.

settings for --set and TOML files (name = default: meaning):
"""


def parser() -> argparse.ArgumentParser:
    rows = (
        f"  {f.name} = {getattr(TrainConfig(), f.name)!r}: {f.metadata['help']}"
        for f in dataclasses.fields(TrainConfig)
    )
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.train",
        description=__doc__,
        epilog=EPILOG + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, help="folder for the results (default runs/<preset or data folder>)")
    p.add_argument("--config", type=Path, help="TOML file of settings; options on the command line win")
    p.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="any other setting of the list below"
    )
    p.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with the run in FOLDER, with its settings"
    )
    p.add_argument(
        "--simulated",
        type=Path,
        default=Path("data/simulated"),
        help="where simulated pulses are kept between runs (default data/simulated)",
    )
    p.add_argument(
        "--data-root",
        type=Path,
        metavar="FOLDER",
        help="folder of the original's PtSiData and InHfData: trains on the one that --ptsi or --inhf names",
    )
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    add_setting_options(p)
    return p


def data_under(root: Path, given: dict) -> str:
    """The original's data folder of the detector that was named, below `root`. Raises TrainError beside --data."""
    if "data" in given:
        raise TrainError("--data-root names the folder that holds PtSiData and InHfData: expected no --data beside it")
    if "preset" not in given:
        raise TrainError(f"--data-root {root}: expected --ptsi or --inhf beside it, to say which of its folders")
    return str(root / DATA_FOLDERS[given["preset"]])


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    direct = given_settings(args)
    command = shlex.join(["python", "-m", "venom_hw.train", *argv])
    try:
        if args.resume:
            if args.config or args.set or args.data_root or direct or args.out not in (None, args.resume):
                raise TrainError(
                    "--resume goes on with the settings of the run: expected no --out, --config, --set or option "
                    "of a setting beside it" + (f", found '{next(iter(direct))}'" if direct else "")
                )
            config, out = saved_config(args.resume), args.resume
        else:
            if args.data_root:
                direct["data"] = data_under(args.data_root, direct)
            config = read_config(args.config, **(direct | parse_settings(args.set)))
            out = args.out or Path("runs") / (Path(config.data).name if config.data else config.preset)
        result = train(config, out, args.simulated, command, resume=bool(args.resume), quiet=args.quiet)
    except (TrainError, DataError, ModelError, CheckpointError, BackendError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nstopped; after a finished epoch, go on with --resume {args.resume or args.out or 'runs/...'}",
            file=sys.stderr,
        )
        return 130
    print(text_report(result))
    print(
        f"Written to {out}: {MODEL_FILE}, model_meta.json, config.toml, report.txt, report.json, report.png, report.pdf"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
