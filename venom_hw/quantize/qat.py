"""Quantisation-aware fine-tuning of the recurrent execution, whole windows at once.

Forward values are exactly the quantised network's (tables, roundings, state quantised at each sample); the
backward pass is straight-through.  The target is the float model itself (distillation: its mean and its
variance), the true energies, or a mix. Batches are drawn from permutations seeded by (seed, epoch), so a
resumed run continues exactly where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from venom_hw.train.schedule import warm_up_then_cosine

from .checkpoint import CheckpointError, read_tensors, write_tensors
from .network import QuantVenom

RESUME_FORMAT = "venom-hw/qat-state/1"
FROZEN = ("affine.", "energy_", "logvar_")  # normalisation and calibration constants are not trained


@dataclass
class Targets:
    """What the network should give for each window, float32 (windows,): float model's energy (eV) and log
    variance, true energy.
    """

    energy: torch.Tensor
    logvar: torch.Tensor
    truth: torch.Tensor

    def __getitem__(self, index: torch.Tensor) -> Targets:
        return Targets(self.energy[index], self.logvar[index], self.truth[index])


def loss_function(
    energy: torch.Tensor,
    logvar: torch.Tensor,
    target: Targets,
    distill: float,
    nll: float,
    calibrated: bool = False,
) -> torch.Tensor:
    """distill * (squared energy difference in units of the float model's sigma + squared log-variance
    difference) + nll * NLL.

    ``calibrated``: judge what the recalibration after training will leave, not the gain and offset that it removes
    (:func:`calibrate_batch`).
    """
    energy, logvar = energy[:, 0], logvar[:, 0]
    if calibrated:
        energy, logvar = calibrate_batch(energy, logvar, target)
    loss = energy.new_zeros(())
    if distill:
        loss = (
            loss
            + distill
            * (
                (energy - target.energy).square() * torch.exp(-target.logvar)
                + (logvar - target.logvar).square()
            ).mean()
        )
    if nll:
        loss = loss + nll * 0.5 * (logvar + (energy - target.truth).square() * torch.exp(-logvar)).mean()
    return loss


def calibrate_batch(
    energy: torch.Tensor, logvar: torch.Tensor, target: Targets
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy and log variance with the slope and offset, and the shift, that bring a batch closest to its target.

    With few bits a weight that steps to its next code changes the gain of the whole network by more than its noise;
    trained on the raw difference such steps drown the rest.  The constants carry no gradient.
    """
    with torch.no_grad():
        weight = torch.exp(-0.5 * target.logvar)
        centre, aim = ((v * weight**2).sum() / (weight**2).sum() for v in (energy, target.energy))
        spread = (energy - centre) * weight
        slope = (spread * (target.energy - aim) * weight).sum() / spread.square().sum().clamp_min(1e-12)
        shift = (target.logvar - logvar).mean()
    return aim + slope * (energy - centre), logvar + shift


def learning_rate(step: int, settings: Mapping[str, Any]) -> float:
    """Linear warm-up, then cosine to zero."""
    steps, warmup = settings["steps"], max(1, round(settings["warmup"] * settings["steps"]))
    return warm_up_then_cosine(step, warmup, steps, settings["learning_rate"])


def batch_indices(windows: int, step: int, batch: int, seed: int) -> torch.Tensor:
    """Indices of the batch of one step: consecutive slices of one seeded permutation an epoch."""
    batch = min(batch, windows)
    per_epoch = windows // batch
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(windows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[place * batch : (place + 1) * batch]


def fingerprint(settings: Mapping[str, Any], network: nn.Module, windows: int) -> str:
    """Hash of what a resumed run must share: settings, starting parameters, number of windows."""
    digest = hashlib.sha256(json.dumps([dict(settings), windows], sort_keys=True).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().float().numpy().tobytes())
    return digest.hexdigest()


def fine_tune(
    network: QuantVenom,
    x: torch.Tensor,
    targets: Targets,
    settings: dict[str, Any],
    *,
    resume: str | os.PathLike | None = None,
    save_every: int = 50,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train ``network`` (float32, in place) on x (L, windows, 2); returns the loss of each step.

    ``resume``: file of the training state; if it belongs to this very run it is continued, and it is
    rewritten every ``save_every`` steps.  ``progress(step, loss)`` is called after each step.
    """
    trained = {
        n: p for n, p in network.named_parameters() if not any(f".{part}" in f".{n}" for part in FROZEN)
    }
    key = fingerprint(settings, network, x.shape[1])

    def loss_of(step: int) -> torch.Tensor:
        index = batch_indices(x.shape[1], step, settings["batch"], settings["seed"])
        return loss_function(
            *network.window(x[:, index]),
            targets[index],
            settings["distill"],
            settings["nll"],
            bool(settings.get("calibrated", 0)),
        )

    return train_steps(
        network, trained, loss_of, settings, key, resume=resume, save_every=save_every, progress=progress
    )


def train_steps(
    network: nn.Module,
    trained: Mapping[str, nn.Parameter],
    loss_of: Callable[[int], torch.Tensor],
    settings: Mapping[str, Any],
    key: str,
    *,
    resume: str | os.PathLike | None = None,
    save_every: int = 50,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """The steps of a fine-tuning of any quantised network, in place: AdamW, clipped gradients, warm-up and cosine.

    ``loss_of(step)`` gives the loss of that step's batch, a function of the step alone, so that a resumed run
    continues exactly where it stopped; ``key`` names the run (:func:`fingerprint`).  ``settings``: steps, warmup,
    learning_rate, clip.  Returns the loss of each step.  Raises FloatingPointError when it diverges.
    """
    optimiser = torch.optim.AdamW(trained.values(), lr=1.0, weight_decay=0.0)
    losses: list[float] = _restore(resume, key, network, trained, optimiser) if resume is not None else []
    network.train()
    for step in range(len(losses), settings["steps"]):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimiser.zero_grad()
        loss = loss_of(step)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"fine-tuning diverged at step {step}: loss {loss.item()}; lower training.learning_rate"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), settings["clip"])
        optimiser.step()
        losses.append(loss.item())
        if progress is not None:
            progress(step, losses[-1])
        if resume is not None and (step + 1) % save_every == 0:
            _store(resume, key, network, trained, optimiser, losses)
    network.eval()
    return losses


def _store(
    path: str | os.PathLike,
    key: str,
    network: nn.Module,
    trained: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    losses: list[float],
) -> None:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    for name, parameter in trained.items():
        for moment, value in optimiser.state[parameter].items():
            tensors[f"optimiser.{name}.{moment}"] = torch.as_tensor(value)
    write_tensors(path, tensors, {"format": RESUME_FORMAT, "run": key, "losses": losses})


def _restore(
    path: str | os.PathLike,
    key: str,
    network: nn.Module,
    trained: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> list[float]:
    if not Path(path).exists():
        return []
    try:
        tensors, header = read_tensors(path, RESUME_FORMAT)
    except CheckpointError:
        return []
    if header.get("run") != key:
        return []
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    )
    for name, parameter in trained.items():
        prefix = f"optimiser.{name}."
        optimiser.state[parameter] = {
            k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
        }
    return list(header["losses"])
