"""Command line: train a network for each pixel of an array, many at once."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

from venom_hw.backend import DEVICE_VARIABLE, BackendError, choose_device, usable_devices
from venom_hw.cluster import ClusterError, connect, read_env
from venom_hw.cluster.env_file import setting
from venom_hw.detector import PRESETS, DataError
from venom_hw.detector.pixels import scatter_pixels
from venom_hw.model import ModelError
from venom_hw.train import TrainConfig, TrainError, read_config
from venom_hw.train.options import parse_settings

from . import step_kernel
from .engine import ENGINES
from .errors import TrainArrayError
from .pixel_data import folder_sources, simulated_sources
from .results import notes, text_table
from .run import make_groups, train_array
from .trainer import check_settings

EPILOG = """\
Pixels come from --data (a folder with one data folder a pixel, as python -m venom_hw.simulate --pixels N writes it;
each like those of venom_hw.train) or are simulated with scattered parameters (--preset, --pixels). Every pixel has its
own pulses, normalisation, seed (--seed plus its number), schedule and model. A pixel whose loss is not finite starts
again at 0.3 of the rate, up to --retries times, and is then reported as failed; the others do not notice.

Measured pixels have few laser lines, and a network trained on fewer than 20 energies may learn to tell the lines apart
instead of measuring energy: its R at the lines is then no resolving power (column 'warning', and a line below the
table). --n-synthetic N fits a generator to each pixel's training pulses and draws N new pulses of that pixel each
epoch, at energies all over the range. A group holds N pulses for each of its pixels (of 126 samples: 0.5 kB a pulse),
so that many of them want a smaller --group.

Pixels are trained in groups (--group), whose steps are made together. A group is a task: on this machine's cores
through Ray by default, on a cluster with --ray-address (or VENOM_RAY_ADDRESS in the environment or .env), in this
process with --no-ray.

The same command goes on after an interruption: finished pixels are kept, those that failed are tried again, and groups
in between go on after their last epoch, where that epoch's state is in --out: with --no-ray, on the local cluster, and
with --shared. On a cluster that does not share --out the state lies in a temporary folder of the worker and is lost
with the task: a group that did not end starts from its first epoch, so choose --group small there.

--retries N means two things: a pixel whose loss is not finite starts again up to N times (at a smaller rate), and a
group whose task is lost (a machine that goes down, no memory) is given to the cluster again up to N times.

--device auto is VENOM_DEVICE if that is set, else CUDA, Apple's MPS or the CPU, whichever is found first where a group
is trained; with Ray it is the CPU unless --gpus is given. The engine on the CPU is a C++ kernel compiled on first use;
without a compiler it is PyTorch's batched operations, which on a CPU are slower than venom_hw.train one by one (said on
the screen and in column 'engine').

--out gets: results.csv and results.json (a row a pixel: R with its 95 % interval, bias, status, seconds), pixels/
<pixel>/model.safetensors (and generator.npz with synthetic pulses), config.toml, pixels.txt, groups/ (rows and
states). R is of the fixed-width kernel density, on held-out pulses, calibrated to energy; python -m venom_hw.evaluation
measures one pixel with everything there is.

examples:
  python -m venom_hw.train_array --preset ptsi --pixels 16 --out runs/array
  python -m venom_hw.train_array --data lab/pixels --epochs 25 --batch 32 --out runs/array --group 64
  python -m venom_hw.train_array --data lab/pixels --out runs/array --ray-address ray://head:10001 --gpus 1 \\
      --device cuda
  python -m venom_hw.train_array --preset ptsi --pixels 4 --no-ray --epochs 3 --set pulses=400 between=20 \\
      between_pulses=100 --out runs/try

  python -m venom_hw.train_array --data lab/pixels --n-synthetic 20000 --group 16 --out runs/array

settings for --set and TOML files: those of python -m venom_hw.train --help, except jitter, micro-batches and
activation checkpoints
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.train_array",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = p.add_argument_group("pixels")
    source.add_argument("--data", type=Path, help="folder of pixel folders")
    source.add_argument("--preset", choices=sorted(PRESETS), help="simulate pixels about this detector")
    source.add_argument("--pixels", type=int, help="how many (of --data: the first ones; default all)")
    source.add_argument(
        "--scatter-seed", type=int, default=0, help="seed of the pixels' parameters (default 0)"
    )
    source.add_argument(
        "--simulated",
        type=Path,
        default=Path("data/simulated/pixels"),
        help="where simulated pixels are kept (default data/simulated/pixels)",
    )
    training = p.add_argument_group("training")
    training.add_argument("--out", type=Path, required=True, help="folder for the results")
    training.add_argument(
        "--config", type=Path, help="TOML file of settings; options on the command line win"
    )
    for name, kind, text in (
        ("epochs", int, "passes"),
        ("batch", int, "pulses a step"),
        ("lr", float, "largest rate"),
        ("seed", int, "seed of the first pixel's network"),
        ("n-synthetic", int, "fresh synthetic pulses of each pixel each epoch (default 0)"),
    ):
        training.add_argument(f"--{name}", type=kind, help=text)
    training.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="any other setting of venom_hw.train"
    )
    training.add_argument("--group", type=int, default=32, help="pixels trained together (default 32)")
    training.add_argument(
        "--retries",
        type=int,
        default=2,
        help="fresh starts of a diverged pixel, and also of a group whose task is lost (default 2)",
    )
    training.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="kernel: C++ on the CPU; torch: batched operations, any device (slow on a CPU); auto: the kernel on a CPU "
        "with a compiler, else torch",
    )
    training.add_argument(
        "--device", help="auto, cpu, cuda, cuda:<number> or mps (default: the setting device, else auto)"
    )
    training.add_argument(
        "--threads", type=int, help="threads of a group (default: the setting threads, else 1)"
    )
    training.add_argument(
        "--boot", type=int, default=100, help="bootstrap resamples of R's interval (default 100)"
    )
    cluster = p.add_argument_group("machines")
    cluster.add_argument("--no-ray", action="store_true", help="one group after the other, in this process")
    cluster.add_argument("--ray-address", help="a running cluster: ray://host:10001 or host:6379")
    cluster.add_argument("--cpus", type=int, help="cores of the local cluster (default all)")
    cluster.add_argument(
        "--gpus", type=float, default=0, help="GPUs a group needs, e.g. 1 or 0.25 (default 0)"
    )
    cluster.add_argument(
        "--shared", action="store_true", help="the cluster's machines see --out (and --data) as we do"
    )
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def pixel_sources(args, config: TrainConfig) -> list:
    if bool(args.data) == bool(args.preset):
        raise TrainArrayError("expected either --data FOLDER or --preset NAME with --pixels N")
    if args.pixels is not None and args.pixels < 1:
        raise TrainArrayError(f"--pixels {args.pixels}: expected 1 or more")
    if args.data:
        return folder_sources(args.data.resolve(), config.seed)[: args.pixels]
    if args.pixels is None:
        raise TrainArrayError("--preset: expected --pixels N beside it, the number of pixels to simulate")
    if args.scatter_seed < 0:
        raise TrainArrayError(f"--scatter-seed {args.scatter_seed}: expected 0 or more")
    preset = PRESETS[args.preset]
    presets = scatter_pixels(preset, args.pixels, args.scatter_seed)
    sizes = f"{config.pulses}-{config.between}x{config.between_pulses}-seed{config.simulation_seed}"
    root = args.simulated / f"{preset.name}{preset.version}-{args.scatter_seed}-{sizes}"
    return simulated_sources(presets, root.resolve(), config.seed, config.simulation_seed)


def group_device(name: str, here: bool, in_process: bool, gpus: float) -> str:
    """The device that the groups are told: `name`, or for "auto" $VENOM_DEVICE, else what there is.

    here: trained on this machine, so it has to be usable here; a cluster's machines find out themselves ("auto" stays),
    and a task that asks for no GPU gets the CPU. Raises TrainArrayError that names the devices.
    """
    source = "--device"
    if name == "auto" and os.environ.get(DEVICE_VARIABLE):
        name, source = os.environ[DEVICE_VARIABLE], DEVICE_VARIABLE
    if name == "auto" and not in_process and not gpus:
        return "cpu"
    known = name == "auto" or name.partition(":")[0] in ("cuda", "mps")
    if known and not here:
        return name
    try:
        return choose_device(name)
    except BackendError as error:
        expected = str(error).partition(": ")[2]
        raise TrainArrayError(
            f"{source} {name}: {expected}; usable here: auto, {', '.join(usable_devices())}"
        ) from None


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    try:
        for name, least in (("group", 1), ("retries", 0), ("threads", 1), ("boot", 2)):
            if getattr(args, name) is not None and getattr(args, name) < least:
                raise TrainArrayError(f"--{name} {getattr(args, name)}: expected {least} or more")
        direct = {n: getattr(args, n) for n in ("epochs", "batch", "lr", "seed", "n_synthetic", "preset")}
        config = read_config(args.config, **(direct | parse_settings(args.set)))
        config = dataclasses.replace(config, data="")
        check_settings(config)
        threads = args.threads or config.threads
        address = setting("VENOM_RAY_ADDRESS", args.ray_address, read_env(".env"))
        here = args.no_ray or not address
        device = group_device(args.device or config.device, here, args.no_ray, args.gpus)
        sources = pixel_sources(args, config)
        if here and args.engine == "auto" and device == "cpu" and step_kernel.library() is None:
            print(
                "note: no C++ compiler here, so the engine is torch, which on a CPU is slower than venom_hw.train one "
                "by one",
                file=sys.stderr,
            )
        groups = make_groups(
            sources,
            args.group,
            config=config,
            engine=args.engine,
            retries=args.retries,
            device=device,
            threads=threads,
            n_boot=args.boot,
            command=shlex.join(["python", "-m", "venom_hw.train_array", *argv]),
        )
        place = (
            nullcontext() if args.no_ray else connect(address, args.cpus, {"OMP_NUM_THREADS": str(threads)})
        )
        with place as session:
            rows = train_array(
                groups,
                args.out,
                session,
                shared=args.shared,
                retries=args.retries,
                cpus=threads,
                gpus=args.gpus,
                quiet=args.quiet,
            )
    except (TrainArrayError, ClusterError, TrainError, DataError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nstopped; the same command goes on: finished pixels are kept, groups in between go on after their last "
            "epoch where --out was shared with the workers",
            file=sys.stderr,
        )
        return 130
    print("\n".join([text_table(rows), *notes(rows)]))
    print(
        f"Written to {args.out}: results.csv, results.json, config.toml, pixels.txt, "
        f"{sum(r['status'] != 'failed' for r in rows)} models in pixels/"
    )
    return 1 if all(r["status"] == "failed" for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
