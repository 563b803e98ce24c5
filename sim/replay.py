"""Vector files on generated RTL by a plain C++ program (sim/replay.cpp): the fastest way to simulate an engine.

    python -m sim.replay --model ptsi --samples 1000000

replays random windows of check (`venom_hw.flow.stimuli`) on all channels and compares every result and state word.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sim.device import SIM_FOLDER
from sim.errors import BenchError
from sim.verilate import RANDOM_START, verilate
from venom_hw.codegen.rtl.project import RtlProject
from venom_hw.codegen.stimulus import Pulse, Stimulus, channel_bits, schedule
from venom_hw.codegen.vectors import Expected, write_vectors
from venom_hw.datapath.golden import Golden
from venom_hw.datapath.model import Datapath

MAIN = SIM_FOLDER / "replay.cpp"
CHUNK = 200_000
"""Samples of one vector file of a long run (PtSi: 90 MB)."""


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found.

    Attributes:
        compared: integers compared (results, state words, counters); mismatches: those that differ.
        windows, beats: results compared, beats driven.
        clocks: simulated; seconds: in which the program simulated and compared them, without start and reading.
        first: the first mismatch (channel, sample, tensor, index, expected, found), None if all agree.
    """

    mismatches: int
    windows: int
    beats: int
    compared: int
    clocks: int
    seconds: float
    first: dict | None

    @property
    def rate(self) -> float:
        """Samples simulated a second."""
        return self.beats / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        text = f"{self.windows:,} windows, {self.beats:,} samples, {self.compared:,} integers compared, "
        text += f"{self.mismatches:,} mismatches, {self.rate:,.0f} samples/s"
        if self.first:
            where = "; first: channel {channel}, sample {sample}, {tensor}{index}: expected {expected}, found {found}"
            text += where.format(**self.first)
        return text


def address_channels(channels: int) -> list[int]:
    """Channels that differ from channel 0 in one address bit each, 0 and the last: a memory that drops a bit mixes two.

    >>> address_channels(24)
    [0, 1, 2, 4, 8, 16, 23]
    """
    return sorted({0, channels - 1, *(1 << k for k in range((channels - 1).bit_length()))})


def replay_macros(project: RtlProject) -> dict[str, str | int]:
    """Macros of sim/replay.cpp for a project."""
    manifest = project.manifest
    words = sum(int(np.prod(state["shape"], dtype=np.int64)) for state in manifest["states"])
    return {
        "CHANNELS": f"{project.channels}u",
        "CHANNEL_BITS": channel_bits(project.channels),
        "REVISIT": f"{project.revisit}u",
        "MAX_STEPS": f"{project.max_steps}u",
        "STATE_WORDS": f"{words}u",
        "DRAIN": project.latency + manifest["head_interval"] * (project.fifo_depth + 2) + 64,
    }


def build_replay(
    project: RtlProject, folder: str | Path, *, states: bool = True, optimise: str = "-O1", threads: int = 1
) -> Path:
    """Compile the driver with the project's RTL.

    Args:
        folder: of the build; used again when nothing has changed.
        states: compare the state words; without, the state trace is not even built (SYNTHESIS is defined).
        optimise: of the C++ compiler; -O2 compiles twice as long and simulates a fifth faster.
        threads: of the simulation.

    Raises:
        BenchError: Verilator or the compiler fails.
    """
    trace = [SIM_FOLDER / "state_trace.sv"] if states else []
    return verilate(
        [*trace, *project.sources],
        MAIN,
        Path(folder),
        top=project.top,
        defines=[] if states else ["SYNTHESIS"],
        macros=replay_macros(project) | ({} if states else {"NO_STATES": 1}),
        optimise=optimise,
        arguments=["--threads", str(threads)] if threads > 1 else [],
    )


def run_replay(
    project: RtlProject, program: Path, vectors: Iterable[Path], *, keep: bool = True, timeout: float = 3600
) -> ReplayResult:
    """Replay vector files one after the other, without a reset in between; each may be made while the last one runs.

    Args:
        vectors: the files. All but the last must leave no window open.
        keep: leave the files; else each is removed once it has been replayed.

    Raises:
        BenchError: the program refused a file or did not end properly.
    """
    files = list(vectors) if isinstance(vectors, list | tuple) else vectors
    running = subprocess.Popen(
        [str(program), "-", *RANDOM_START], cwd=project.folder,  # $readmemh names the tables without a folder
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    waiting: list[Path] = []
    try:
        for path in files:
            if len(waiting) > 1:
                _done(running, program, waiting.pop(0), keep)
            running.stdin.write(f"{Path(path).resolve()}\n")
            running.stdin.flush()
            waiting.append(Path(path))
        running.stdin.close()
        for path in waiting:
            _done(running, program, path, keep)
        text = running.stdout.read()
        running.wait(timeout)
    except BrokenPipeError:
        running.wait(timeout)
        raise _failed(program, running) from None
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    if running.returncode not in (0, 1) or not text.strip():
        raise _failed(program, running)
    result = ReplayResult(**json.loads(text.strip().splitlines()[-1]))
    if (running.returncode == 0) != (result.mismatches == 0):
        raise BenchError(f"{program}: exit status {running.returncode} with {result.mismatches} mismatches")
    return result


def _done(running: subprocess.Popen, program: Path, path: Path, keep: bool) -> None:
    for line in iter(running.stdout.readline, ""):
        if line.startswith("done "):
            if not keep:
                path.unlink()
            return
    running.wait()
    raise _failed(program, running)


def _failed(program: Path, running: subprocess.Popen) -> BenchError:
    return BenchError(f"{program}: exit status {running.returncode}: {running.stderr.read().strip()[-2000:]}")


def long_run(
    project: RtlProject,
    samples: np.ndarray,
    lengths: np.ndarray,
    total: int,
    *,
    chunk: int = CHUNK,
    seed: int = 1,
    channels: Sequence[int] | None = None,
) -> Iterator[Stimulus]:
    """Stimuli of `total` samples or somewhat more, no window open at the end of any: every channel gets its turn.

    Args:
        samples, lengths: windows to draw from, (n, L, 2) and (n,).
        chunk: samples of one stimulus.
        channels: that get windows, all by default; on few of them a short run has many windows one after another.
    """
    rng = np.random.default_rng(seed)
    used = range(project.channels) if channels is None else channels
    order, drawn = list(used), 0
    while drawn < total:
        pulses, count = [], 0
        while count < min(chunk, total - drawn):
            if not order:
                order = list(used)
            window = int(rng.integers(len(lengths)))
            pulses.append(Pulse(order.pop(int(rng.integers(len(order)))), samples[window, : lengths[window]]))
            count += int(lengths[window])
        drawn += count
        yield schedule(pulses, channels=project.channels, revisit=project.revisit, seed=int(rng.integers(1 << 31)))


def replay(
    project: RtlProject,
    datapath: Datapath,
    out: str | Path,
    stimuli: Iterable[Stimulus],
    *,
    states: bool = True,
    optimise: str = "-O1",
    program: Path | None = None,
) -> ReplayResult:
    """Replay stimuli against the golden model; the vector files live in `out` only while they are needed.

    Args:
        datapath: what the RTL was rendered from.
        program: of `build_replay`; built in `out` without.

    Raises:
        BenchError: the driver cannot be built or run.
    """
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    program = program or build_replay(
        project, out / ("states" if states else "results"), states=states, optimise=optimise
    )

    golden = Golden(datapath.step, datapath.head)

    def files() -> Iterator[Path]:
        for number, stimulus in enumerate(stimuli):
            result = golden.run(*stimulus.windows(project.max_steps), trace=states)
            if states:
                expected = Expected.of(datapath, result)
            else:
                expected = Expected(result.outputs["energy"], result.outputs["log_variance"], {})
            yield write_vectors(out / f"vectors{number}.bin", stimulus, expected, max_steps=project.max_steps)

    return run_replay(project, program, files(), keep=False)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m sim.replay", description=__doc__.splitlines()[0])
    p.add_argument("--board", default="rfsoc4x2", help="a folder of boards/ (default: rfsoc4x2)")
    p.add_argument("--model", help="a shipped model (ptsi, inhf), or a folder with step.onnx and head.onnx; ptsi")
    p.add_argument("--out", type=Path, help="output folder (default: build/<board>/replay)")
    p.add_argument("--channels", type=int, default=2048, help="interleaved channels (default: 2048)")
    p.add_argument("--samples", type=int, default=CHUNK, help=f"samples to replay (default: {CHUNK:,})")
    p.add_argument("--seed", type=int, default=1, help="seed of windows and their order (default: 1)")
    p.add_argument("--no-states", action="store_true", help="compare results alone: the simulation's own speed")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from sim.toolchain import ToolchainError
    from venom_hw.boards import BoardError, load_board
    from venom_hw.codegen.errors import CodegenError
    from venom_hw.codegen.rtl.project import render_rtl
    from venom_hw.datapath import DatapathError
    from venom_hw.flow.model_files import ModelError, find_model
    from venom_hw.flow.stimuli import check_windows
    from venom_hw.interchange.importer import import_venom
    from venom_hw.interchange.onnx_graph import ImportRefused

    try:
        if args.channels < 1 or args.samples < 1 or args.seed < 0:
            raise BenchError("--channels and --samples: at least 1; --seed: at least 0")
        board, files = load_board(args.board), find_model(args.model)
        out = args.out or Path("build") / board.name / "replay" / files.name
        datapath = import_venom(files.step, files.head)
        project = render_rtl(datapath, board, out / "rtl", channels=args.channels, name=files.name)
        print(f"VENOM-HW replay: model {files.name}, {args.channels} channels; compiling the RTL ...", flush=True)
        program = build_replay(project, out / ("results" if args.no_states else "states"), states=not args.no_states)
        windows = check_windows(datapath, 512, folder=out / "pulses", seed=args.seed)
        stimuli = long_run(project, windows.samples, windows.lengths, args.samples, seed=args.seed)
        clock = time.perf_counter()
        with tqdm(total=args.samples, unit="sample", unit_scale=True, desc="replaying", disable=None) as bar:
            result = replay(project, datapath, out, _counted(stimuli, bar), states=not args.no_states, program=program)
        seconds = time.perf_counter() - clock
    except (
        BenchError, ToolchainError, BoardError, CodegenError, DatapathError, ModelError, ImportRefused, OSError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{result} ({seconds:.0f} s with the golden model's vectors)")
    print("BIT EXACT" if not result.mismatches else "NOT BIT EXACT: see above")
    return 0 if not result.mismatches else 1


def _counted(stimuli: Iterable[Stimulus], bar: tqdm) -> Iterator[Stimulus]:
    for stimulus in stimuli:
        yield stimulus
        bar.update(len(stimulus))


if __name__ == "__main__":
    sys.exit(main())
