"""The training loop: AdamW, cosine by epoch, gradient clip, mixed precision, batches by length.

Everything random comes from seed and epoch, so a run that was stopped and resumed gives the bits of one that was not
(on the same device with the same number of threads). Which batches an epoch has does not depend on the workers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from rtf_models.data.dataset import SourceDataset, collate_fn
from rtf_models.embedding import sorted_batches
from rtf_models.model import LightCurveCompressor, parameter_groups

from .buckets import WINDOW, epoch_batches
from .config import TrainConfig
from .errors import TrainError
from .metrics import EpochMeans
from .schedule import kl_weight, learning_rate

INPUTS = ("x", "pad_mask", "images", "gp_features")


def selection_criterion(mode: str, means: dict, cls_weight: float, target_beta: float) -> float:
    """What the best epoch has least of: reconstruction, and the class loss and the divergence at the weights that the
    run ends with. (The original took the total with the beta of the epoch, which rises from 0: it kept an early one.)
    """
    value = means["recon_cont"] + means["recon_band"] + cls_weight * means.get("cls_loss", 0.0)
    return value + (target_beta * means["kld"] if mode == "vae" else 0.0)


class Trainer:
    """One run's model, optimiser and epochs. `weights`: (coarse classes,) of the class loss, or None."""

    def __init__(
        self,
        config: TrainConfig,
        model: LightCurveCompressor,
        train: SourceDataset,
        val: SourceDataset,
        device: torch.device,
        weights: Tensor | None = None,
    ):
        self.config, self.device = config, device
        self.model = model.to(device)
        self.train_set, self.val_set = train, val
        self.weights = None if weights is None else weights.to(device)
        self.optimiser = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.lr)
        self.amp = amp_type(config.amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.amp is torch.float16)
        self.epoch = 0
        self.history: list[dict] = []

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train_set) / self.config.batch_size)

    @property
    def target_beta(self) -> float:
        return self.config.beta if self.config.mode == "vae" else 0.0

    def _loader(self, dataset: SourceDataset, batches: list[list[int]]) -> Iterator[dict]:
        workers = self.config.num_workers
        pinned = self.device.type == "cuda"
        return iter(
            DataLoader(
                dataset, batch_sampler=batches, collate_fn=collate_fn, num_workers=workers, pin_memory=pinned
            )
        )

    def losses(self, batch: dict, beta: float) -> tuple[dict, Tensor, Tensor, Tensor | None]:
        """Losses of a batch, with its pad mask, coarse labels and VQ indices (or None) on the device."""
        inputs = {k: batch[k].to(self.device, non_blocking=True) for k in INPUTS if k in batch}
        labels = batch["label_coarse"].to(self.device, non_blocking=True)
        narrow = torch.autocast(self.device.type, dtype=self.amp) if self.amp else contextlib.nullcontext()
        with narrow:
            cont, band, extras = self.model(**inputs)
        extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
        losses = self.model.compute_loss(
            inputs["x"],
            inputs["pad_mask"],
            (cont.float(), band.float(), extras),
            beta=beta,
            labels=labels if self.config.cls_weight > 0 else None,
            cls_weight=self.config.cls_weight,
            class_weights=self.weights,
        )
        return losses, inputs["pad_mask"], labels, extras.get("indices")

    def _means(self) -> EpochMeans:
        config = self.config
        return EpochMeans(config.num_codes if config.mode == "vqvae" else 0, config.n_codebooks, self.weights)

    def run_epoch(self, progress: Callable[[], None] | None = None) -> dict[str, float]:
        """One epoch of training; the means of its losses. `progress` is called after each step. Raises TrainError if
        the loss is not finite.
        """
        config, epoch = self.config, self.epoch
        beta = kl_weight(epoch, config.epochs, self.target_beta)
        self.train_set.set_epoch(epoch)
        window = WINDOW if config.buckets else 1
        batches = epoch_batches(
            self.train_set.lengths(), config.batch_size, seed=config.seed, epoch=epoch, window=window
        )
        means, first = self._means(), epoch * self.steps_per_epoch
        self.model.train()
        with seeded(self.device, config.seed, epoch):
            for k, batch in enumerate(self._loader(self.train_set, batches)):
                rate = learning_rate(first + k, self.steps_per_epoch, config.epochs, config.lr, config.warmup)
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                losses, pad_mask, labels, indices = self.losses(batch, beta)
                self.step(losses["total_loss"])
                means.add(losses, pad_mask, labels, indices)
                if progress is not None:
                    progress()
        self.epoch += 1
        result = means.result() | {"beta": beta, "lr": self.optimiser.param_groups[0]["lr"]}
        if not math.isfinite(result["total_loss"]):
            raise TrainError(
                f"loss {result['total_loss']} in epoch {self.epoch}: try a smaller --lr than {config.lr:g}"
            )
        return result

    def step(self, loss: Tensor) -> None:
        """Backward, clip, update."""
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    @torch.no_grad()
    def evaluate(self, dataset: SourceDataset | None = None) -> dict[str, float]:
        """Means over a split (default: validation) at the target beta, without dropout; with "criterion"."""
        dataset = self.val_set if dataset is None else dataset
        means = self._means()
        self.model.eval()
        for batch in self._loader(
            dataset, list(sorted_batches(dataset.lengths(), 2 * self.config.batch_size))
        ):
            means.add(*self.losses(batch, self.target_beta))
        result = means.result() | {"beta": self.target_beta}
        result["criterion"] = selection_criterion(
            self.config.mode, result, self.config.cls_weight, self.target_beta
        )
        return result


def amp_type(name: str, device: torch.device) -> torch.dtype | None:
    """The narrow type of a device: "auto" is bf16 on CUDA devices that have it, else none. Raises TrainError."""
    if name == "none" or (name == "auto" and device.type != "cuda"):
        return None
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name == "fp16" and device.type == "cpu":
        raise TrainError("--amp fp16: for CUDA devices; expected bf16 or none on a CPU")
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[name]


@contextlib.contextmanager
def seeded(device: torch.device, seed: int, epoch: int) -> Iterator[None]:
    """Torch's global generators (dropout, sampling, codebook restarts) as seed and epoch say; put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed << 20) + epoch + 1)
        yield
