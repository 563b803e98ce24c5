"""Vector quantisation with an exponential moving average (van den Oord et al. 2017, arXiv:1711.00937, appendix A).

Kept alive by three things: cluster sizes start at 1 (not 0: an unused code would be divided by next to nothing), the
codes start from k-means of the first training batch, and a code that is as good as never used is put beside a busy one.
A code of a rare kind of source is rare, not dead: it keeps its place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMOOTHING = 1e-5  # of the cluster sizes (Laplace)
DEAD_BELOW = 0.01  # of the mean cluster size; a higher one takes the codes of rare clusters away
VECTORS_A_CENTRE = 32  # at the start: in many dimensions the mean of fewer is mostly noise
LLOYD_STEPS = 10


def nearest_code(vectors: Tensor, codes: Tensor) -> Tensor:
    """(N, D) vectors, (K, D) codes -> (N,) int64, the nearest code by squared distance."""
    return (codes.square().sum(1) - 2 * vectors @ codes.T).argmin(1)


class VectorQuantizer(nn.Module):
    """(N, D) vectors to the nearest of `num_codes` codes; the codebook follows by moving averages, not by gradient.

    `codebook.weight` moves only in `forward` while `self.training`. The whole state is in the three tensors of the
    state dict (and torch's random generator, for restarts): a resumed training goes on as if uninterrupted.
    """

    _version = 2  # version 1: the original

    def __init__(self, num_codes: int, code_dim: int, commitment_cost: float = 0.25, ema_decay: float = 0.99):
        super().__init__()
        self.num_codes, self.code_dim = num_codes, code_dim
        self.commitment_cost, self.ema_decay = commitment_cost, ema_decay
        self.codebook = nn.Embedding(num_codes, code_dim)
        nn.init.uniform_(self.codebook.weight, -1 / num_codes, 1 / num_codes)
        self.register_buffer("ema_cluster_size", torch.ones(num_codes))
        self.register_buffer("ema_embed_sum", self.codebook.weight.detach().clone())
        # Part of the way to a vector at which a split code starts: about two standard deviations of one coordinate.
        self.split_step = min(0.5, 2 / code_dim**0.5)
        self._fresh = True  # no batch has been seen: the next training batch sets the codes

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z (N, D) -> z_q (N, D) with the gradient of z (straight through), loss (scalar), indices (N,) int64."""
        with torch.autocast(z.device.type, enabled=False):  # half a precision would choose other codes
            exact = z.detach().float()
            if self.training and self._fresh:
                self._start_from(exact)
            indices = nearest_code(exact, self.codebook.weight.detach())
            codes = self.codebook.weight.detach()[indices].to(z.dtype)
            if self.training:
                self._follow(exact, indices)
        loss = self.commitment_cost * F.mse_loss(z, codes)
        return codes + (z - z.detach()), loss, indices  # exactly the codes, with the gradient of z

    @torch.no_grad()
    def _start_from(self, z: Tensor) -> None:
        """k-means of one batch. A batch too small for K clusters gives fewer, whose centres are then split."""
        n_centres = min(self.num_codes, max(1, len(z) // VECTORS_A_CENTRE))
        centres = z[torch.randperm(len(z), device=z.device)[:n_centres]].clone()
        for _ in range(LLOYD_STEPS):
            owner = nearest_code(z, centres)
            counts = torch.bincount(owner, minlength=n_centres)
            sums = torch.zeros_like(centres).index_add_(0, owner, z)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        parent = torch.arange(self.num_codes, device=z.device) % n_centres
        codes = centres[parent]
        if self.num_codes > n_centres:
            towards = z[torch.randint(len(z), (self.num_codes,), device=z.device)]
            codes = torch.lerp(codes, towards, self.split_step)
        self.codebook.weight.copy_(codes)
        self.ema_cluster_size.fill_(1.0)
        self.ema_embed_sum.copy_(codes)
        self._fresh = False

    @torch.no_grad()
    def _follow(self, z: Tensor, indices: Tensor) -> None:
        """One step of the moving averages, then dead codes restart."""
        counts = torch.bincount(indices, minlength=self.num_codes).to(z.dtype)
        sums = torch.zeros_like(self.ema_embed_sum).index_add_(0, indices, z)
        self.ema_cluster_size.lerp_(counts, 1 - self.ema_decay)
        self.ema_embed_sum.lerp_(sums, 1 - self.ema_decay)
        self._split_busy_codes(z)
        size = self.ema_cluster_size
        total = size.sum()
        smooth = (size + SMOOTHING) / (total + self.num_codes * SMOOTHING) * total
        self.codebook.weight.copy_(self.ema_embed_sum / smooth[:, None])

    def _split_busy_codes(self, z: Tensor) -> None:
        """Each code that is as good as never used moves beside one of the busiest and takes half of its share.

        Beside a code, not onto a vector: in many dimensions a lone vector is farther from all others than any average
        is, and a code put there would win nothing. The rarest meets the busiest, and so on; shapes are fixed, so that
        nothing waits for the device.
        """
        size, half = self.ema_cluster_size, self.num_codes // 2
        order = size.argsort()
        rare, busy = order[:half], order.flip(0)[:half]
        dead_below = DEAD_BELOW * size.mean()
        split = (size[rare] < dead_below) & (size[busy] >= dead_below)
        share = size[busy] / 2
        parent_sum = self.ema_embed_sum[busy] / 2
        towards = z[torch.randint(len(z), (half,), device=z.device)] * share[:, None]
        child_sum = torch.lerp(parent_sum, towards, self.split_step)
        size[rare], size[busy] = torch.where(split, share, size[rare]), torch.where(split, share, size[busy])
        sums, wide = self.ema_embed_sum, split[:, None]
        sums[rare], sums[busy] = torch.where(wide, child_sum, sums[rare]), torch.where(wide, parent_sum, sums[busy])

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        size = self.ema_cluster_size
        self._fresh = bool((size == 1).all()) or bool((size == 0).all())  # as constructed, here or by the original


class ResidualVectorQuantizer(nn.Module):
    """Several codebooks in a row: each quantises what the ones before left over (Zeghidour et al. 2021,
    arXiv:2107.03312). indices (N, stages).
    """

    def __init__(self, n_codebooks: int, num_codes: int, code_dim: int, commitment_cost: float = 0.25,
                 ema_decay: float = 0.99):  # fmt: skip
        super().__init__()
        self.stages = nn.ModuleList(
            VectorQuantizer(num_codes, code_dim, commitment_cost, ema_decay) for _ in range(n_codebooks)
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left, total, losses, indices = z, torch.zeros_like(z), [], []
        for stage in self.stages:
            codes, loss, index = stage(left)
            codes = codes.detach()
            left, total = left - codes, total + codes
            losses.append(loss)
            indices.append(index)
        return total + (z - z.detach()), torch.stack(losses).sum(), torch.stack(indices, dim=1)
