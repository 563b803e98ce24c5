"""Means of an epoch's losses, each weighted by what it is a mean of, kept on the device until the epoch's end."""

from __future__ import annotations

import torch
from torch import Tensor

PER_DETECTION = (
    "recon_cont",
    "recon_band",
    "band_acc",
    "mse_dt",
    "mse_dt_prev",
    "mse_logflux",
    "mse_logflux_err",
)
PER_SOURCE = ("kld", "kl_sum", "kl_mean", "vq_loss")
PER_LABEL = ("cls_acc",)
PER_CLASS_WEIGHT = ("cls_loss",)  # a mean weighted by the classes' weights, where there are some
PER_BATCH = ("total_loss", "codebook_usage", "beta")


class EpochMeans:
    """Adds up what `compute_loss` returns, without waiting for the device; `result` gives plain numbers."""

    def __init__(self, num_codes: int = 0, n_codebooks: int = 1, class_weights: Tensor | None = None):
        self.class_weights = class_weights  # (coarse classes,) of the class loss
        self.sums: dict[str, Tensor | float] = {}
        self.weights: dict[str, Tensor | float] = {}
        self.used = torch.zeros(n_codebooks, num_codes, dtype=torch.bool) if num_codes else None

    def add(self, losses: dict, pad_mask: Tensor, labels: Tensor, indices: Tensor | None = None) -> None:
        """losses of one batch; pad_mask (B, L), labels (B,) coarse ids; indices (B,) or (B, books): its codes."""
        valid, known = (~pad_mask).sum(), (labels >= 0).sum()
        groups = (
            (PER_DETECTION, valid),
            (PER_SOURCE, len(labels)),
            (PER_LABEL, known),
            (PER_CLASS_WEIGHT, self._share(labels, known)),
            (PER_BATCH, 1),
        )
        for names, weight in groups:
            for name in names:
                if name in losses:
                    value = losses[name]
                    value = value.detach() if isinstance(value, Tensor) else float(value)
                    if names in (PER_LABEL, PER_CLASS_WEIGHT):  # a mean of nothing counts nothing, whatever it was
                        value = torch.where(weight > 0, torch.as_tensor(value, device=known.device), 0.0)
                    self.sums[name] = self.sums.get(name, 0.0) + value * weight
                    self.weights[name] = self.weights.get(name, 0) + weight
        if self.used is not None and indices is not None:
            self.used = self.used.to(indices.device)  # once
            for book, column in enumerate(indices.detach().reshape(len(indices), -1).T):
                self.used[book].index_fill_(0, column, True)

    def _share(self, labels: Tensor, known: Tensor) -> Tensor:
        """What the batch's mean class loss is a mean over: the sum of its sources' class weights."""
        if self.class_weights is None:
            return known
        weights = self.class_weights.to(labels.device)[labels.clamp(min=0)]
        return torch.where(labels >= 0, weights, 0.0).sum()

    def result(self) -> dict[str, float]:
        """name -> mean; codes_used: different codes over all batches (mean over codebooks)."""
        means = {
            name: float(total) / weight if (weight := float(self.weights[name])) > 0 else 0.0
            for name, total in self.sums.items()
        }
        if self.used is not None:
            means["codes_used"] = float(self.used.sum(1).float().mean())
        return means
