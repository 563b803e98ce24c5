"""Committed golden vectors: samples of a few windows, and every integer that the model makes of them.

Two files a model in `tests/golden/`:

* `<model>.json`: format, hashes of the datapath and of the QONNX files, seed, saturation counts.
* `<model>.npz`: `samples` int16 (N, L, 2), `lengths` (N,); `energy`, `log_variance` (N,); `state.<name>` (N, *shape)
  after each window's last sample; `trace.<name>` (2, L, *shape) after every sample of the first two windows, of one
  sample and of L.

Samples once committed are kept: regenerating shows what the model does differently, not what a random generator does.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically
from venom_hw.datapath.golden import Golden
from venom_hw.datapath.model import Datapath
from venom_hw.flow.model_files import ModelFiles
from venom_hw.flow.stimuli import check_windows

FORMAT = "venom-hw/golden-vectors/1"
FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"
WINDOWS, TRACED = 24, 2


class GoldenVectorError(ValueError):
    """Golden vectors that are missing or malformed."""


@dataclass(frozen=True)
class GoldenVectors:
    """What the two files hold: `facts` (the JSON) and `arrays` (the npz)."""

    facts: dict
    arrays: dict[str, np.ndarray]


def load_vectors(model: str, folder: Path = FOLDER) -> GoldenVectors:
    """The committed vectors of a model.

    Raises:
        GoldenVectorError: a file is missing, or not of this format.
    """
    facts_path, arrays_path = folder / f"{model}.json", folder / f"{model}.npz"
    try:
        facts = json.loads(facts_path.read_text())
        with np.load(arrays_path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        message = f"{facts_path}: no readable golden vectors ({error}); make golden writes them"
        raise GoldenVectorError(message) from error
    if facts.get("format") != FORMAT:
        raise GoldenVectorError(f"{facts_path}: format {facts.get('format')!r}, expected {FORMAT!r}")
    return GoldenVectors(facts, arrays)


def make_vectors(
    files: ModelFiles, datapath: Datapath, *, seed: int, scratch: Path, previous: GoldenVectors | None = None
) -> GoldenVectors:
    """The vectors of a model as it is now, on the samples of `previous` if they fit."""
    length = datapath.step.max_steps
    if previous is not None and previous.arrays["samples"].shape[1] == length:
        samples, lengths, seed = previous.arrays["samples"], previous.arrays["lengths"], previous.facts["seed"]
    else:
        samples, lengths, _ = check_windows(datapath, WINDOWS, folder=scratch, seed=seed)
        lengths = lengths.astype(np.int64)
    golden = Golden(datapath.step, datapath.head)
    result = golden.run(samples, lengths)
    trace = golden.run(samples[:TRACED], lengths[:TRACED], trace=True).trace
    arrays = {"samples": samples.astype(np.int16), "lengths": lengths}
    for name, value in result.outputs.items():
        arrays[name] = value.reshape(len(samples)).astype(np.int32)
    for name, _ in datapath.step.states:
        arrays[f"state.{name}"] = result.states[name]
        inside = np.arange(length) < lengths[:TRACED, None]
        values = trace[name]
        arrays[f"trace.{name}"] = np.where(inside.reshape(inside.shape + (1,) * (values.ndim - 2)), values, 0)
    facts = {
        "format": FORMAT,
        "model": files.name,
        "datapath": datapath.hash,
        "step_onnx": _sha256(files.step),
        "head_onnx": _sha256(files.head),
        "seed": seed,
        "windows": len(samples),
        "saturations": dict(sorted(result.saturations.items())),
    }
    return GoldenVectors(facts, arrays)


def changes(old: GoldenVectors | None, new: GoldenVectors) -> list[str]:
    """What differs, a line each; empty when nothing does."""
    if old is None:
        return ["new"]
    lines = [
        f"{key}: {str(old.facts.get(key))[:16]} -> {str(value)[:16]}"
        for key, value in new.facts.items()
        if key != "saturations" and old.facts.get(key) != value
    ]
    if old.facts.get("saturations") != new.facts["saturations"]:
        lines.append("saturation counts")
    for name, value in new.arrays.items():
        before = old.arrays.get(name)
        if before is None or before.shape != value.shape:
            lines.append(f"{name}: shape {None if before is None else before.shape} -> {value.shape}")
        elif not np.array_equal(before, value):
            far = int(np.abs(before.astype(np.int64) - value).max())
            count = np.count_nonzero(before != value)
            lines.append(f"{name}: {count:,} of {value.size:,} integers, by up to {far:,} LSB")
    return lines + [f"{name}: gone" for name in old.arrays if name not in new.arrays]


def save_vectors(vectors: GoldenVectors, folder: Path = FOLDER) -> list[Path]:
    """Writes both files atomically; their bytes depend on the content alone."""
    model = vectors.facts["model"]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vectors.arrays)
    text = json.dumps(vectors.facts, indent=1) + "\n"
    return [
        write_atomically(folder / f"{model}.npz", buffer.getvalue()),
        write_atomically(folder / f"{model}.json", text),
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
