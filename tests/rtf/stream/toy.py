"""A small world for the stream's tests: packets, a trivial encoder, runs, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import fastavro
import numpy as np

import rtf_models.stream
from rtf_models.stream.file_stream import FileStream
from rtf_models.stream.journal import Journal
from rtf_models.stream.parts import dead_letters, read_fingerprints
from rtf_models.stream.pipeline import EncodeOptions, Pipeline

STREAM_ROOM = str(Path(rtf_models.stream.__file__).parent)
NUMBER = ["null", "double"]
CANDIDATE = [("jd", "double"), ("fid", "int"), ("candid", ["null", "long"]), ("magpsf", NUMBER), ("sigmapsf", NUMBER),
             ("isdiffpos", ["null", "string"]), ("rb", NUMBER), ("sgscore1", NUMBER)]


def _record(name: str) -> dict:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in CANDIDATE]}


SCHEMA = {"type": "record", "name": "alert", "fields": [
    {"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"},
    {"name": "candidate", "type": _record("candidate")},
    {"name": "prv_candidates", "type": ["null", {"type": "array", "items": _record("previous")}]},
    {"name": "cutoutScience", "type": ["null", "bytes"]}]}


def detection(candid: int, jd: float, mag: float = 18.0, fid: int = 1, positive: str = "t") -> dict:
    return {"jd": jd, "fid": fid, "candid": candid, "magpsf": mag, "sigmapsf": 0.1, "isdiffpos": positive, "rb": 0.5,
            "sgscore1": -999.0}


def packet(object_id: str, candid: int, jd: float, previous=(), **more) -> dict:
    return {"objectId": object_id, "candid": candid, "candidate": detection(candid, jd, **more),
            "prv_candidates": list(previous), "cutoutScience": b"\0" * 100}


def survey(rng: np.random.Generator, alerts: int, objects: int = 7) -> list[dict]:
    """Alerts of a few objects in the order of time, each with the detections of the last 5 days; some negative ones."""
    known: dict[str, list[dict]] = {f"ZTF{k:02d}": [] for k in range(objects)}
    out, jd = [], 2459000.5
    for n in range(alerts):
        jd += float(rng.exponential(1.0))
        name = f"ZTF{int(rng.integers(objects)):02d}"
        more = {"mag": float(rng.normal(18, 1)), "fid": int(rng.integers(1, 4)), "positive": "ft"[rng.random() < 0.85]}
        previous = [d for d in known[name] if d["jd"] > jd - 5]
        out.append(packet(name, 1000 + n, jd, previous, **more))
        known[name].append(detection(1000 + n, jd, **more))
    return out


def write_avro(path: Path, packets: list[dict], per_block: int = 3, codec: str = "null") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        writer = fastavro.write.Writer(file, fastavro.parse_schema(SCHEMA), codec=codec, sync_marker=b"s" * 16)
        for number, one in enumerate(packets, 1):
            writer.write(one)
            if number % per_block == 0:
                writer.flush()
        writer.flush()
    return path


class ToyEncoder:
    """Four numbers that depend on every detection and on their order; the batch does not matter."""

    dim, model_hash, metadata, images, days, longest = 4, "ab" * 32, False, False, 20.0, 8

    def __init__(self, metadata: bool = False):
        self.metadata = metadata

    def prepare(self, source):
        days = source.time - source.time[0]
        weighted = (source.mag * np.arange(1, len(source) + 1)).sum()
        return np.array([len(source), days.sum(), weighted, source.band.sum()])

    def encode(self, items):
        return np.array(items, np.float32).reshape(-1, 4), np.array([x[2] for x in items], np.float32)


OPTIONS = EncodeOptions(batch=2, part_rows=5, max_wait=float("inf"), history=4, remember=1000)


def encode(inputs, out: Path, options: EncodeOptions = OPTIONS, encoder=None, stream=None, **run) -> dict:
    """One run into `out`; its totals."""
    encoder = encoder or ToyEncoder()
    with Journal(out, {"model": encoder.model_hash}) as journal:
        pipeline = Pipeline(stream or FileStream([str(x) for x in inputs]), encoder, journal, options)
        pipeline.run(**run)
        return pipeline.totals


def rows(out: Path) -> list[tuple]:
    """Every committed fingerprint, in order, as plain values."""
    return [(p.object_id[k], int(p.candid[k]), float(p.jd[k]), int(p.n_detections[k]), p.latent[k].tobytes(),
             float(p.anomaly[k])) for p in read_fingerprints(out) for k in range(len(p))]


def letters(out: Path) -> list[dict]:
    return list(dead_letters(out))


def visible(out: Path) -> list[str]:
    """Names of parts that a reader of the folder sees."""
    return sorted(p.name for p in out.iterdir() if p.is_file() and not p.name.startswith("."))


def killed_after(lines: int | None, work, files: tuple[str, ...] = (), before=None) -> int | None:
    """Runs `work` in a process of its own that is killed (SIGKILL) before the `lines`-th line of rtf_models/stream
    (or of these files of it).

    `before` is called in that process first. Returns the lines counted if it came to its end, None if it was killed.
    """
    places = tuple(f"{STREAM_ROOM}/{name}" for name in files) or STREAM_ROOM
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            count = 0

            def local(frame, event, arg):
                nonlocal count
                if event == "line":
                    count += 1
                    if count == lines:
                        os.kill(os.getpid(), signal.SIGKILL)
                return local

            def trace(frame, event, arg):
                return local if frame.f_code.co_filename.startswith(places) else None

            if before is not None:
                before()
            sys.settrace(trace)
            work()
            sys.settrace(None)
            os.write(writer, str(count).encode())
        except BaseException as error:  # noqa: BLE001  (told to the parent)
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert said.isdigit(), said
    return int(said)
