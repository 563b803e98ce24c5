"""What a trained network looks at: attention weights over time and feature channels, averaged for each line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from venom_hw.detector import PulseSet
from venom_hw.model import MKIDEnergySSM, VenomCheckpoint

PULSES = 300  # of each line


def attention_weights(model: MKIDEnergySSM, features: torch.Tensor, lengths=None) -> torch.Tensor:
    """Softmax weights over time (B, L) that the head's pooling gives to features (B, L, d_model); rows sum to 1.

    lengths (B,): valid samples of each window, default all.
    """
    scores = features @ model.head.query
    if lengths is not None:
        outside = torch.arange(features.shape[1]) >= torch.as_tensor(lengths).unsqueeze(1)
        scores = scores.masked_fill(outside, -torch.inf)
    return torch.softmax(scores, dim=1)


@dataclass(frozen=True)
class Inspection:
    """Of K lines: time (L,) in us from the trigger; pulse (K, L, 2) mean I and Q in counts; attention (K, L) mean
    weight, attention_spread (K, 2, L) 16th and 84th percentile; features (K, L, d_model) mean; labels, energies (K,).
    """

    time: np.ndarray
    labels: list[str]
    energies: np.ndarray
    pulse: np.ndarray
    attention: np.ndarray
    attention_spread: np.ndarray
    features: np.ndarray


@torch.no_grad()
def inspect_model(checkpoint: VenomCheckpoint, pulses: PulseSet, pulses_a_line: int = PULSES) -> Inspection:
    """Run the first pulses of each line through the network and average what it does."""
    pulse, attention, spread, features, energies = [], [], [], [], []
    lines = np.unique(pulses.wl_ids)
    for line in lines:
        some = pulses.select(np.flatnonzero(pulses.wl_ids == line)[:pulses_a_line])
        found = checkpoint.model.backbone(checkpoint.standardise(some.counts))
        weights = attention_weights(checkpoint.model, found, some.lengths).numpy()
        pulse.append(some.counts.mean(axis=0))
        attention.append(weights.mean(axis=0))
        spread.append(np.percentile(weights, [16, 84], axis=0))
        features.append(found.mean(dim=0).numpy())
        energies.append(some.energies[0])
    window = pulses.window
    time = 1e6 * (np.arange(pulses.counts.shape[1]) - window.n_pre) / window.rate_hz
    return Inspection(
        time,
        [pulses.wl_labels[k] for k in lines],
        np.array(energies),
        np.array(pulse),
        np.array(attention),
        np.array(spread),
        np.array(features),
    )
