"""The float VENOM network in MLX (Apple silicon, and CPUs by `mlx[cpu]`): inference of any checkpoint.

The same names, tensors and two executions as the PyTorch network, which stays the reference and the one that trains.
Files are read by the PyTorch side, so that every check and every foreign form of weights holds here too.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np

from . import network
from .block import NORM_EPS
from .checkpoint import VenomCheckpoint
from .checkpoint import load_checkpoint as load_torch_checkpoint
from .errors import ModelError
from .weights import WeightsReport
from .weights import load_weights as load_torch_weights

try:
    import mlx.core as mx
    import mlx.nn as nn
except ImportError as error:
    raise ModelError(
        f"the MLX backend cannot be imported ({error}): expected pip install 'venom-hw[mlx]', or VENOM_BACKEND=torch"
    ) from error
from .mlx_scan import linear_scan

EVALUATE_EVERY = 32  # samples of the recurrent path between evaluations, which bounds MLX's graph


class MambaBlock(nn.Module):
    """(B, L, D) -> (B, L, D); the same by `step`, one sample at a time. State: h (B, E, N), taps (B, K-1, E)."""

    def __init__(self, d_model: int, d_state: int, d_conv: int, expand: int):
        super().__init__()
        self.d_inner, self.d_state, self.d_conv = expand * d_model, d_state, d_conv
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner)  # weight (E, K, 1)
        self.B_proj = nn.Linear(self.d_inner, d_state, bias=False)
        self.C_proj = nn.Linear(self.d_inner, d_state, bias=False)
        self.dt_proj = nn.Linear(self.d_inner, self.d_inner)
        self.log_neg_A = mx.zeros((self.d_inner, d_state))
        self.D = mx.ones((self.d_inner,))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def initial_state(self, batch: int) -> tuple[mx.array, mx.array]:
        kind = self.log_neg_A.dtype
        return (
            mx.zeros((batch, self.d_inner, self.d_state), dtype=kind),
            mx.zeros((batch, self.d_conv - 1, self.d_inner), dtype=kind),
        )

    def __call__(self, r: mx.array) -> mx.array:
        x, z = mx.split(self.in_proj(self.norm(r)), 2, axis=-1)
        taps = self.conv.weight[..., 0].T  # (K, E), oldest first
        padded = mx.pad(x, [(0, 0), (self.d_conv - 1, 0), (0, 0)])
        length = x.shape[1]
        x = nn.silu(sum(padded[:, k : k + length] * taps[k] for k in range(self.d_conv)) + self.conv.bias)
        delta = nn.softplus(self.dt_proj(x))
        decay = mx.exp(delta[..., None] * -mx.exp(self.log_neg_A))  # (B, L, E, N)
        h = linear_scan(decay, (delta * x)[..., None] * self.B_proj(x)[:, :, None])
        y = (h * self.C_proj(x)[:, :, None]).sum(-1) + self.D * x
        return r + self.out_proj(y * nn.silu(z))

    def step(self, r: mx.array, state: tuple[mx.array, mx.array]) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        """One sample: r (B, D) -> (B, D) and the next state."""
        h, conv = state
        x, z = mx.split(self.in_proj(self.norm(r)), 2, axis=-1)
        taps = mx.concatenate([conv, x[:, None]], axis=1)  # (B, K, E)
        x = nn.silu((taps * self.conv.weight[..., 0].T).sum(1) + self.conv.bias)
        delta = nn.softplus(self.dt_proj(x))
        decay = mx.exp(delta[..., None] * -mx.exp(self.log_neg_A))
        h = decay * h + (delta * x)[..., None] * self.B_proj(x)[:, None]
        y = (h * self.C_proj(x)[:, None]).sum(-1) + self.D * x
        return r + self.out_proj(y * nn.silu(z)), (h, taps[:, 1:])


class SSMBackbone(nn.Module):
    """(B, L, 2) normalised I and Q -> features (B, L, d_model)."""

    def __init__(self, d_model: int = 16, d_state: int = 8, n_layers: int = 1, d_conv: int = 4, expand: int = 1):
        super().__init__()
        self.input_proj = nn.Linear(2, d_model)
        self.layers = [MambaBlock(d_model, d_state, d_conv, expand) for _ in range(n_layers)]
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)

    def __call__(self, x: mx.array) -> mx.array:
        r = self.input_proj(x)
        for layer in self.layers:
            r = layer(r)
        return self.norm(r)

    def initial_state(self, batch: int) -> tuple:
        """All zeros: the state at a window's start."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def step(self, x: mx.array, state: tuple) -> tuple[mx.array, tuple]:
        """One sample: x (B, 2), state -> feature (B, d_model), next state."""
        r, following = self.input_proj(x), []
        for layer, layer_state in zip(self.layers, state, strict=True):
            r, layer_state = layer.step(r, layer_state)
            following.append(layer_state)
        return self.norm(r), tuple(following)


class EnergyHead(nn.Module):
    """Features (B, L, D) -> (mu, log sigma^2), each (B,), in standardised energy units."""

    def __init__(self, d_model: int = 16, d_head_hidden: int = 32):
        super().__init__()
        self.query = mx.zeros((d_model,))
        self.fc1 = nn.Linear(d_model, d_head_hidden)
        self.fc2 = nn.Linear(d_head_hidden, d_head_hidden)
        self.fc3 = nn.Linear(d_head_hidden, 2)

    def regress(self, pooled: mx.array) -> tuple[mx.array, mx.array]:
        out = self.fc3(nn.gelu(self.fc2(nn.gelu(self.fc1(pooled)))))
        return out[:, 0], out[:, 1]

    def __call__(self, features: mx.array, mask: mx.array | None = None) -> tuple[mx.array, mx.array]:
        scores = features @ self.query
        if mask is not None:
            scores = mx.where(mask, scores, -math.inf)
        weights = mx.softmax(scores, axis=1)
        return self.regress((weights[..., None] * features).sum(1))

    def pool_step(self, feature: mx.array, sums: tuple, mask: mx.array | None = None) -> tuple:
        """Add one sample's feature (B, D) to (numerator (B, D), denominator (B, 1), largest score (B, 1))."""
        numerator, denominator, largest = sums
        score = (feature @ self.query)[:, None]
        maximum = mx.maximum(largest, score)
        rescale, weight = mx.exp(largest - maximum), mx.exp(score - maximum)
        following = (numerator * rescale + weight * feature, denominator * rescale + weight, maximum)
        if mask is None:
            return following
        return tuple(mx.where(mask[:, None], new, old) for new, old in zip(following, sums, strict=True))


class MKIDEnergySSM(nn.Module):
    """VENOM: normalised I/Q windows (B, L, 2) -> (mu, log sigma^2), each (B,), in standardised energy units.

    Weights are zero or random until loaded. Raises ModelError on sizes below one and on inputs of another shape.
    """

    def __init__(
        self, d_model: int = 16, d_state: int = 8, n_layers: int = 1, d_conv: int = 4, expand: int = 1,
        d_head_hidden: int = 32,
    ):  # fmt: skip
        sizes = dict(d_model=d_model, d_state=d_state, n_layers=n_layers, d_conv=d_conv, expand=expand,
                     d_head_hidden=d_head_hidden)  # fmt: skip
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ModelError(f"{name} = {value!r}: expected a whole number, 1 or more")
        super().__init__()
        self.config = sizes
        self.backbone = SSMBackbone(d_model, d_state, n_layers, d_conv, expand)
        self.head = EnergyHead(d_model, d_head_hidden)

    def __call__(self, x: mx.array, lengths=None) -> tuple[mx.array, mx.array]:
        """The whole window at once. `lengths` (B,): valid samples of each window, the rest is padding."""
        _check(x)
        return self.head(self.backbone(x), _mask(x, lengths))

    def recurrent(self, x: mx.array, lengths=None) -> tuple[mx.array, mx.array]:
        """The same, sample by sample, as the gateware works."""
        _check(x)
        mask, batch = _mask(x, lengths), len(x)
        state, size = self.backbone.initial_state(batch), self.head.query.shape[0]
        kind = self.head.query.dtype
        sums = (
            mx.zeros((batch, size), dtype=kind), mx.zeros((batch, 1), dtype=kind),
            mx.full((batch, 1), -math.inf, dtype=kind),
        )  # fmt: skip
        for t in range(x.shape[1]):
            feature, state = self.backbone.step(x[:, t], state)
            sums = self.head.pool_step(feature, sums, None if mask is None else mask[:, t])
            if t % EVALUATE_EVERY == EVALUATE_EVERY - 1:
                mx.eval(state, sums)
        return self.head.regress(sums[0] / sums[1])

    def parameter_count(self) -> int:
        return sum(v.size for v in _flat(self.parameters()).values())

    def load_weights(self, file_or_weights, strict: bool = True) -> MKIDEnergySSM:
        """From a file (safetensors, or the original's older zips) as `venom_hw.model.load_weights`, or MLX's own list
        of (name, array). Returns self. Raises CheckpointError."""
        if isinstance(file_or_weights, (str, os.PathLike)):
            load_weights(self, file_or_weights, strict)
            return self
        return super().load_weights(file_or_weights, strict)


def load_weights(model: MKIDEnergySSM, path, strict: bool = True) -> WeightsReport:
    """Fill an MLX model from a file of weights, foreign forms folded as `venom_hw.model.load_weights` does."""
    reference = network.MKIDEnergySSM(**model.config)
    report = load_torch_weights(reference, path, strict)
    copy_weights(reference, model)
    return report


def copy_weights(source: network.MKIDEnergySSM, target: MKIDEnergySSM) -> MKIDEnergySSM:
    """Give an MLX model the weights of a PyTorch one of the same sizes; returns it."""
    if source.config != target.config:
        raise ModelError(f"sizes {target.config}: expected those of the weights, {source.config}")
    own, weights = _flat(target.parameters()), []
    for name, tensor in source.state_dict().items():
        value = mx.array(tensor.detach().cpu().numpy())
        if name.endswith("conv.weight"):
            value = value.transpose(0, 2, 1)  # (E, 1, K) -> (E, K, 1)
        weights.append((name, value.astype(own[name].dtype)))
    nn.Module.load_weights(target, weights, strict=True)
    target.eval()
    return target


@dataclass
class MlxCheckpoint(VenomCheckpoint):
    """A trained model on MLX, for whatever takes a `VenomCheckpoint` and asks it to `predict`."""

    model: MKIDEnergySSM

    def standardise(self, counts) -> mx.array:
        """Counts (N, L, 2), any number type -> the network's input."""
        kind = self.model.head.query.dtype
        mean, std = (mx.array(self.normalisation[k], dtype=kind) for k in ("iq_mean", "iq_std"))
        return (mx.array(np.asarray(counts)).astype(kind) - mean) / std

    def predict(
        self, counts, recurrent: bool = False, lengths=None, batch: int = 256
    ) -> tuple[np.ndarray, np.ndarray]:
        """Counts (N, L, 2) int16 -> energy (N,) in eV and log sigma^2 (N,), sigma in eV; float64.

        `recurrent`: sample by sample. `lengths` (N,): valid samples of each window. Raises ModelError.
        """
        run = self.model.recurrent if recurrent else self.model
        offset, scale = float(self.normalisation["energy_offset"]), float(self.normalisation["energy_scale"])
        parts = []
        for first in range(0, len(counts), batch):
            some = slice(first, first + batch)
            out = run(self.standardise(counts[some]), None if lengths is None else np.asarray(lengths[some]))
            parts.append(np.stack([np.array(v).astype(np.float64) for v in out]))
        mu, logvar = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
        return offset + scale * mu, logvar + 2 * math.log(scale)


def from_torch(checkpoint: VenomCheckpoint) -> MlxCheckpoint:
    """The MLX twin of a `VenomCheckpoint`."""
    model = copy_weights(checkpoint.model, MKIDEnergySSM(**checkpoint.model.config))
    return MlxCheckpoint(
        model, checkpoint.window, checkpoint.normalisation, checkpoint.training, checkpoint.data
    )


def load_checkpoint(path: str | os.PathLike) -> MlxCheckpoint:
    """A checkpoint file on MLX. Raises CheckpointError as `venom_hw.model.load_checkpoint`."""
    return from_torch(load_torch_checkpoint(path))


def _flat(parameters) -> dict[str, mx.array]:
    from mlx.utils import tree_flatten

    return dict(tree_flatten(parameters))


def _check(x: mx.array) -> None:
    if x.ndim != 3 or x.shape[-1] != 2 or x.shape[1] == 0:
        raise ModelError(f"input has shape {tuple(x.shape)}, expected (batch, samples, 2) with 1 sample or more")


def _mask(x: mx.array, lengths) -> mx.array | None:
    """(B, L), True for the samples of each window; None where all are."""
    if lengths is None:
        return None
    lengths = np.asarray(lengths)
    if lengths.shape != (x.shape[0],):
        raise ModelError(f"lengths has shape {lengths.shape}, expected ({x.shape[0]},)")
    if len(lengths) and (lengths.min() < 1 or lengths.max() > x.shape[1]):
        raise ModelError(f"lengths from {lengths.min()} to {lengths.max()}: expected 1 to {x.shape[1]}")
    return mx.arange(x.shape[1])[None] < mx.array(lengths)[:, None]
