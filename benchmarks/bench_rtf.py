"""The RTF network: a training step and an embedding step at the lengths of real light curves (median 26 detections)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measurement import Measurement, best_seconds_each
from benchmarks.plain_rtf import MAX_LEN, PlainCompressor, bts_like_lengths

THREADS = 1
BATCH, BATCHES = 32, 4
AIM = 3.0
Batch = tuple[Tensor, Tensor]


def light_curves(lengths: Tensor, padded_to: int) -> Batch:
    """Made-up photometry x (B, padded_to, 7) and pad_mask."""
    x = torch.randn(len(lengths), padded_to, 7)
    x[..., 4:] = F.one_hot(torch.randint(2, x.shape[:2]), 3).float()
    pad_mask = torch.arange(padded_to) >= lengths[:, None]
    return x * ~pad_mask[..., None], pad_mask


def training(model: nn.Module, optimiser, loss: Callable[[Batch], Tensor], batches: list[Batch]) -> Callable:
    def steps():
        model.train()
        for batch in batches:
            optimiser.zero_grad()
            loss(batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()

    return steps


def embedding(model: nn.Module, embed: Callable[[Batch], Tensor], batches: list[Batch]) -> Callable:
    def steps():
        model.eval()
        with torch.no_grad():
            for batch in batches:
                embed(batch)

    return steps


def run() -> list[Measurement]:
    """AE, D = 64, batches of 32: mean of a few batches, against a batch of the plain network, always 257 long."""
    from rtf_models.model import LightCurveCompressor, parameter_groups

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    lengths = bts_like_lengths(BATCH * BATCHES, torch.Generator().manual_seed(0))
    plain, ours = PlainCompressor("ae", 64), LightCurveCompressor("ae", 64)
    plain_optimiser = torch.optim.AdamW(plain.parameters(), 1e-4)
    our_optimiser = torch.optim.AdamW(parameter_groups(ours, 0.01), 1e-4)
    long = [light_curves(lengths[:BATCH], MAX_LEN)]
    orders = {"sorted by length": lengths.sort().values, "as they come": lengths}
    groups = {
        name: [light_curves(part, int(part.max())) for part in ordered.split(BATCH)] for name, ordered in orders.items()
    }

    def plain_loss(batch):
        return plain.loss(*batch, plain(*batch))

    def our_loss(batch):
        return ours.compute_loss(*batch, ours(*batch))["total_loss"]

    train = [training(ours, our_optimiser, our_loss, group) for group in groups.values()]
    train.append(training(plain, plain_optimiser, plain_loss, long))
    embed = [embedding(ours, lambda batch: ours.embed(*batch), group) for group in groups.values()]
    embed.append(embedding(plain, lambda batch: plain.bottleneck(*batch)["z"], long))

    out = []
    for what, functions, repeats in (("training", train, 2), ("embedding", embed, 2)):
        *mine, reference = best_seconds_each(functions, repeats)
        for name, seconds in zip(groups, mine, strict=True):
            note = f"one thread, median {int(lengths.median())}, longest {int(lengths.max())} detections"
            out.append(Measurement(f"RTF {what} step, batch {BATCH}, sources {name}", seconds / BATCHES,
                                   f"plain, {MAX_LEN} positions", reference, AIM, note))  # fmt: skip
    return out


if __name__ == "__main__":
    from benchmarks.run import main

    sys.exit(main(["--only", Path(__file__).stem.removeprefix("bench_")]))
