"""Tier 1: samples in, features out. Runs at the sample rate in gateware."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .block import NORM_EPS, BlockState, MambaBlock
from .errors import ModelError

BackboneState = tuple[BlockState, ...]


class SSMBackbone(nn.Module):
    """(B, L, 2) normalised I and Q -> features (B, L, d_model): input projection, Mamba blocks, layer norm.

    `checkpoint_activations` (an attribute, no weight; False at first): a block keeps its input alone for the backward
    pass and computes the rest again, so training needs about one block's memory for all. Values and gradients have
    the same bits either way.
    """

    def __init__(
        self, d_model: int = 16, d_state: int = 8, n_layers: int = 1, d_conv: int = 4, expand: int = 1
    ):
        super().__init__()
        self.d_model = d_model
        self.input_proj = nn.Linear(2, d_model)
        self.layers = nn.ModuleList(MambaBlock(d_model, d_state, d_conv, expand) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.checkpoint_activations = False

    def forward(self, x: Tensor) -> Tensor:
        """The whole window at once. Raises ModelError if x is not (batch, samples, 2) with at least one sample."""
        if x.dim() != 3 or x.shape[-1] != 2 or x.shape[1] == 0:
            raise ModelError(
                f"backbone: input has shape {tuple(x.shape)}, expected (batch, samples, 2) with 1 sample or more"
            )
        r = self.input_proj(x)
        again = self.checkpoint_activations and torch.is_grad_enabled()
        for layer in self.layers:
            r = checkpoint(layer, r, use_reentrant=False, preserve_rng_state=False) if again else layer(r)
        return self.norm(r)

    def initial_state(self, batch: int) -> BackboneState:
        """All zeros: the state at a window's start."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def step(self, x: Tensor, state: BackboneState) -> tuple[Tensor, BackboneState]:
        """One sample: x (B, 2), state -> feature (B, d_model), next state. O(1) a sample, as in gateware."""
        if x.dim() != 2 or x.shape[-1] != 2:
            raise ModelError(f"backbone step: input has shape {tuple(x.shape)}, expected (batch, 2)")
        if len(state) != len(self.layers):
            raise ModelError(f"backbone step: state of {len(state)} layers, expected {len(self.layers)}")
        r = self.input_proj(x)
        following = []
        for layer, layer_state in zip(self.layers, state, strict=True):
            r, layer_state = layer.step(r, layer_state)
            following.append(layer_state)
        return self.norm(r), tuple(following)
