"""A small data folder and small networks, shared by the tests of training."""

import numpy as np
import pytest

from rtf_models.classes import BTS
from rtf_models.data.inputs import InputSpec
from rtf_models.train.config import TrainConfig
from rtf_models.train.data import TrainingData

SMALL = {
    "latent_dim": 4,
    "d_model": 16,
    "heads": 2,
    "d_ff": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "batch_size": 8,
    "lr": 3e-3,
    "epochs": 3,
    "threads": 1,
}


@pytest.fixture
def small_config():
    """Settings of a network that trains in a second; keywords change them."""

    def make(**changes) -> TrainConfig:
        return TrainConfig(**({"data_dir": "memory"} | SMALL | changes))

    return make


@pytest.fixture
def toy_data(toy_sources) -> TrainingData:
    """24 training, 8 validation and 8 test sources of two classes, in memory."""
    train, val, test = toy_sources[:24], toy_sources[24:32], toy_sources[32:]
    return TrainingData(train, val, test, BTS, InputSpec.fit(train), len(train))


@pytest.fixture
def toy_folder(tmp_path, toy_sources):
    """The same on disk, as `preprocess` writes it."""
    from rtf_models.data.compact import write_compact

    folder = tmp_path / "data"
    for split, part in (("train", toy_sources[:24]), ("val", toy_sources[24:32]), ("test", toy_sources[32:])):
        (folder / split).mkdir(parents=True)
        for source in part:
            write_compact(folder / split / f"{source.object_id}.npz", source)
    BTS.save(folder)
    return folder


@pytest.fixture
def bts_like_file(tmp_path):
    """A made-up file in the format of bts_lightcurves.npz: 60 sources of three coarse classes."""
    rng = np.random.default_rng(3)
    counts = rng.integers(4, 40, 60)
    kinds = np.array(["SN Ia", "SN II", "nova"])[np.arange(60) % 3]
    rows = int(counts.sum())
    mjd = np.concatenate([58800 + np.sort(rng.uniform(0, 80, n)) for n in counts])
    path = tmp_path / "bts.npz"
    np.savez(
        path,
        object_id=np.array([f"ZTF{k:05d}" for k in range(60)]),
        type=kinds,
        redshift=rng.uniform(0.01, 0.1, 60),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        mjd=mjd,
        fid=rng.integers(1, 3, rows),
        mag=rng.normal(18.5, 0.7, rows).astype(np.float32),
        magerr=rng.uniform(0.03, 0.2, rows).astype(np.float32),
    )
    return path
