"""Training straight from real alert packets: metadata, cutouts and photometry, no preprocessing."""

import json
import shutil

import numpy as np
import pytest

from rtf_models.checkpoint import load_checkpoint
from rtf_models.data.packets import read_packets
from rtf_models.embedding import Embeddings
from rtf_models.train.command import main

SMALL = ["--d-model", "16", "--heads", "2", "--d-ff", "32", "--encoder-layers", "1", "--decoder-layers", "1"]


@pytest.fixture
def labelled_alerts(tmp_path, ztf_folder):
    """Sixteen real packets of different objects with a splits file and made-up labels; the last label is missing."""
    pytest.importorskip("fastavro")
    files = sorted((ztf_folder / "alerts_avro").glob("*.avro"))
    (tmp_path / "alerts").mkdir()
    rows, seen = [], set()
    for path in files:
        name = next(iter(read_packets(path)))["objectId"]
        if name in seen or len(seen) == 16:
            continue
        seen.add(name)
        shutil.copy(path, tmp_path / "alerts")
        rows.append((name, "train" if len(rows) < 8 else "val" if len(rows) < 12 else "test"))
    (tmp_path / "splits.csv").write_text("obj_id,split\n" + "".join(f"{a},{b}\n" for a, b in rows))
    for k, (name, split) in enumerate(rows):
        (tmp_path / "labels" / split).mkdir(parents=True, exist_ok=True)
        if k < 15:
            np.savez(tmp_path / "labels" / split / f"{name}.npz", label=k % 2 * 3)
    return tmp_path


def options(folder):
    """Where the packets and their labels are, and where the runs go."""
    places = {"--alert-dir": "alerts", "--splits": "splits.csv", "--labels-dir": "labels", "--output-dir": "runs"}
    return [word for flag, name in places.items() for word in (flag, str(folder / name))]


def test_real_packets_to_fingerprints(labelled_alerts, capsys):
    where = options(labelled_alerts)
    flags = ["--mode", "ae", "--latent-dims", "4", "--use-metadata", "--use-images", "--cls-weight", "0.5", "--epochs",
             "1", "--batch-size", "2", "--random-truncate", "--threads", "1", "--quiet", *SMALL]  # fmt: skip
    assert main([*where, *flags]) == 0, capsys.readouterr().err
    folder = labelled_alerts / "runs" / "ae_dim4_meta_img_randtrunc_cls0.5_d16_h2_el1_dl1_ff32"
    checkpoint = load_checkpoint(folder)
    assert checkpoint.inputs.in_channels == 67 and checkpoint.model.use_images
    summary = json.loads((folder / "summary.json").read_text())
    trained = Embeddings.load(folder / "train_embeddings.npz")
    assert 4 <= len(trained) == summary["data"]["train"] <= 8 and np.isfinite(trained.embeddings).all()
    tested = Embeddings.load(folder / "test_embeddings.npz")
    assert set(tested.labels_fine) <= {-1, 0, 3} and summary["data"]["left_out"] <= 8


def test_features_are_not_in_packets(labelled_alerts, capsys):
    where = options(labelled_alerts)
    assert main([*where, "--use-gp", "--quiet", "--latent-dims", "4"]) == 2
    assert "preprocess --fit-gp" in capsys.readouterr().err
