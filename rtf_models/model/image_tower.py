"""One cutout triplet (science, template, difference) to an embedding of the encoder's width."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .backbone_weights import load_backbone
from .convnext import ConvNeXt
from .errors import ModelError

BACKBONES = ("simple", "zoobot")
ZOOBOT_SIZE = 224  # pixels a side that the pretrained backbone was trained on
SUB_BATCH = 32  # images at a time through the pretrained backbone: bounds its activations


def _conv_block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1), nn.BatchNorm2d(channels_out),
            nn.ReLU()]  # fmt: skip


class ImageTower(nn.Module):
    """images (B, 3, H, W), normalised a channel -> (B, d_model).

    backbone "simple": four strided convolutions, trained from scratch (63 pixels -> 4), global average, linear.
    backbone "zoobot": ConvNeXt-pico under timm's parameter names, on the image enlarged to 224 pixels, for weights of
    Galaxy Zoo or ImageNet (`load_backbone`). freeze_backbone None: frozen if "zoobot". A frozen backbone has no
    gradients and stays in evaluation mode; a "zoobot" that is trained keeps its inputs alone and computes again in the
    backward pass.
    """

    def __init__(self, d_model: int, dropout: float = 0.2, backbone: str = "simple",
                 freeze_backbone: bool | None = None):  # fmt: skip
        super().__init__()
        if backbone not in BACKBONES:
            raise ModelError(f"image backbone is {backbone!r}, expected one of {', '.join(BACKBONES)}")
        self.backbone = backbone
        self.frozen = backbone == "zoobot" if freeze_backbone is None else bool(freeze_backbone)
        if backbone == "simple":
            widths = (3, 32, 64, 128, 128)
            blocks = [_conv_block(a, b) for a, b in zip(widths, widths[1:], strict=False)]
            self.cnn = nn.Sequential(*(part for block in blocks for part in block), nn.AdaptiveAvgPool2d(1))
            self.proj = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], d_model))
        else:
            self.cnn = ConvNeXt()
            self.proj = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.cnn.num_features, d_model))
        if self.frozen:
            self.cnn.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ImageTower:
        super().train(mode)
        if self.frozen:
            self.cnn.eval()
        return self

    def load_backbone(self, path: str | os.PathLike) -> list[str]:
        """Pretrained weights from a local file (safetensors or torch); names of its tensors that were left out.

        Raises ModelError for the simple backbone, CheckpointError for a file that does not fit.
        """
        if self.backbone != "zoobot":
            raise ModelError(f"pretrained weights are for the backbone 'zoobot', this tower's is {self.backbone!r}")
        return load_backbone(self.cnn, path)

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1] != 3:
            raise ModelError(f"images have shape {tuple(images.shape)}, expected (batch, 3, height, width)")
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.cnn(images) if self.backbone == "simple" else self._zoobot(images)
        return self.proj(features)

    def _zoobot(self, images: Tensor) -> Tensor:
        parts = [self._enlarged(part) for part in images.split(SUB_BATCH)]
        return torch.cat(parts) if parts else images.new_zeros(0, self.cnn.num_features)

    def _enlarged(self, images: Tensor) -> Tensor:
        large = F.interpolate(images, size=(ZOOBOT_SIZE, ZOOBOT_SIZE), mode="bilinear", align_corners=False)
        if torch.is_grad_enabled():
            return checkpoint(self.cnn, large, use_reentrant=False)
        return self.cnn(large)
