"""Command line: train a float VENOM model on simulated or measured MKID pulses."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from venom_hw.detector import DataError
from venom_hw.model import CheckpointError, ModelError

from .config import TrainConfig, read_config
from .errors import TrainError
from .evaluate import text_report
from .resume import saved_config
from .run import MODEL_FILE, train

EPILOG = """\
Without --data the preset's detector is simulated first: its laser lines, energies between them (so that the network
learns energies and not line numbers), and a test at energies that no training pulse has. With --data the folder holds
one npz a wavelength (808nm.npz: i_trace, q_trace, mask, peak_heights); 15 % of each line are held out.

--out gets: model.safetensors (the model with window and normalisation, ready for python -m venom_hw.quantize),
model_meta.json (history, held-out pulses), config.toml (the settings in effect), report.txt, report.json and report.png
(resolving power against the shared-template optimal filter on the same held-out pulses), state.json and
state-*.safetensors (for --resume).

examples:
  python -m venom_hw.train --preset ptsi                        the shipped PtSi model: simulate, train, report
  python -m venom_hw.train --preset inhf --set pulses=10000 pulses_per_epoch=60000         the shipped InHf model
  python -m venom_hw.train --data lab/PtSi --epochs 25 --out runs/lab
  python -m venom_hw.train --resume runs/ptsi                   go on after an interruption, same bits as without it
  python -m venom_hw.train --config runs/ptsi/config.toml --set d_state=4 --out runs/small

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
    p.add_argument("--preset", choices=("ptsi", "inhf"), help="detector to simulate (default ptsi)")
    p.add_argument("--data", help="folder of pulses instead of simulated ones")
    p.add_argument("--out", type=Path, help="folder for the results (default runs/<preset>)")
    p.add_argument("--config", type=Path, help="TOML file of settings; options on the command line win")
    p.add_argument("--epochs", type=int, help="passes over the training pulses")
    p.add_argument("--batch", type=int, help="pulses a step")
    p.add_argument("--lr", type=float, help="largest learning rate")
    p.add_argument("--seed", type=int, help="seed of the weights and of the order of pulses")
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
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def parse_settings(pairs: list[str]) -> dict:
    """["d_state=4", "extra=a,b"] -> typed values. Raises TrainError naming the setting."""
    defaults, out = vars(TrainConfig()), {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in defaults:
            raise TrainError(f"--set {pair}: expected NAME=VALUE with a NAME of: {', '.join(defaults)}")
        kind = type(defaults[name])
        try:
            out[name] = [t for t in text.split(",") if t] if kind is list else kind(text)
        except ValueError:
            raise TrainError(f"--set {pair}: expected a value of type {kind.__name__}") from None
    return out


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    direct = {name: getattr(args, name) for name in ("preset", "data", "epochs", "batch", "lr", "seed")}
    command = shlex.join(["python", "-m", "venom_hw.train", *argv])
    try:
        if args.resume:
            if (
                args.config
                or args.set
                or any(v is not None for v in direct.values())
                or args.out not in (None, args.resume)
            ):
                raise TrainError(
                    "--resume goes on with the settings of the run: expected no --out, --config, --set, "
                    "--preset, --data, --epochs, --batch, --lr or --seed beside it"
                )
            config, out = saved_config(args.resume), args.resume
        else:
            config = read_config(args.config, **(direct | parse_settings(args.set)))
            out = args.out or Path("runs") / (Path(config.data).name if config.data else config.preset)
        result = train(config, out, args.simulated, command, resume=bool(args.resume), quiet=args.quiet)
    except (TrainError, DataError, ModelError, CheckpointError) as error:
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
        f"Written to {out}: {MODEL_FILE}, model_meta.json, config.toml, report.txt, report.json, report.png"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
