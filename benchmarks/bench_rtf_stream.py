"""Alerts a second on one CPU core, and bytes a second out, against LSST's 280 alerts a second.

    python -m benchmarks.bench_rtf_stream [--checkpoint NAME] [--alerts N] [--profile]

Real ZTF packets (Avro, with their cutouts) come again and again under new names and candids, one to a file as the
survey sends them; they go through the whole of `python -m rtf_models encode`: reading, decoding, light curve, history,
network, parts, journal.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.measurement import Measurement
from rtf_models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, shipped_names
from rtf_models.classes import BTS
from rtf_models.data.inputs import InputSpec
from rtf_models.model import LightCurveCompressor
from rtf_models.stream.encoder import CheckpointEncoder, find_scorer
from rtf_models.stream.file_stream import FileStream
from rtf_models.stream.journal import Journal
from rtf_models.stream.pipeline import EncodeOptions, Pipeline

LSST_RATE = 280.0  # 10 million alerts in a night of 10 hours
ALERTS = 600
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Speed:
    """alerts, those that gave a fingerprint, seconds of CPU and of the wall clock, bytes in and out."""

    alerts: int
    fingerprints: int
    cpu_seconds: float
    seconds: float
    bytes_in: int
    bytes_out: int

    def text(self, name: str) -> str:
        rate = self.alerts / self.cpu_seconds
        size_in, size_out = self.bytes_in / self.alerts, self.bytes_out / max(self.fingerprints, 1)
        return (f"{name}: {rate:,.0f} alerts/s on a core ({rate / LSST_RATE:.1f} times LSST's {LSST_RATE:.0f}/s); "
                f"in {size_in:,.0f} bytes an alert, out {size_out:,.0f} a fingerprint ({size_in / size_out:,.0f} times "
                f"smaller; {LSST_RATE * size_in / 1e6:.1f} MB/s against {LSST_RATE * size_out / 1e3:.0f} kB/s at "
                "LSST's rate)")


def alerts_folder() -> Path | None:
    """The real packets; None where they are absent."""
    data = Path(os.environ.get("VENOM_DATA") or REPOSITORY.parent / "shared" / "data")
    folder = data / "ztf" / "alerts_avro"
    return folder if any(folder.glob("*.avro")) else None


def repeated(folder: Path, out: Path, count: int) -> int:
    """Writes `count` alerts, one to a file, out of the real ones with new objectIds and candids; their bytes in all."""
    import fastavro

    out.mkdir(parents=True)
    read = [fastavro.reader(io.BytesIO(p.read_bytes())) for p in sorted(folder.glob("*.avro"))]
    kinds = [(reader.writer_schema, next(reader)) for reader in read]
    size = 0
    for number in range(count):
        schema, packet = kinds[number % len(kinds)]
        packet = packet | {"objectId": f"ZTF99{number:07d}", "candid": 10**15 + number}
        path = out / f"{number:07d}.avro"
        with open(path, "wb") as file:
            fastavro.writer(file, schema, [packet])
        size += path.stat().st_size
    return size


def networks(folder: Path) -> list[tuple[str, Checkpoint]]:
    """The shipped checkpoints, and untrained networks of the full size with and without metadata."""
    torch.manual_seed(0)
    specs = {"AE D=64, photometry": InputSpec(),
             "AE D=64, + metadata and mask": InputSpec(metadata="global", missing_mask=True),
             "AE D=64, + metadata, image": InputSpec(metadata="global", missing_mask=True, images=True)}
    out = [(f"shipped {name}", load_checkpoint(name)) for name in shipped_names()]
    for name, spec in specs.items():
        model = LightCurveCompressor(mode="ae", latent_dim=64, in_channels=spec.in_channels, use_images=spec.images)
        path = save_checkpoint(folder / name / "model.safetensors", model, spec, scheme=BTS)
        out.append((name, load_checkpoint(path)))
    return out


class FlatScorer:
    """Stands for a calibration where there is none, so that the decoder runs as it would."""

    def __init__(self, dim: int):
        self.latent_mean = np.zeros(dim)

    def score(self, errors, latents, lengths):
        return errors.mean(axis=1)


def measure(checkpoint: Checkpoint, alerts: Path, count: int, size: int, out: Path, *, int8: bool = False,
            batch: int = 64) -> Speed:
    """One run of the pipeline on one thread, after a warm-up of the network."""
    scorer = find_scorer(checkpoint, None) or FlatScorer(checkpoint.model.latent_dim)
    encoder = CheckpointEncoder(checkpoint, scorer=scorer)
    shutil.rmtree(out, ignore_errors=True)
    options = EncodeOptions(int8=int8, batch=batch, max_wait=float("inf"))
    cpu, wall = time.process_time(), time.perf_counter()
    with Journal(out, {"model": encoder.model_hash}) as journal:
        pipeline = Pipeline(FileStream([str(alerts)], images=encoder.images), encoder, journal, options)
        pipeline.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    written = sum((out / name).stat().st_size for name in pipeline.parts)
    return Speed(count, pipeline.totals["fingerprints"], cpu, wall, size, written)


def run(alerts: int = ALERTS, checkpoint: str | None = None, profile: bool = False) -> list[Measurement]:
    """The table's lines; seconds are a thousand alerts' CPU time, against 1000/280 s."""
    folder = alerts_folder()
    if folder is None:
        print("bench_rtf_stream: no real alerts (../shared/data/ztf): left out", file=sys.stderr)
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lines = []
    try:
        with tempfile.TemporaryDirectory() as temporary:
            scratch = Path(temporary)
            size = repeated(folder, scratch / "alerts", alerts)
            chosen = [(checkpoint, load_checkpoint(checkpoint))] if checkpoint else networks(scratch)
            for name, found in chosen:
                measure(found, scratch / "alerts", alerts, size, scratch / "out")  # warm: files, network
                if profile:
                    _profile(found, scratch, alerts, size)
                for int8 in (False, True):
                    speed = measure(found, scratch / "alerts", alerts, size, scratch / "out", int8=int8)
                    title = f"{name}, {'int8' if int8 else 'float32'}"
                    print(speed.text(title), file=sys.stderr)
                    lines.append(Measurement(f"encode {title}, 1,000 alerts", 1000 * speed.cpu_seconds / speed.alerts,
                                             "LSST's 280/s", 1000 / LSST_RATE, 1.0, speed.text("").lstrip(": ")))
    finally:
        torch.set_num_threads(threads)
    return lines


def _profile(checkpoint: Checkpoint, scratch: Path, count: int, size: int) -> None:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(measure, checkpoint, scratch / "alerts", count, size, scratch / "out")
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m benchmarks.bench_rtf_stream", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", help="file, run folder or shipped name (default: shipped ones and untrained ones)")
    p.add_argument("--alerts", type=int, default=ALERTS, help=f"how many (default {ALERTS})")
    p.add_argument("--profile", action="store_true", help="where the time goes")
    args = p.parse_args(argv)
    for line in run(args.alerts, args.checkpoint, args.profile):
        print(f"{line.name}: {line.seconds:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
