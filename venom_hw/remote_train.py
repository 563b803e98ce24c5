"""Command line: train one model on a Ray cluster and fetch everything it wrote back into runs/<name>/."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from venom_hw.cluster import ClusterError, Session, collect_files, connect, place_files, read_env, run_tasks
from venom_hw.cluster.env_file import setting

OUT = "run"  # the folder on the worker that venom_hw.train writes into
OURS = ("--out", "--resume", "--quiet")
EPILOG = """\
The package's sources are uploaded (no data, no weights); one task on the cluster links the folders of --data-root
into its working folder, runs python -m venom_hw.train with the flags after --, and everything it wrote comes back
into runs/<name>/: model.safetensors, reports, PDF, state (so that venom_hw.train --resume goes on here), and train.log.

With a data root, --ptsi and --inhf after -- name its folder (PtSiData, InHfData), as in the original; --preset ptsi
simulates. Without either, --data says which folder.

Site settings are read from the command line, else the environment, else .env (copy .env.example):
  VENOM_RAY_ADDRESS   ray://host:10001 or host:6379; empty: a local cluster of this machine's cores
  VENOM_DATA_ROOT     folder on the worker whose sub-folders hold the data (InHfData, PtSiData, ...)

examples:
  python -m venom_hw.remote_train --run-name ptsi_25 -- --preset ptsi --epochs 25
  python -m venom_hw.remote_train --run-name lab --ray-address ray://gpu:10001 --data-root /data/mkid --gpus 1 \\
      -- --ptsi --downsample 4 --epochs 25 --n-synthetic 120000 --device cuda
  python -m venom_hw.remote_train --run-name pixel7 --data-root /data/mkid -- --data pixel-0007 --n-synthetic 120000
  python -m venom_hw.remote_train --run-name try --local -- --preset ptsi --epochs 1 --set pulses=200 between=20
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.remote_train",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --run-name NAME [options] -- [flags of venom_hw.train]",
    )
    p.add_argument("--run-name", required=True, help="results go to <runs>/<run-name>")
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (default runs)")
    p.add_argument("--ray-address", help="cluster; default VENOM_RAY_ADDRESS, else a local one")
    p.add_argument("--data-root", help="folder of data folders on the worker; default VENOM_DATA_ROOT")
    p.add_argument("--local", action="store_true", help="a local cluster, whatever the settings say")
    p.add_argument("--cpus", type=float, default=1, help="cores the task asks for (default 1)")
    p.add_argument("--gpus", type=float, default=0, help="GPUs the task asks for (default 0)")
    p.add_argument("--env-file", type=Path, default=Path(".env"), help="site settings (default .env)")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def remote_job(arguments: list[str], data_root: str) -> tuple[int, dict[str, bytes]]:
    """On the worker: run venom_hw.train in a folder of its own; its exit status and the files it wrote."""
    from venom_hw.train.__main__ import main as train

    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="venom-train-") as folder:
        try:
            os.chdir(folder)
            log = io.StringIO()
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                try:
                    link_data(data_root)
                    status = train([*named_data(arguments, data_root), "--out", OUT, "--quiet"])
                except SystemExit as end:  # argparse: a flag that venom_hw.train does not know
                    status = end.code if isinstance(end.code, int) else 2
                except ClusterError as error:
                    print(f"error: {error}", file=sys.stderr)
                    status = 2
            files = collect_files(Path(OUT)) if Path(OUT).is_dir() else {}
            return int(status or 0), files | {"train.log": log.getvalue().encode()}
        finally:
            os.chdir(before)


def named_data(arguments: list[str], data_root: str) -> list[str]:
    """The flags for venom_hw.train in the folder of links: with a data root, --ptsi and --inhf mean the data there."""
    given = {a.partition("=")[0] for a in arguments}
    by_setting = any(a.startswith("data=") for a in arguments)  # --set data=...
    if not data_root or by_setting or given & {"--data", "--data-root"} or not given & {"--ptsi", "--inhf"}:
        return arguments
    return ["--data-root", ".", *arguments]


def link_data(data_root: str) -> None:
    """Links to the sub-folders of data_root in the current folder. Raises ClusterError if it is no folder."""
    if not data_root:
        return
    root = Path(data_root).expanduser()
    if not root.is_dir():
        raise ClusterError(
            f"VENOM_DATA_ROOT '{data_root}': no such folder on the worker; expected one with data folders"
        )
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            Path(folder.name).symlink_to(folder.resolve(), target_is_directory=True)


def check_name(name: str) -> str:
    """A run's name: a plain folder name. Raises ClusterError."""
    if not name or name in (".", "..") or Path(name).name != name or "\\" in name:
        raise ClusterError(f"--run-name '{name}': expected a plain name, e.g. ptsi_winner")
    return name


def launch(
    session: Session,
    out: Path,
    arguments: list[str],
    data_root: str,
    cpus: float = 1,
    gpus: float = 0,
    quiet: bool = False,
) -> int:
    """Run the job, fetch its files into `out`; its exit status. Raises ClusterError if the task itself failed."""
    started = time.perf_counter()
    with tqdm(total=1, desc="training on the cluster", unit="run", disable=quiet, file=sys.stderr) as bar:
        (outcome,) = run_tasks(session, remote_job, [(arguments, data_root)], retries=0, cpus=cpus, gpus=gpus)
        bar.update()
    if outcome.error:
        raise ClusterError(f"the task on the cluster failed: {outcome.error}")
    status, files = outcome.value
    place_files(out, files)
    if not quiet:
        print(f"{len(files)} files fetched after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return status


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    own, forwarded = argv, []
    if "--" in argv:
        own, forwarded = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    args = parser().parse_args(own)
    try:
        out = args.runs / check_name(args.run_name)
        if taken := [a for a in forwarded if a.partition("=")[0] in OURS]:
            raise ClusterError(
                f"{taken[0]} after --: the launcher sets it itself; expected other flags of venom_hw.train"
            )
        if out.exists() and any(out.iterdir()):
            raise ClusterError(f"{out}: holds a run already; expected another --run-name")
        env = read_env(args.env_file)
        address = "" if args.local else setting("VENOM_RAY_ADDRESS", args.ray_address, env)
        data_root = setting("VENOM_DATA_ROOT", args.data_root, env)
        with connect(address) as session:
            status = launch(session, out, forwarded, data_root, args.cpus, args.gpus, args.quiet)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if status:
        log = (out / "train.log").read_text(encoding="utf-8").strip().splitlines()
        print("\n".join(log[-5:]), file=sys.stderr)
        print(
            f"error: venom_hw.train {shlex.join(forwarded)} ended with status {status}; "
            f"its output: {out / 'train.log'}",
            file=sys.stderr,
        )
        return status
    print(f"Written to {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
