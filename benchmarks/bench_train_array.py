"""Training of many pixels at once against one by one: seconds of a pixel-epoch, at several batch sizes.

CPU time of one thread, taken in turns (a busy machine makes wall times longer, CPU times hardly). One by one is
venom_hw.train.Trainer, a pixel after the other, the same recipe: same pulses, order, schedule, clip and averages. What
the factor is made of: the same kernel on one pixel at a time shows what the compiled step gives, the torch engine what
batched operations alone give.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from benchmarks.measurement import Measurement

PIXELS, LENGTH, AIM = 16, 126, 10.0
STEPS = {8: 12, 16: 8, 32: 5, 64: 3, 256: 1}  # batch -> steps of an epoch
REPEATS = 2
NORMALISATION = {"iq_mean": [0.0, 0.0], "iq_std": [1500.0, 1500.0], "energy_offset": 1.0, "energy_scale": 0.2}


def cpu_seconds_each(functions: list, repeats: int = REPEATS) -> list[float]:
    """Least CPU time of each function, taken in turns after one call of each."""
    for function in functions:
        function()
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            best[k] = min(best[k], time.process_time() - start)
    return best


def epochs(batch: int) -> dict:
    """{name: function that does an epoch of all pixels}."""
    from venom_hw.train import TrainConfig, Trainer
    from venom_hw.train_array import ArrayTrainer, PixelPulses, step_kernel

    config = TrainConfig(batch=batch, epochs=1000, warmup=0.0, device="cpu")
    n = batch * STEPS[batch]
    generator = torch.Generator().manual_seed(0)
    pixels = [
        PixelPulses(
            f"pixel-{k}",
            torch.randint(-4000, 4000, (n, LENGTH, 2), dtype=torch.int16, generator=generator),
            torch.randn(n, generator=generator),
            torch.full((n,), LENGTH),
            (0.0, 0.0),
            (1500.0, 1500.0),
            k,
        )
        for k in range(PIXELS)
    ]
    alone = [Trainer(config, NORMALISATION, p.counts, p.target, p.lengths) for p in pixels]
    out = {
        "one by one": lambda: [t.run_epoch() for t in alone],
        "torch": ArrayTrainer(config, pixels, "torch").run_epoch,
    }
    if step_kernel.library() is not None:
        single = [ArrayTrainer(config, [p], "kernel") for p in pixels]
        out["kernel"] = ArrayTrainer(config, pixels, "kernel").run_epoch
        out["kernel, one pixel at a time"] = lambda: [t.run_epoch() for t in single]
    return out


def run() -> list[Measurement]:
    """A pixel-epoch at each batch size, and what the two engines and the batching give."""
    torch.set_num_threads(1)
    out = []
    for batch, steps in STEPS.items():
        functions = epochs(batch)
        seconds = dict(zip(functions, cpu_seconds_each(list(functions.values())), strict=True))
        reference = seconds.pop("one by one") / PIXELS
        for name, value in seconds.items():
            each = value / PIXELS
            out.append(
                Measurement(
                    f"pixel-epoch, batch {batch}, {name}",
                    each,
                    "one by one",
                    reference,
                    AIM if name == "kernel" and batch <= 16 else None,
                    f"{PIXELS} pixels, {batch * steps} pulses each, L={LENGTH}; {1 / each:.3g} pixel-epochs/s; "
                    "CPU time, one thread",
                )
            )
    return out


if __name__ == "__main__":
    from benchmarks.run import main

    sys.exit(main(["--only", Path(__file__).stem.removeprefix("bench_")]))
