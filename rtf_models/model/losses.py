"""What a reconstruction, a latent and a classification cost. All results are tensors: nothing waits for the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CONTINUOUS = ("dt", "dt_prev", "logflux", "logflux_err")  # channels 0..3 of x
N_CONTINUOUS = 4
BAND_CHANNELS = slice(4, 7)  # one-hot g, r, i


def reconstruction_terms(x: Tensor, pad_mask: Tensor, cont_hat: Tensor, band_logits: Tensor):
    """Squared errors and band cross-entropies, 0 where padding (whatever it holds), and the right bands.

    x (B, L, C), pad_mask (B, L) True = padding, cont_hat (B, L, 4), band_logits (B, L, 3) -> squared (B, L, 4),
    cross_entropy (B, L), right (B, L) bool, valid (B, L) float32.
    """
    valid = (~pad_mask).float()
    band = x[..., BAND_CHANNELS].argmax(-1)
    logits = band_logits.float()
    squared = (cont_hat.float() - x[..., :N_CONTINUOUS].float()).masked_fill(pad_mask[..., None], 0.0).square()
    cross_entropy = F.cross_entropy(logits.transpose(1, 2), band, reduction="none").masked_fill(pad_mask, 0.0)
    return squared, cross_entropy, (logits.argmax(-1) == band) & ~pad_mask, valid


def kl_divergence(mu: Tensor, logvar: Tensor, free_bits: float = 0.0) -> Tensor:
    """Of N(mu, exp logvar) to N(0, 1), a sample and dimension (B, D) in nats, none below `free_bits`."""
    kl = -0.5 * (1 + logvar - mu.square() - logvar.exp())
    return kl.clamp(min=free_bits) if free_bits > 0 else kl


def classification(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy over the labelled rows; 0 and 0 where no row is.

    logits (B, K); labels (B,), -1 = unknown and left out; class_weights (K,) makes it a weighted mean.
    """
    logits, known = logits.float(), labels >= 0
    weights = None if class_weights is None else class_weights.to(logits)
    losses = F.cross_entropy(logits, labels, weight=weights, ignore_index=-1, reduction="none")
    share = known.float() if weights is None else torch.where(known, weights[labels.clamp(min=0)], 0.0)
    right = ((logits.argmax(-1) == labels) & known).sum()
    tiny = torch.finfo(torch.float32).tiny
    return losses.sum() / share.sum().clamp(min=tiny), right / known.sum().clamp(min=1)
