"""The golden model (exact integers) against the float network in PyTorch's recurrent mode, on the same windows."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.measurement import Measurement, best_seconds_each
from venom_hw.datapath.golden import Golden
from venom_hw.flow.model_files import PRETRAINED, find_model, shipped_models
from venom_hw.interchange.importer import import_venom
from venom_hw.model.checkpoint import load_checkpoint

WINDOWS = 1000


def run() -> list[Measurement]:
    """1,000 windows of each shipped model, each side with its own default number of threads."""
    return [line for name in shipped_models() for line in measure(name)]


def measure(name: str) -> list[Measurement]:
    """The engine that Golden takes by default, then the NumPy one."""
    files = find_model(name)
    datapath = import_venom(files.step, files.head)
    golden = Golden(datapath.step, datapath.head)
    plain = Golden(datapath.step, datapath.head, engine="numpy")
    checkpoint = load_checkpoint(PRETRAINED / f"{name}.safetensors")
    length = datapath.step.max_steps
    rng = np.random.default_rng(0)
    mean, spread = (np.asarray(checkpoint.normalisation[k]) for k in ("iq_mean", "iq_std"))
    counts = np.clip(mean + spread * rng.standard_normal((WINDOWS, length, 2)), -32768, 32767).astype(np.int16)
    x = torch.from_numpy(((counts - mean) / spread).astype(np.float32))
    checkpoint.model.eval()
    threads = torch.get_num_threads()

    def recurrent(threads: int):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            checkpoint.model.recurrent(x)

    engine = golden.run(counts).engine
    try:
        seconds, numpy_seconds, reference, one_thread = best_seconds_each(
            [
                lambda: golden.run(counts),
                lambda: plain.run(counts),
                lambda: recurrent(threads),
                lambda: recurrent(1),
            ],
            repeats=5,
        )
    finally:
        torch.set_num_threads(threads)
    shape = f"{WINDOWS:,} windows of {length}"
    with_one = f"PyTorch with 1 thread {one_thread * 1e3:.0f} ms"
    lines = [(f"golden model ({engine}), {name}, {shape}", seconds, 1.0)]
    if engine != plain.wanted:
        lines.append((f"golden model (numpy), {name}, {shape}", numpy_seconds, None))
    return [
        Measurement(
            title, taken, "float PyTorch, recurrent", reference, aim,
            f"{WINDOWS * length / taken / 1e6:.2f} million samples a second; {with_one}",
        )
        for title, taken, aim in lines
    ]  # fmt: skip
