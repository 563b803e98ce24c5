"""AE, VAE and VQ-VAE side by side: what a fingerprint costs, what it knows, what it gives back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtf_models.data.source import Source

from .physical import physical_metrics
from .probe import linear_probe
from .runs import Run

MODES = ("ae", "vae", "vqvae")
NAMES = {"ae": "AE", "vae": "VAE", "vqvae": "VQ-VAE"}


def run_row(
    run: Run,
    sources: Sequence[Source] | None = None,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    batch_size: int = 256,
    device: str | None = None,
    progress: bool = False,
) -> dict:
    """What the table says of a run: mode, latent_dim, n_params, bytes of a fingerprint, num_classes of a class head (0:
    none), inputs; probe (of its stored fingerprints, if any); physical (of `sources`, if given, in magnitudes and days,
    so that networks with different input scaling can be compared; their own losses cannot); ratio of photometry bytes
    at the median number of detections to fingerprint bytes, where the lengths are known.
    """
    model, inputs = run.checkpoint.model, run.checkpoint.inputs
    info = model.compression_info()
    row: dict = {
        "mode": model.mode,
        "latent_dim": model.latent_dim,
        "n_params": sum(p.numel() for p in model.parameters()),
        "bytes": int(info["compressed_bytes"]),
        "num_classes": model.num_classes,
        "inputs": {"metadata": inputs.metadata, "images": inputs.images, "features": inputs.features},
        "best_epoch": run.summary.get("best_epoch", run.checkpoint.header.get("best_epoch")),
        "probe": None,
        "physical": None,
        "median_detections": None,
        "photometry_ratio": None,
    }
    if run.has_embeddings("train", "test"):
        train, test = run.embeddings("train"), run.embeddings("test")
        row["probe"] = linear_probe(train, test, run.scheme, bootstrap=bootstrap, seed=seed)
        if (test.lengths > 0).all():
            row["median_detections"] = float(np.median(test.lengths))
    if sources is not None:
        row["physical"] = physical_metrics(run.checkpoint, sources, batch_size=batch_size, device=device,
                                           progress=progress)  # fmt: skip
        row["median_detections"] = float(np.median([inputs.length(source) for source in sources]))
    if row["median_detections"]:
        row["photometry_ratio"] = model.compression_info(row["median_detections"])["photometry_ratio"]
    return row


def architecture(row: dict) -> str:
    """ "AE", or with a class head "AE + classes"."""
    return NAMES[row["mode"]] + (" + classes" if row["num_classes"] else "")


def by_inputs(rows: dict[str, dict]) -> dict[str, dict[str, dict]]:
    """Runs in groups of equal inputs, each ordered by dimension and mode: only those are comparable architectures."""
    groups: dict[str, dict[str, dict]] = {}
    for name in sorted(rows, key=lambda n: (rows[n]["latent_dim"], MODES.index(rows[n]["mode"]), n)):
        groups.setdefault(inputs_name(rows[name]["inputs"]), {})[name] = rows[name]
    return groups


def inputs_name(inputs: dict) -> str:
    """ "photometry, metadata (global), images"."""
    parts = ["photometry"]
    parts += [f"metadata ({inputs['metadata']})"] if inputs["metadata"] != "none" else []
    parts += ["images"] if inputs["images"] else []
    parts += [f"features ({inputs['features']})"] if inputs["features"] != "none" else []
    return ", ".join(parts)
