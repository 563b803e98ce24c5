"""The command: a campaign, or the replay of one case."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from sim.fuzz.campaign import Summary, campaign, run_case
from sim.fuzz.case import load_case
from sim.fuzz.errors import FuzzError
from sim.fuzz.renderings import DEFAULT, EITHER, RENDERINGS
from sim.fuzz.renderings import names as known_names
from sim.fuzz.workshop import Workshop
from sim.toolchain import ToolchainError
from venom_hw.codegen.errors import CodegenError
from venom_hw.datapath.ops import DatapathError

OUT = Path("build") / "fuzz"
LINE_EVERY = 20


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m sim.fuzz",
        description="Random datapaths and VENOM configurations through golden model, HLS C++ and RTL, bit for bit.",
        epilog="renderings: " + "; ".join(
            [f"{n}: {c.__doc__.splitlines()[0]}" for n, c in RENDERINGS.items()]
            + [f"{n}: the first that takes the case of {', '.join(e)}" for n, e in EITHER.items()]
        ),
    )
    p.add_argument("--count", type=int, default=200, help="cases through all renderings (default: 200)")
    p.add_argument("--seed", type=int, default=1, help="which cases (default: 1)")
    usual = ",".join(DEFAULT)
    p.add_argument("--renderings", default=usual, help=f"by name, comma between (default: {usual})")
    p.add_argument("--replay", type=Path, metavar="JSON", help="a case from its file, through the rendering it names")
    p.add_argument("--keep", action="store_true", help="with --replay: keep what was rendered, and say where")
    p.add_argument("--jobs", type=int, help="processes (default: the machine's cores, at most 4)")
    p.add_argument("--shrink", type=float, default=300, metavar="SECONDS", help="for each kind of difference (300)")
    p.add_argument("--out", type=Path, default=OUT, help=f"output folder (default: {OUT})")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        known, names = known_names(), [name for name in args.renderings.split(",") if name]
        if unknown := [name for name in names if name not in known]:
            raise FuzzError(f"no rendering {unknown[0]!r}; there are {', '.join(known)}")
        if args.count < 1 or args.seed < 0 or args.shrink < 0 or (args.jobs is not None and args.jobs < 1):
            raise FuzzError("--count and --jobs: at least 1; --seed and --shrink: at least 0")
        return replay(args, names) if args.replay else fuzz(args, names)
    except (FuzzError, ToolchainError, CodegenError, DatapathError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def replay(args: argparse.Namespace, names: list[str]) -> int:
    """One case from its file."""
    case = load_case(args.replay)
    named = (case.about or {}).get("rendering")
    if named in known_names() and args.renderings == ",".join(DEFAULT):
        names = [named]
    graphs = case.datapath.step, case.datapath.head
    nodes = " + ".join(str(len(graph.nodes)) for graph in graphs)
    windows = f"{len(case.pulses)} windows, {case.samples} samples"
    print(f"{case.name}: {nodes} nodes, {windows}, options {dict(case.options)}")
    workshop = Workshop(args.out / "tools")
    keep = args.out / "replay" / args.replay.stem if args.keep else None
    outcome = run_case(case, names, args.out / "work", workshop, keep=keep)
    for name, reason in outcome.refused.items():
        print(f"{name:10} refuses the case: {reason}")
    for name, difference in outcome.differences.items():
        print(f"{name:10} {difference.message if difference else 'equal to the reference'}")
    if keep:
        print(f"rendered in {keep}")
    return int(any(outcome.differences.values()) or len(outcome.differences) < len(names))


def fuzz(args: argparse.Namespace, names: list[str]) -> int:
    """A campaign, with a bar and a summary."""
    begin = time.perf_counter()
    print(f"VENOM-HW fuzz: {args.count} cases of seed {args.seed} through {', '.join(names)}", flush=True)
    with tqdm(total=args.count, unit="case", disable=None) as bar:

        def progress(summary: Summary, outcome, shrinker) -> None:
            if shrinker is not None:
                bar.set_postfix_str(f"shrinking: {shrinker.trials} trials, {shrinker.accepted} smaller")
                return
            bar.set_postfix_str(f"{summary.failed} failed")
            bar.update(summary.complete - bar.n)
            if bar.disable and summary.cases % LINE_EVERY == 0:  # no terminal: a line now and then
                passed = time.perf_counter() - begin
                print(f"{summary.cases} cases, {summary.failed} failed, {passed:.0f} s", flush=True)

        summary = campaign(
            args.seed, args.count, names, args.out, jobs=args.jobs, shrink_seconds=args.shrink, progress=progress
        )
    for failure in summary.failures:
        others = len(summary.repeated.get(failure.path, ()))
        print(f"\n{failure.case}: {failure.small}")
        print(f"  {failure.trials} trials to shrink it" + (f"; {others} further cases of this kind" if others else ""))
        print(f"  python -m sim.fuzz --replay {failure.path}")
    times = ", ".join(f"{name} {summary.seconds[name] / summary.cases:.1f} s" for name in names)
    print(f"\n{summary.cases} cases in {time.perf_counter() - begin:.0f} s (each: {times})")
    print("compared: " + ", ".join(f"{name} {summary.checks[name]}" for name in names), end="")
    refused = ", ".join(f"{name} {cases}" for name, cases in sorted(summary.refused.items()))
    print(f"; refused by {refused}" if refused else "")
    if summary.failed:
        print(f"{summary.failed} DIFFERENCES: see above")
    elif missing := args.count - summary.complete:
        print(f"ALL EQUAL, BUT {missing} CASES TOO FEW went through all of {', '.join(names)}")
    else:
        print(f"ALL EQUAL: {summary.complete} cases through all of {', '.join(names)}")
    return int(bool(summary.failed) or summary.complete < args.count)


if __name__ == "__main__":
    sys.exit(main())
