"""Command line: train every combination of a grid of settings and compare them."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

from venom_hw.cluster import ClusterError, connect, read_env
from venom_hw.cluster.env_file import setting
from venom_hw.detector import DataError
from venom_hw.model import ModelError
from venom_hw.train import TrainError
from venom_hw.train.data import simulated_folders
from venom_hw.train.options import parse_settings

from .errors import SweepError
from .grid import parse_grid, points, read_grid
from .run import run_sweep, text_table

EPILOG = """\
Each combination is a run of venom_hw.train with all its reports in <out>/<name>/ (name: d_state-4_lr-0.006). Runs are
tasks on this machine's cores through Ray, on a cluster with --ray-address (or VENOM_RAY_ADDRESS), one after the other
with --no-ray. The same command goes on after an interruption: finished runs are kept.

--out gets: sweep.md, sweep.csv, sweep.json (a row a configuration, best mean R on held-out pulses first, with its 95 %
interval, the optimal filter's R and the number of parameters) and a folder for each configuration.

a grid as TOML:
  [settings]            # of every run
  preset = "ptsi"
  epochs = 6
  [grid]                # all combinations
  d_state = [4, 8]
  lr = [0.003, 0.006]

examples:
  python -m venom_hw.sweep --grid d_state=4,8 lr=0.003,0.006 --set preset=ptsi epochs=6 --out runs/sweep
  python -m venom_hw.sweep --grid-file grid.toml --out runs/sweep --no-ray
  python -m venom_hw.sweep --grid d_model=8,16 --set data=lab/PtSi --out runs/width --ray-address host:6379 --shared

settings: python -m venom_hw.train --help lists them
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.sweep",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--grid", nargs="+", default=[], metavar="NAME=V,V", help="swept settings with their values"
    )
    p.add_argument("--grid-file", type=Path, help="TOML file with [settings] and [grid]")
    p.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of every run")
    p.add_argument("--config", type=Path, help="TOML file of settings (as venom_hw.train writes it)")
    p.add_argument("--out", type=Path, required=True, help="folder for the results")
    p.add_argument(
        "--simulated", type=Path, default=Path("data/simulated"), help="where simulated pulses are kept"
    )
    p.add_argument("--no-ray", action="store_true", help="one run after the other, in this process")
    p.add_argument("--ray-address", help="a running cluster: ray://host:10001 or host:6379")
    p.add_argument("--cpus", type=int, help="cores of the local cluster (default all)")
    p.add_argument("--gpus", type=float, default=0, help="GPUs a run needs (default 0)")
    p.add_argument(
        "--shared", action="store_true", help="the cluster's machines see --out and the data as we do"
    )
    p.add_argument("--retries", type=int, default=1, help="fresh attempts of a failed run (default 1)")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    try:
        if args.retries < 0:
            raise SweepError(f"--retries {args.retries}: expected 0 or more")
        settings, grid = read_grid(args.grid_file) if args.grid_file else ({}, {})
        chosen = points(settings | parse_settings(args.set), grid | parse_grid(args.grid), args.config)
        command = shlex.join(["python", "-m", "venom_hw.sweep", *argv])
        address = setting("VENOM_RAY_ADDRESS", args.ray_address, read_env(".env"))
        if (
            args.no_ray or not address or args.shared
        ):  # simulate once, before several runs want the same folder
            for config in {
                p.config.preset + str(p.config.simulation_seed): p.config for p in chosen
            }.values():
                if not config.data:
                    simulated_folders(config, args.simulated)
        with (
            nullcontext() if args.no_ray else connect(address, args.cpus, {"OMP_NUM_THREADS": "1"}) as session
        ):
            rows = run_sweep(
                chosen,
                args.out,
                args.simulated,
                command,
                session,
                shared=args.shared,
                retries=args.retries,
                gpus=args.gpus,
                quiet=args.quiet,
            )
    except (SweepError, ClusterError, TrainError, DataError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        return 130
    print(text_table(rows))
    print(f"Written to {args.out}: sweep.md, sweep.csv, sweep.json and {len(rows)} folders with reports")
    return 1 if all(row["status"] == "failed" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
