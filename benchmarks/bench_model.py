"""The float network: a training step, and 1,000 windows in parallel and in recurrent execution."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.measurement import Measurement, best_seconds, best_seconds_each

THREADS = 2


def run() -> list[Measurement]:
    """Training step (forward, backward, batch 512) and inference of 1,000 windows, at L = 126 and 426."""
    from venom_hw.model import MKIDEnergySSM

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = MKIDEnergySSM()
    out = []
    for length in (126, 426):
        x, y = torch.randn(512, length, 2), torch.randn(512)

        def step(x=x, y=y):
            mu, logvar = model(x)
            (logvar + (mu - y).square() * torch.exp(-logvar)).mean().backward()

        name = f"training step, batch 512, L={length}"
        out.append(Measurement(name, best_seconds(step, repeats=3), note=f"{THREADS} threads"))
        windows = torch.randn(1000, length, 2)
        with torch.no_grad():
            both = [lambda w=windows: model(w), lambda w=windows: model.recurrent(w)]
            at_once, stepped = best_seconds_each(both, repeats=3)
        out.append(Measurement(f"1,000 windows of {length}, whole windows", at_once, "sample by sample", stepped,
                               note=f"float32, {THREADS} threads"))
    return out


if __name__ == "__main__":
    from benchmarks.run import main

    sys.exit(main(["--only", Path(__file__).stem.removeprefix("bench_")]))
