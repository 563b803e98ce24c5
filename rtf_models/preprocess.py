"""Alert packets or survey light curves into compact npz files, one a source, in train, val and test."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically

from .classes import APPLECIDER, BTS, ClassScheme, scheme_of
from .data.alert_folder import alert_jobs
from .data.bts import read_bts
from .data.input_files import InputState, append_inputs, read_inputs
from .data.source import Source
from .data.splits import (
    SPLITS,
    SPLITS_FILE,
    splits_of_folder,
    stratified_split,
    temporal_split,
    with_new,
    write_splits,
)
from .data.writing import Job, Loaded, Outcome, Writer, write_all
from .errors import DataError, RtfError

CONFIG, REPORT = "preprocess.json", "report.json"
EPILOG = """\
Input, one of:
  --bts FILE         light curves of the Bright Transient Survey in one npz file (types give the classes)
  --alert-dir DIR    alert packets: DIR/<object>/ with alerts.npy, *.avro or *.parquet, or *.avro and *.parquet
                     files anywhere below DIR, grouped by their objectId

Labels of packets come from --labels-dir (<split>/<object>.npz with the key 'label'); without it every source has the
label -1 (unknown), which trains reconstruction and is never counted as a class. Without --splits, sources are split
70/15/15 by --seed, each class alike; --temporal splits by the date of the first detection, the latest for the test.

The output folder gets <split>/<object>.npz, classes.json, splits.csv, preprocess.json (the options), inputs.jsonl (the
packet files that each source was made from) and report.json (what was written, rewritten, already there, left out and
why). A second run finishes the rest; an object whose packet files or label have changed since, or that has more files
now, is written again, from its files of earlier runs too where these are still there. An object keeps its split for
good, whatever folder its later packets come from.
Sources whose files are broken are left out, never turned into samples. Symbolic links below DIR are followed.

Packets are taken in the order of their times. A latecomer, a detection that a later packet's history has before the
newest one known until then, is left out and counted: so the first N detections are what was known then, and nothing
that comes later changes them.

With --fit-gp the 114 light-curve features are computed for the first 3, 5, 7, 10, 15, 20, 30, 50, 100 and all
detections, each from these detections only, so that nothing of the future reaches an early prediction.

examples:
  python -m rtf_models preprocess --bts ../shared/data/ztf/bts_lightcurves.npz --output-dir data/bts
  python -m rtf_models preprocess --bts bts_lightcurves.npz --output-dir data/bts_gp --fit-gp --workers 4
  python -m rtf_models preprocess --alert-dir alerts --splits splits.csv --labels-dir labels --output-dir data/ztf
  python -m rtf_models preprocess --alert-dir night_of_avro_files --output-dir data/night --no-history
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m rtf_models preprocess", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--alert-dir", type=Path, metavar="DIR", help="folder of alert packets")
    source.add_argument("--bts", type=Path, metavar="FILE", help="npz file of Bright Transient Survey light curves")
    p.add_argument("--splits", type=Path, metavar="CSV", help="columns obj_id, split (default: split by --seed)")
    p.add_argument("--labels-dir", type=Path, metavar="DIR", help="<split>/<object>.npz with the key 'label'")
    p.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="folder to write")
    p.add_argument("--horizon", type=float, default=100.0, metavar="DAYS",
                   help="days after the first detection that are kept (default 100)")
    p.add_argument("--fit-gp", action="store_true", help="compute light-curve features of prefixes")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    p.add_argument("--seed", type=int, default=0, help="of the split (default 0)")
    p.add_argument("--temporal", action="store_true", help="split by the date of the first detection")
    p.add_argument("--no-history", action="store_true",
                   help="use the triggered alerts only, not the earlier detections that packets carry (prv_candidates)")
    p.add_argument("--negative", action="store_true", help="keep detections of negative difference flux (isdiffpos)")
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


@dataclass(frozen=True)
class LoadedAlready:
    """A source that is in memory as a job's reader."""

    source: Source

    def __call__(self) -> Loaded:
        return Loaded(self.source)


def bts_jobs(path: Path, seed: int, temporal: bool) -> list[Job]:
    """Jobs of a Bright Transient Survey file, with their splits."""
    sources = read_bts(path)
    splits = (temporal_split([x.time[0] for x in sources]) if temporal
              else stratified_split([x.label for x in sources], seed))
    return [Job(x.object_id, str(split), LoadedAlready(x)) for x, split in zip(sources, splits, strict=True)]


def _features(asked: bool) -> dict:
    """The writer's arguments for features (imported only when asked for)."""
    if not asked:
        return {}
    from .features import FEATURE_NAMES, prefix_features

    return {"features": prefix_features, "feature_names": tuple(FEATURE_NAMES)}


def _config(args) -> dict:
    """What decides the contents of the output folder."""
    config = {"horizon": args.horizon, "fit_gp": args.fit_gp, "seed": args.seed, "temporal": args.temporal}
    if args.bts is not None:
        return config | {"bts_sha256": _sha256(args.bts)}
    return config | {"history": not args.no_history, "negative": args.negative, "labels": args.labels_dir is not None,
                     "splits_sha256": None if args.splits is None else _sha256(args.splits)}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror})", "a file") from error


def _compare(output_dir: Path, config: dict) -> None:
    """Refuses an output folder that was made with other options."""
    path = output_dir / CONFIG
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(path, None, f"cannot be read ({error})", "the options of an earlier run") from error
        if before != config:
            changed = sorted(key for key in {*before, *config} if before.get(key) != config.get(key))
            raise RtfError(f"{output_dir} was made with other options ({', '.join(changed)}; see {path.name} there); "
                           "give another --output-dir, or remove that folder")
    elif any((output_dir / split).is_dir() for split in SPLITS):
        raise RtfError(f"{output_dir} holds data of unknown origin (no {path.name}); give another --output-dir")


def _check(args) -> None:
    if not args.horizon >= 0:
        raise RtfError(f"--horizon {args.horizon}; expected days, 0 or more")
    if args.workers < 1:
        raise RtfError(f"--workers {args.workers}; expected 1 or more")
    if args.bts is not None:
        for flag in ("splits", "labels_dir", "no_history", "negative"):
            if getattr(args, flag):
                raise RtfError(f"--{flag.replace('_', '-')} goes with --alert-dir, not with --bts")
    elif args.splits is not None and args.temporal:
        raise RtfError("--temporal and --splits both say how to split; give one of them")
    elif args.labels_dir is not None and args.splits is None:
        raise RtfError("--labels-dir is sorted by split; give --splits too")


def report_of(outcomes: Sequence[Outcome], scheme: ClassScheme, notes: Counter) -> dict:
    """The account of a run, for report.json."""
    counts = Counter(x.status for x in outcomes)
    classes: dict[str, Counter] = {}
    for x in outcomes:
        notes.update(x.notes)
        if x.status in ("written", "rewritten"):
            classes.setdefault(x.split, Counter())[scheme.fine_name(x.label)] += 1
    return {"written": counts["written"], "rewritten": counts["rewritten"], "already_there": counts["already there"],
            "left_out": counts["left out"],
            "by_split": dict(sorted(Counter(x.split for x in outcomes if x.status != "left out").items())),
            "written_by_split_and_class": {key: dict(sorted(value.items())) for key, value in sorted(classes.items())},
            "notes": dict(sorted(notes.items())),
            "reasons": {x.object_id: x.reason for x in outcomes if x.status == "left out"}}


def reason_lines(reasons: Mapping[str, str], shown: int = 3) -> list[str]:
    """Why sources were left out, for people: the same reason once, with how many sources and the first of them."""
    groups: dict[str, list[str]] = {}
    for object_id, reason in reasons.items():
        groups.setdefault(reason.partition(": ")[2] or reason, []).append(object_id)
    return [f"left out {', '.join(ids[:shown])}{f' and {len(ids) - shown} more' if len(ids) > shown else ''}: {reason}"
            for reason, ids in groups.items()]


def preprocess(args) -> dict:
    """Runs the command with parsed arguments; the report."""
    _check(args)
    with _alone(args.output_dir):
        return _preprocess(args)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder: both would split the objects that are new to them."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RtfError(f"{folder}: another run is writing into it; wait for its end") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()  # where nothing was written


def _preprocess(args) -> dict:
    notes: Counter = Counter()
    config = _config(args)
    _compare(args.output_dir, config)
    known, written_from = splits_of_folder(args.output_dir), read_inputs(args.output_dir)
    if args.bts is not None:
        scheme, jobs, left_out = BTS, bts_jobs(args.bts, args.seed, args.temporal), []
    else:
        scheme = APPLECIDER if args.labels_dir is None else scheme_of(args.labels_dir)
        jobs, left_out = alert_jobs(args.alert_dir, splits_path=args.splits, labels_dir=args.labels_dir, seed=args.seed,
                                    known_splits=known, earlier=written_from, temporal=args.temporal,
                                    use_history=not args.no_history, keep_negative=args.negative, scheme=scheme,
                                    notes=notes, progress=not args.quiet)
    splits = with_new(known, {job.object_id: job.split for job in jobs}, args.output_dir)
    write_atomically(args.output_dir / CONFIG, json.dumps(config, indent=1) + "\n")
    scheme.save(args.output_dir)
    write_splits(args.output_dir / SPLITS_FILE, splits)
    outcomes = [*left_out, *_written(args, jobs, written_from)]
    report = report_of(outcomes, scheme, notes)
    write_atomically(args.output_dir / REPORT, json.dumps(report, indent=1) + "\n")
    return report


def _written(args, jobs: Sequence[Job], written_from: Mapping[str, InputState]) -> Iterator[Outcome]:
    """The outcomes of the jobs; what each source was written from is kept as soon as it is there."""
    writer = Writer(args.output_dir, args.horizon, **_features(args.fit_gp))
    inputs = {job.object_id: job.inputs for job in jobs}
    with tqdm(total=len(jobs), desc="preprocess", unit="source", disable=args.quiet) as bar:
        for outcome in write_all(writer, jobs, workers=args.workers, written_from=written_from):
            state = inputs[outcome.object_id]
            if outcome.status in ("written", "rewritten") and state is not None:
                append_inputs(args.output_dir, {outcome.object_id: state})
            bar.update()
            yield outcome


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        report = preprocess(args)
    except RtfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write to {args.output_dir} ({error})", file=sys.stderr)
        return 2
    for note, count in report["notes"].items():
        print(f"{note}: {count}")
    for line in reason_lines(report["reasons"]):
        print(line)
    rewritten = f"{report['rewritten']} rewritten from changed inputs, " if report["rewritten"] else ""
    print(f"{report['written']} sources written, {rewritten}{report['already_there']} already there, "
          f"{report['left_out']} left out; wrote {args.output_dir} ({REPORT} has the account)")
    return 0 if report["by_split"] else 2


if __name__ == "__main__":
    sys.exit(main())
