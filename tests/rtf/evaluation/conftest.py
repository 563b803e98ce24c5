"""Small networks with random weights, a made-up data folder, and runs on it, shared by the evaluation's tests."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import Checkpoint, save_checkpoint
from rtf_models.classes import APPLECIDER
from rtf_models.data.compact import write_compact
from rtf_models.data.inputs import InputSpec
from rtf_models.data.source import Source
from rtf_models.embedding import Embeddings, embed_sources
from rtf_models.features import FEATURE_NAMES
from rtf_models.model import LightCurveCompressor

TINY = {"d_model": 16, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "d_ff": 32, "latent_dim": 6}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tiny_checkpoint(mode="ae", inputs=None, scheme=APPLECIDER, seed=0, **options) -> Checkpoint:
    """A network with random weights."""
    inputs = inputs or InputSpec()
    torch.manual_seed(seed)
    sizes = {"in_channels": inputs.in_channels, "gp_dim": inputs.gp_dim, "use_images": inputs.images, "num_codes": 16}
    model = LightCurveCompressor(**{"mode": mode, **TINY, **sizes, **options}).eval()
    return Checkpoint(model, inputs, scheme)


@pytest.fixture
def tiny():
    return tiny_checkpoint


def toy_source(rng, name: str, label: int, count: int, rich: bool = False) -> Source:
    """Brightness and speed tell the class; rich: metadata, stamps and features as well."""
    time = 2459000.5 + np.sort(rng.uniform(0, 90, count))
    mag = 16.5 + 0.7 * label + 0.02 * (1 + label) * (time - time[0]) + rng.normal(0, 0.05, count)
    extra = {}
    if rich:
        stamps = rng.normal(100, 10, (count, 3, 63, 63)).astype(np.float32)
        counts = np.unique([min(3, count), count])
        extra = {"metadata": rng.normal(5, 3, (count, 30)).astype(np.float32), "images": stamps.__getitem__,
                 "has_image": np.arange(count) == count - 1, "feature_counts": counts,
                 "features": rng.normal(label, 3, (len(counts), 114)).astype(np.float32)}  # fmt: skip
    return Source(object_id=name, time=time, band=rng.integers(0, 2, count), mag=mag,
                  mag_err=rng.uniform(0.03, 0.2, count), label=label, **extra)  # fmt: skip


@pytest.fixture
def toy():
    return toy_source


@pytest.fixture(scope="session")
def class_sources():
    """(train, test): 60 and 30 sources of three classes (fine ids 0, 3, 8), 2 to 25 detections."""
    rng = np.random.default_rng(3)
    return tuple(
        [toy_source(rng, f"{split}{k:02d}", (0, 3, 8)[k % 3], int(rng.integers(2, 26))) for k in range(n)]
        for split, n in (("train", 60), ("test", 30))
    )


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """A compact data folder: 30 train, 12 val, 18 test sources with everything a network can take."""
    folder = tmp_path_factory.mktemp("rtf-data")
    rng = np.random.default_rng(5)
    for split, n in (("train", 30), ("val", 12), ("test", 18)):
        (folder / split).mkdir()
        for k in range(n):
            source = toy_source(rng, f"{split}{k:02d}", (0, 3, 8)[k % 3], int(rng.integers(3, 9)), rich=True)
            write_compact(folder / split / f"{source.object_id}.npz", source, feature_names=FEATURE_NAMES)
    return folder


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory, data_dir) -> Path:
    """Runs of all kinds of networks on `data_dir`, with embeddings and summaries, and a folder that is no run."""
    from rtf_models.data.folder import open_split

    folder = tmp_path_factory.mktemp("rtf-runs")
    sources = {split: open_split(data_dir, split) for split in ("train", "test")}
    everything = InputSpec(metadata="global", missing_mask=True, images=True, features="causal", feature_mask=True)
    kinds = {
        "ae_dim6": {}, "vae_dim6": {"mode": "vae", "num_classes": 5}, "vqvae_dim6": {"mode": "vqvae"},
        "ae_dim4": {"latent_dim": 4, "d_model": 24, "n_heads": 3}, "ae_dim6_meta_img_gp": {"inputs": everything},
    }  # fmt: skip
    for name, options in kinds.items():
        checkpoint = tiny_checkpoint(**options)
        save_checkpoint(folder / name / "model.safetensors", checkpoint.model, checkpoint.inputs,
                        scheme=checkpoint.scheme, best_epoch=3)  # fmt: skip
        for split, part in sources.items():
            embed_sources(checkpoint, part).save(folder / name / f"{split}_embeddings.npz")
        summary = {"mode": checkpoint.model.mode, "latent_dim": checkpoint.model.latent_dim}
        (folder / name / "summary.json").write_text(json.dumps(summary))
    (folder / "logs").mkdir()
    return folder


def make_embeddings(latents, fine, scheme=APPLECIDER, ids=None) -> Embeddings:
    """Fingerprints with fine labels, coarse ones by the scheme."""
    fine = np.asarray(fine, np.int64)
    coarse = np.array([scheme.coarse_id(k) for k in fine], np.int64)
    ids = np.array([f"o{k}" for k in range(len(fine))]) if ids is None else np.asarray(ids)
    n = len(fine)
    return Embeddings(np.asarray(latents, np.float32), np.zeros(n, np.float32), fine, coarse, ids, np.full(n, 9))


@pytest.fixture
def embeddings():
    return make_embeddings


@pytest.fixture
def clusters(embeddings):
    """`clusters(rng, counts, spread, D)`: fingerprints around a unit vector of their class, {fine id: how many}."""

    def make(rng, counts: dict[int, int], spread: float = 0.1, dimension: int = 12, scheme=APPLECIDER):
        labels = np.repeat(list(counts), list(counts.values()))
        return embeddings(np.eye(dimension)[labels] + rng.normal(0, spread, (len(labels), dimension)), labels, scheme)

    return make


class Echo(torch.nn.Module):
    """Gives back what it gets: continuous channels plus `offset` (4,), the right band except where `wrong_band` says
    (a function of x (B, L, C) -> (B, L) bool).
    """

    mode, num_classes, latent_dim, cls_head = "ae", 0, 4, None

    def __init__(self, offset=(0, 0, 0, 0), wrong_band=lambda x: torch.zeros(x.shape[:2], dtype=torch.bool)):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.tensor(offset, dtype=torch.float32))
        self.wrong_band = wrong_band

    def forward(self, x, pad_mask=None, images=None, gp_features=None):
        bands = torch.where(self.wrong_band(x)[..., None], x[..., 4:7].roll(1, -1), x[..., 4:7])
        return x[..., :4] + self.offset, 20 * bands, {"z": x[:, 0, :4]}

    def embed(self, x, pad_mask=None, images=None, gp_features=None):
        return x[:, 0, :4]


@pytest.fixture
def echo():
    """`echo(offset, wrong_band, inputs)`: a checkpoint whose network is Echo."""

    def make(offset=(0, 0, 0, 0), wrong_band=None, inputs=None):
        network = Echo(offset) if wrong_band is None else Echo(offset, wrong_band)
        return Checkpoint(network, inputs or InputSpec(), APPLECIDER)

    return make


@pytest.fixture
def replace():
    return dataclasses.replace
