"""The selective scan and the linear scan against mambapy's parallel scan: batch 512, d_inner 16, d_state 8, L =
126 and 426.

Forward and backward. "selective" includes forming exp(delta A) and delta B x and the sum over states; mambapy
does these with PyTorch around its pscan, as its own Mamba block does. "linear" is (a, b) -> h alone, the very
operation of pscan.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.measurement import Measurement, best_seconds_each

BATCH, D_INNER, D_STATE, LENGTHS = 512, 16, 8, (126, 426)
AIM = 5.0
THREADS = 2


def _inputs(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    x, delta = (
        random(BATCH, length, D_INNER),
        torch.nn.functional.softplus(random(BATCH, length, D_INNER) - 2),
    )
    A = -torch.arange(1.0, D_STATE + 1).repeat(D_INNER, 1)
    return [
        v.requires_grad_()
        for v in (x, delta, A, random(BATCH, length, D_STATE), random(BATCH, length, D_STATE))
    ]


def _mambapy_selective(x, delta, A, B, C):
    from mambapy.pscan import pscan

    a = torch.exp(delta.unsqueeze(-1) * A)
    h = pscan(a, (delta * x).unsqueeze(-1) * B.unsqueeze(2))
    return (h @ C.unsqueeze(-1)).squeeze(-1)


def _both_ways(function, inputs, gradient):
    def once():
        torch.autograd.grad(function(*inputs), inputs, gradient)

    return once


def run() -> list[Measurement]:
    """Times of both scans; the results are first compared, so that only equal things are timed."""
    from mambapy.pscan import pscan

    from venom_hw.model import linear_scan, scan_kernel, selective_scan

    torch.set_num_threads(THREADS)
    kernel = "C++ kernel" if scan_kernel.library() is not None else "PyTorch (no compiler)"
    out = []
    for length in LENGTHS:
        inputs = _inputs(length)
        gradient = torch.randn(BATCH, length, D_INNER, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            torch.testing.assert_close(
                selective_scan(*inputs)[0], _mambapy_selective(*inputs), rtol=1e-4, atol=1e-4
            )
        shape = f"batch {BATCH}, L={length}, d {D_INNER}, n {D_STATE}, forward + backward"
        functions = [
            lambda *v: selective_scan(*v)[0],
            _mambapy_selective,
            lambda *v: selective_scan(*v, "torch")[0],
        ]
        ours, theirs, torch_only = best_seconds_each(
            [_both_ways(f, inputs, gradient) for f in functions], repeats=5
        )
        out.append(
            Measurement(
                f"selective scan, {shape}", ours, "mambapy", theirs, AIM, f"{kernel}, {THREADS} threads"
            )
        )
        out.append(
            Measurement(
                f"selective scan in PyTorch, {shape}",
                torch_only,
                "mambapy",
                theirs,
                None,
                "the fallback without a compiler",
            )
        )
        with torch.no_grad():
            x, delta, A, B, _ = inputs
            a, b = torch.exp(delta.unsqueeze(-1) * A), (delta * x).unsqueeze(-1) * B.unsqueeze(2)
        pair = [a.requires_grad_(), b.requires_grad_()]
        gradient = torch.randn(a.shape, generator=torch.Generator().manual_seed(2))
        ours, theirs = best_seconds_each(
            [_both_ways(f, pair, gradient) for f in (linear_scan, pscan)], repeats=5
        )
        out.append(
            Measurement(
                f"linear scan (a, b) -> h, {shape}",
                ours,
                "mambapy",
                theirs,
                AIM,
                f"{kernel}, {THREADS} threads",
            )
        )
    return out


if __name__ == "__main__":
    from benchmarks.run import main

    sys.exit(main(["--only", Path(__file__).stem.removeprefix("bench_")]))
