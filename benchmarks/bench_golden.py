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
    return [measure(name) for name in shipped_models()]


def measure(name: str) -> Measurement:
    files = find_model(name)
    datapath = import_venom(files.step, files.head)
    golden = Golden(datapath.step, datapath.head)
    checkpoint = load_checkpoint(PRETRAINED / f"{name}.safetensors")
    length = datapath.step.max_steps
    rng = np.random.default_rng(0)
    mean, spread = (np.asarray(checkpoint.normalisation[k]) for k in ("iq_mean", "iq_std"))
    counts = np.clip(mean + spread * rng.standard_normal((WINDOWS, length, 2)), -32768, 32767).astype(np.int16)
    x = torch.from_numpy(((counts - mean) / spread).astype(np.float32))
    checkpoint.model.eval()

    def recurrent():
        with torch.inference_mode():
            checkpoint.model.recurrent(x)

    seconds, reference = best_seconds_each([lambda: golden.run(counts), recurrent], repeats=5)
    return Measurement(
        f"golden model, {name}, {WINDOWS:,} windows of {length}", seconds, "float PyTorch, recurrent", reference, 1.0,
        f"{WINDOWS * length / seconds / 1e6:.2f} million samples a second",
    )  # fmt: skip
