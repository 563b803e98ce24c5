"""A whole run: data, epochs, the best checkpoint, fingerprints of train and test, summary."""

from __future__ import annotations

import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from rtf_models.checkpoint import FILE_NAME as MODEL_FILE
from rtf_models.checkpoint import load_checkpoint, save_checkpoint
from rtf_models.embedding import embed_sources
from rtf_models.model import LightCurveCompressor, SelfAttention
from venom_hw.atomic import write_atomically
from venom_hw.backend import BackendError, choose_device

from .config import TrainConfig
from .data import TrainingData, class_weights, load_data, make_dataset
from .data_record import check_same_data, record_data, write_record
from .errors import TrainError
from .lock import locked
from .loop import Trainer
from .state import STATE, read_state, restore_state, save_state

SHOWN = ("recon_cont", "recon_band", "band_acc", "kld", "vq_loss", "codes_used", "cls_acc")


def versions() -> dict[str, str]:
    """Versions that decide the bits of a result."""
    return {
        "python": platform.python_version(),
        **{n: version(n) for n in ("venom-hw", "torch", "numpy", "safetensors")},
    }


def device_of(config: TrainConfig) -> torch.device:
    """The run's device. Raises TrainError."""
    try:
        return torch.device(choose_device(config.device))
    except BackendError as error:
        raise TrainError(str(error).replace("device = ", "--device ", 1)) from None


def make_model(config: TrainConfig, data: TrainingData) -> LightCurveCompressor:
    """A fresh network, decided by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = LightCurveCompressor(
            mode=config.mode,
            latent_dim=config.latent_dim,
            in_channels=data.inputs.in_channels,
            d_model=config.d_model,
            n_heads=config.heads,
            n_encoder_layers=config.encoder_layers,
            n_decoder_layers=config.decoder_layers,
            d_ff=config.d_ff,
            dropout=config.dropout,
            free_bits=config.free_bits,
            kl_reduction=config.kl,
            num_codes=config.num_codes,
            commitment_cost=config.commitment_cost,
            n_codebooks=config.n_codebooks,
            use_images=config.use_images,
            image_backbone=config.image_backbone,
            freeze_backbone=False if config.finetune_backbone else None,
            gp_dim=data.inputs.gp_dim,
            num_classes=len(data.scheme.coarse) if config.cls_weight > 0 else 0,
        )
        if config.backbone_weights:
            model.image_tower.load_backbone(config.backbone_weights)
        if config.attention_dropout is not None:
            for part in model.modules():
                if isinstance(part, SelfAttention):
                    part.dropout = config.attention_dropout
    return model


def make_trainer(config: TrainConfig, data: TrainingData) -> Trainer:
    """Model and datasets together. Raises TrainError."""
    return Trainer(
        config,
        make_model(config, data),
        make_dataset(config, data, "train"),
        make_dataset(config, data, "val"),
        device_of(config),
        class_weights(config, data),
    )


def train_run(
    config: TrainConfig,
    out: Path,
    *,
    data: TrainingData | None = None,
    command: str = "",
    resume: bool = False,
    quiet: bool = False,
    stop_after: int | None = None,
) -> dict | None:
    """Run a training in folder `out`, or go on with the one that is there (`resume`); the summary.

    data: already read (for several runs over the same). stop_after: end after so many epochs of this call, None is
    returned and the run can be resumed. Raises TrainError where the folder holds a run and resume is off, where that
    run had other settings or data, and where another process trains there.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if not resume and (out / STATE).exists():
        raise TrainError(
            f"{out}: holds a run already; --resume goes on with it, another --output-dir keeps it"
        )
    data = load_data(config, quiet) if data is None else data
    with locked(out):
        return _train(config, out, data, command, resume, quiet, stop_after)


def _train(
    config: TrainConfig,
    out: Path,
    data: TrainingData,
    command: str,
    resume: bool,
    quiet: bool,
    stop_after: int | None,
) -> dict | None:
    """`train_run` of data that are read, in a folder that is this process's own."""
    record = record_data(data)
    trainer = make_trainer(config, data)
    if resume and (out / STATE).exists():
        best = _restore(config, out, trainer, record)
    else:
        best = {"epoch": 0, "criterion": None}
    write_record(out, record)
    write_atomically(out / "settings.json", json.dumps(config.to_dict(), indent=1))
    _say(quiet, config, data, trainer, out)
    done_now = 0
    with tqdm(
        total=config.epochs, initial=trainer.epoch, desc=config.run_name, unit="epoch", disable=quiet
    ) as bar:
        while trainer.epoch < config.epochs and not _early(config, trainer, best):
            started = time.perf_counter()
            with tqdm(
                total=trainer.steps_per_epoch, desc="steps", leave=False, disable=quiet, mininterval=0.5
            ) as steps:
                train = trainer.run_epoch(steps.update)
            val = trainer.evaluate()
            trainer.history.append(_row(trainer, train, val, time.perf_counter() - started))
            if best["criterion"] is None or val["criterion"] < best["criterion"]:
                best = {"epoch": trainer.epoch, "criterion": val["criterion"]}
                _save_model(out, trainer, data, command, best)
            save_state(out, trainer.epoch, trainer.model, trainer.optimiser, _state(config, trainer, best, record))
            write_atomically(out / "history.json", json.dumps(trainer.history, indent=1))
            bar.update()
            bar.set_postfix_str(
                ", ".join(f"{k} {val[k]:.3f}" for k in SHOWN if k in val) + f", best {best['epoch']}"
            )
            done_now += 1
            if stop_after is not None and done_now >= stop_after:
                return None
    return finish(config, out, trainer, data, command, best, quiet)


def _restore(config: TrainConfig, out: Path, trainer: Trainer, record: dict) -> dict:
    """Puts the trainer where the run stopped; its best epoch. Raises TrainError for other settings or data than the
    run's.
    """
    state = read_state(out)
    recorded = TrainConfig.from_dict(state["config"], out / STATE).to_dict()
    for name, value in config.to_dict().items():
        if name not in ("num_workers",) and recorded[name] != value:
            raise TrainError(
                f"{out / STATE}: the run was started with {name} = {recorded[name]!r}, now it is {value!r}; expected "
                "the same settings"
            )
    check_same_data(out, state.get("data_sha256"), record)
    restore_state(out, state, trainer.model, trainer.optimiser)
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.epoch, trainer.history = state["epoch"], state["history"]
    return state["best"]


def _state(config: TrainConfig, trainer: Trainer, best: dict, record: dict) -> dict:
    return {
        "best": best,
        "config": config.to_dict(),
        "data_sha256": record["sha256"],
        "inputs": record["inputs"],
        "scaler": trainer.scaler.state_dict(),
        "history": trainer.history,
        "versions": versions(),
    }


def _early(config: TrainConfig, trainer: Trainer, best: dict) -> bool:
    """Has the criterion not improved for --early-stopping epochs?"""
    return bool(config.early_stopping) and trainer.epoch - best["epoch"] >= config.early_stopping


def _row(trainer: Trainer, train: dict, val: dict, seconds: float) -> dict:
    row = {"epoch": trainer.epoch, "lr": train.pop("lr"), "seconds": round(seconds, 2)}
    row |= {f"train_{k}": v for k, v in train.items()}
    return row | {f"val_{k}": v for k, v in val.items()}


def _header(config: TrainConfig, trainer: Trainer, data: TrainingData, command: str, best: dict) -> dict:
    return {
        "command": command,
        "settings": config.to_dict(),
        "epoch": best["epoch"],
        "criterion": best["criterion"],
        "data": data.description(),
        "device": str(trainer.device),
        "versions": versions(),
    }


def _median_length(data: TrainingData) -> float:
    """Detections of the real training sources, as the network sees them."""
    return float(np.median([data.inputs.length(source) for source in data.train[: data.real]]))


def _save_model(out: Path, trainer: Trainer, data: TrainingData, command: str, best: dict) -> None:
    header = _header(trainer.config, trainer, data, command, best)
    save_checkpoint(out / MODEL_FILE, trainer.model, data.inputs, scheme=data.scheme, training=header)


def _say(quiet: bool, config: TrainConfig, data: TrainingData, trainer: Trainer, out: Path) -> None:
    if quiet:
        return
    counts = ", ".join(f"{name} {n}" for name, n in data.coarse_counts().items())
    parameters = sum(p.numel() for p in trainer.model.parameters())
    narrow = f", {trainer.amp}" if trainer.amp else ""
    print(
        f"{out.name}: {len(data.train)} training sources ({counts}), {len(data.val)} validation, "
        f"{len(data.test)} test; {data.inputs.in_channels} channels, "
        f"{parameters} parameters, {trainer.steps_per_epoch} steps an epoch, "
        f"on {trainer.device}{narrow}",
        file=sys.stderr,
    )
    for reason in data.broken[:10]:
        print(f"left out: {reason}", file=sys.stderr)
    if len(data.broken) > 10:
        print(f"left out: {len(data.broken) - 10} more", file=sys.stderr)


def finish(
    config: TrainConfig,
    out: Path,
    trainer: Trainer,
    data: TrainingData,
    command: str,
    best: dict,
    quiet: bool = False,
) -> dict:
    """Fingerprints of train and test with the best checkpoint (whole curves, or the first --max-detections; in the
    data's order), test losses, summary.json.
    """
    checkpoint = load_checkpoint(out / MODEL_FILE)
    trainer.model.load_state_dict(checkpoint.model.state_dict())
    for split in ("train", "test"):
        if sources := getattr(data, split)[: data.real if split == "train" else None]:
            found = embed_sources(
                checkpoint, sources, counts=config.max_detections, device=trainer.device, progress=not quiet
            )
            found.save(out / f"{split}_embeddings.npz")
    tested = trainer.evaluate(make_dataset(config, data, "test")) if data.test else {}
    model = trainer.model
    summary = {
        "mode": config.mode,
        "latent_dim": config.latent_dim,
        "in_channels": model.in_channels,
        "d_model": config.d_model,
        "use_metadata": config.use_metadata,
        "use_images": config.use_images,
        "use_gp": config.use_gp,
        "gp_dim": model.gp_dim,
        "max_detections": config.max_detections,
        "n_params": sum(p.numel() for p in model.parameters()),
        "best_epoch": best["epoch"],
        "criterion": best["criterion"],
        "epochs": trainer.epoch,
        "target_beta": config.beta if config.mode == "vae" else None,
        "num_codes": config.num_codes if config.mode == "vqvae" else None,
        "num_classes": model.num_classes,
        "image_backbone": config.image_backbone if config.use_images else None,
        "scheme": data.scheme.to_dict(),
        "test_metrics": tested,
        "compression_info": model.compression_info(_median_length(data)),
        "data_sha256": record_data(data)["sha256"],
        "seconds": round(sum(row["seconds"] for row in trainer.history), 1),
        "model": MODEL_FILE,
    } | _header(config, trainer, data, command, best)
    write_atomically(out / "summary.json", json.dumps(summary, indent=1))
    return summary
