"""Encode a stream of alerts into fingerprints: 64 numbers an alert, an anomaly score, restartable at any moment."""

from __future__ import annotations

import argparse
import hashlib
import math
import signal
import sys
import time
from pathlib import Path

from ..errors import RtfError
from ..evaluation.command.common import add_checkpoint, add_device, load_model, make_parser, run_command

EPILOG = """\
inputs: Avro alert files (ZTF schema), Parquet tables of them, folders of either at any depth, patterns in quotes, or
kafka://host:port/topic (package confluent-kafka; topics with commas, ^pattern for topics by pattern).

Each alert's light curve is its own prv_candidates, extended by what the stream has seen of the object before: a bounded
memory of the objects seen last (--history). It ends at the alert and goes back as far as the model looks (its horizon).
Negative differences and upper limits do not count; an alert of an object without any detection gives no fingerprint.
A model that takes images sees the newest triplet at hand: the alert's own, or, where that is missing, damaged or cut
off by an edge, the one of an earlier alert of the stream (--image-history), as in preprocessing.

--output-dir gets
  fingerprints-00000002.avro ...  parts, whole as soon as they are visible: objectId, candid, jd, n_detections,
                                  fingerprint, anomaly, model (first 8 bytes of the model file's SHA-256).
                                  They may be moved away as they come.
  dead_letters/                   alerts that gave none because they are broken: where they are, and why (JSON lines)
  state/                          journal, history: what a restart needs. Not to be edited.

Exactly once: every alert gives one fingerprint, whatever kills the process. A restart with the same --output-dir goes
on after the last committed part; alerts that come twice (the last --remember of them) are noticed by their candid.
Files are known by their path: do not move them within a run's life. Ctrl-C or SIGTERM: commits what it has, then stops.

The anomaly score is the reconstruction error and the fingerprint's distance from the training set's, compared with
ordinary sources of as many detections: 0 ordinary, 1 a robust standard deviation more. It needs stream_calibration.json
beside the model, or --calibration (python -m rtf_models calibrate-stream makes one); without it is NaN.

examples:
  python -m rtf_models encode --checkpoint bts-ae --input alerts/ --output-dir fingerprints
  python -m rtf_models encode --checkpoint bts-ae --input 'night/*.avro' --output-dir out --int8 --format parquet
  python -m rtf_models encode --checkpoint runs/ae_dim64 --input incoming/ --watch --max-wait 10 --output-dir out
  python -m rtf_models encode --checkpoint runs/ae_dim64 --input kafka://broker:9092/ztf_20261121_programid1 \\
      --kafka-settings client.properties --output-dir fingerprints

read them back:
  from rtf_models.stream.parts import read_fingerprints
  for part in read_fingerprints("fingerprints"): part.object_id, part.latent, part.anomaly
"""
LIVE_WAIT = 30.0
DEFAULTS = {"batch": 64, "part_rows": 4096, "history": 20_000, "image_history": 1000, "remember": 200_000}


def parser() -> argparse.ArgumentParser:
    p = make_parser("encode", __doc__, EPILOG)
    add_checkpoint(p)
    p.add_argument("--input", nargs="+", required=True, metavar="WHERE", help="files, folders, patterns, or kafka://...")
    p.add_argument("--output-dir", type=Path, required=True, help="folder of the fingerprints; goes on with one begun")
    out = p.add_argument_group("fingerprints")
    out.add_argument("--format", choices=("avro", "parquet"), default="avro", help="of the parts (default avro)")
    out.add_argument("--int8", action="store_true", help="a byte a number, with a scale a fingerprint")
    out.add_argument("--part-rows", type=int, default=DEFAULTS["part_rows"], metavar="N",
                     help=f"fingerprints a part (default {DEFAULTS['part_rows']})")
    out.add_argument("--calibration", type=Path, metavar="FILE",
                     help="stream_calibration.json of the model (default: the one beside it)")
    out.add_argument("--no-anomaly", action="store_true", help="no anomaly scores: the decoder does not run")
    out.add_argument("--no-images", action="store_true", help="do not look at cutouts, even if the model can")
    out.add_argument("--no-features", action="store_true", help="do not compute light-curve features (15 ms an alert)")
    memory = p.add_argument_group("memory")
    memory.add_argument("--history", type=int, default=DEFAULTS["history"], metavar="OBJECTS",
                        help=f"objects whose detections are remembered, 0: none (default {DEFAULTS['history']})")
    memory.add_argument("--history-detections", type=int, metavar="N",
                        help="detections remembered of all objects together (default 50 an object)")
    memory.add_argument("--image-history", type=int, default=DEFAULTS["image_history"], metavar="OBJECTS",
                        help="objects whose newest image is remembered, 40 kB each, 0: none "
                             f"(default {DEFAULTS['image_history']}; only of a model that takes images)")
    memory.add_argument("--remember", type=int, default=DEFAULTS["remember"], metavar="ALERTS",
                        help=f"alerts remembered to notice repeats, 0: none (default {DEFAULTS['remember']})")
    pace = p.add_argument_group("pace")
    pace.add_argument("--batch", type=int, default=DEFAULTS["batch"], metavar="N",
                      help=f"alerts encoded together (default {DEFAULTS['batch']})")
    pace.add_argument("--max-wait", type=float, metavar="SECONDS",
                      help=f"commit at least so often (default {LIVE_WAIT:g} with --watch and Kafka, else whole parts)")
    pace.add_argument("--watch", action="store_true", help="files: wait for more, until stopped")
    pace.add_argument("--settle", type=float, default=1.0, metavar="SECONDS",
                      help="--watch: a file is whole when it has not changed for so long (default 1)")
    pace.add_argument("--idle-exit", type=float, metavar="SECONDS", help="stop when nothing has come for so long")
    pace.add_argument("--max-alerts", type=int, metavar="N", help="stop after so many in this run")
    kafka = p.add_argument_group("Kafka")
    kafka.add_argument("--kafka-settings", type=Path, metavar="FILE",
                       help="client settings, name=value lines (passwords)")
    kafka.add_argument("--begin", choices=("earliest", "latest"), default="earliest",
                       help="where partitions begin that the journal does not know (default earliest)")
    kafka.add_argument("--partitions", type=int, nargs="+", metavar="N", help="only these (default all)")
    kafka.add_argument("--skip-lost", action="store_true", help="go on where the broker has deleted unread alerts")
    add_device(p)
    return p


def check(args: argparse.Namespace) -> None:
    """Raises RtfError for numbers that make no sense."""
    least = {"batch": 1, "part_rows": 1, "history": 0, "history_detections": 1, "image_history": 0, "remember": 0,
             "max_wait": 0, "settle": 0, "idle_exit": 0, "max_alerts": 1}
    for name, low in least.items():
        value = getattr(args, name)
        if value is not None and not value >= low:
            raise RtfError(f"--{name.replace('_', '-')} {value}: expected {low} or more")
    if args.calibration is not None and args.no_anomaly:
        raise RtfError("--calibration and --no-anomaly: expected one of them")


def open_stream(args: argparse.Namespace, images: bool, client=None):
    """The stream of --input, and whether it is a live one. Raises StreamError."""
    from .errors import StreamError
    from .file_stream import FileStream
    from .kafka_stream import SCHEME, KafkaAddress, KafkaStream, read_settings

    if any(text.startswith(f"{SCHEME}://") for text in args.input):
        if len(args.input) > 1 or args.watch:
            raise StreamError(f"--input {' '.join(args.input)}: expected one kafka:// address alone, without --watch")
        settings = read_settings(args.kafka_settings) if args.kafka_settings else {}
        address = KafkaAddress.parse(args.input[0])
        return KafkaStream(address, begin=args.begin, partitions=args.partitions, skip_lost=args.skip_lost,
                           settings=settings, images=images, client=client), True
    stream = FileStream(args.input, watch=args.watch, settle=args.settle, images=images, exclude=args.output_dir)
    return stream, args.watch


def options_of(args: argparse.Namespace, live: bool):
    from .pipeline import EncodeOptions

    wait = args.max_wait if args.max_wait is not None else LIVE_WAIT if live else math.inf
    return EncodeOptions(batch=args.batch, part_rows=args.part_rows, max_wait=wait, form=args.format, int8=args.int8,
                         history=args.history, history_detections=args.history_detections,
                         image_history=args.image_history, remember=args.remember, max_alerts=args.max_alerts,
                         idle_exit=args.idle_exit)


class Stop:
    """Set by SIGINT and SIGTERM; a second SIGINT interrupts as usual."""

    def __init__(self):
        self.asked = False
        self._before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Stop:
        for name in self._before:
            signal.signal(name, self._ask)
        return self

    def __exit__(self, *_) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _ask(self, number, frame) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


def work(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .encoder import CheckpointEncoder, find_scorer
    from .journal import Journal
    from .pipeline import Pipeline

    check(args)
    if args.threads is None:
        import torch

        torch.set_num_threads(1)  # small batches: more threads only wait for each other
    checkpoint = load_model(args)
    scorer = None if args.no_anomaly else find_scorer(checkpoint, args.calibration)
    if scorer is None and not args.no_anomaly:
        print("note: no stream_calibration.json beside the model: anomaly is NaN "
              "(python -m rtf_models calibrate-stream makes one)", file=sys.stderr)
    encoder = CheckpointEncoder(checkpoint, scorer=scorer, images=not args.no_images, features=not args.no_features,
                                device=args.device)
    contract = {"model": encoder.model_hash, "format": args.format, "int8": args.int8, "dim": encoder.dim,
                "images": encoder.images, "features": encoder.features, "anomaly": _digest(scorer)}
    stream, live = open_stream(args, encoder.images)
    try:
        with Journal(args.output_dir, contract) as journal, Stop() as stop:
            went_on = journal.last
            pipeline = Pipeline(stream, encoder, journal, options_of(args, live))
            before = dict(pipeline.totals)
            if went_on:
                print(f"{args.output_dir}: going on after commit {went_on.number}, {went_on.note or 'the beginning'}",
                      file=sys.stderr)
            start = time.monotonic()
            with tqdm(unit=" alerts", desc="encode", disable=args.quiet, file=sys.stderr, smoothing=0.1) as bar:
                pipeline.run(stop, bar.update)
            return report(args, pipeline, before, time.monotonic() - start)
    finally:
        stream.close()


def _digest(scorer) -> str | None:
    """Which calibration; None for none."""
    if scorer is None:
        return None
    numbers = b"".join(getattr(scorer, name).tobytes() for name in ("knots", "center", "scale"))
    return hashlib.sha256(numbers + scorer.scorer.latent_mean.tobytes()).hexdigest()[:16]


def report(args: argparse.Namespace, pipeline, before: dict[str, int], seconds: float) -> int:
    """Says what was written; 1 if all that came was broken."""
    done = {name: pipeline.totals[name] - before[name] for name in before}
    paths = [args.output_dir / name for name in pipeline.parts]
    written = sum(path.stat().st_size for path in paths if path.exists())
    rate = done["alerts"] / seconds if seconds > 0 else 0.0
    print(f"{args.output_dir}: {done['fingerprints']:,} fingerprints of {done['alerts']:,} alerts in "
          f"{len(pipeline.parts)} parts, {written:,} bytes ({rate:,.0f} alerts/s)")
    said = {"duplicates": "seen before", "no_detection": "without a positive detection", "broken": "broken"}
    others = [f"{done[name]:,} {text}" for name, text in said.items() if done[name]]
    if others:
        print(f"without a fingerprint: {', '.join(others)}" + (
            f" (see {args.output_dir / 'dead_letters'})" if done["broken"] else ""))
    return 1 if done["broken"] and done["broken"] == done["alerts"] else 0


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
