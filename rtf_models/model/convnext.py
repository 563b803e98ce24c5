"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) in its "pico" size, under the parameter names of timm's `convnext_pico`.

Written afresh; the names and shapes (timm 1.0, 1x1 convolutions as the perceptron, no classifier) are a contract, so
that weights saved by timm load as they are. 8.5 million parameters.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = (2, 2, 6, 2)
WIDTHS = (64, 128, 256, 512)
NORM_EPS = 1e-6
LAYER_SCALE = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Perceptron(nn.Module):
    """1x1 convolution to four times the width, GELU, back."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.fc2 = nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + gamma * perceptron(norm(7x7 depthwise convolution))."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width, eps=NORM_EPS)
        self.mlp = Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma[:, None, None] * self.mlp(self.norm(self.conv_dw(x)))


class Stage(nn.Module):
    """Norm and 2x2 convolution of stride 2 (not in the first stage), then blocks."""

    def __init__(self, width_in: int, width: int, depth: int):
        super().__init__()
        self.downsample = (
            nn.Identity()
            if width_in == width
            else nn.Sequential(ChannelNorm(width_in, eps=NORM_EPS), nn.Conv2d(width_in, width, 2, stride=2))
        )
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class ConvNeXt(nn.Module):
    """(B, 3, H, W) -> (B, 512); H and W multiples of 32 by rights."""

    num_features = WIDTHS[-1]

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0], eps=NORM_EPS))
        before = (WIDTHS[0], *WIDTHS)
        self.stages = nn.Sequential(*(Stage(*sizes) for sizes in zip(before, WIDTHS, DEPTHS, strict=False)))
        self.head = nn.Sequential(OrderedDict(norm=ChannelNorm(WIDTHS[-1], eps=NORM_EPS)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.head(x.mean((2, 3), keepdim=True)).flatten(1)
