"""Position codes of the decoder, also for sequences longer than the positions that were learned."""

from __future__ import annotations

import torch
from torch import Tensor


def position_codes(learned: Tensor, length: int, visible: Tensor | None = None) -> Tensor:
    """learned (1, M, d) -> (1 or B, length, d).

    Up to M positions: the first `length`. A longer sequence spreads its n positions evenly over the M learned ones,
    with linear interpolation; in a batch (`visible` (B, length), False = padding) each by its own n, so that no
    sequence depends on the company it is in.
    """
    most = learned.shape[1]
    if length <= most:
        return learned[:, :length]
    n = torch.tensor([[length]], device=learned.device) if visible is None else visible.sum(1, keepdim=True)
    steps = torch.arange(length, device=learned.device, dtype=torch.float32)
    stretch = torch.where(n > most, (most - 1) / (n - 1).clamp(min=1).float(), torch.ones((), device=n.device))
    place = (steps * stretch).clamp(max=most - 1)
    below = place.floor().long()
    above = (below + 1).clamp(max=most - 1)
    part = (place - below).unsqueeze(-1)
    return torch.lerp(learned[0, below], learned[0, above], part)
