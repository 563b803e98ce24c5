"""Checkpoints and files that the original left behind are judged without flags."""

import json

import numpy as np
import pytest
import torch

from rtf_models.__main__ import main
from rtf_models.data.feature_stats import STATS_FILE
from rtf_models.data.inputs import InputSpec

# what no shape shows is as the original always built it: 8 heads, a decoder of full length
ORIGINAL = {"d_model": 16, "n_heads": 8, "decode_all": True, "embed_absent": True}
COLUMNS = np.array(["dt", "dt_prev", "band_id", "logflux", "logflux_err", "g", "r", "i", "g_r", "g_r_err", "r_i",
                    "r_i_err", "has_g_r", "has_r_i", "label"])  # fmt: skip


@pytest.fixture
def original_run(tiny, tmp_path):
    """original_run(inputs, ...) -> folder with best_model.pt and the summary that its training wrote."""

    def make(inputs, **options):
        model = tiny(inputs=inputs, **ORIGINAL, **options).model
        folder = tmp_path / "runs" / "ae_dim6"
        folder.mkdir(parents=True)
        torch.save(model.state_dict(), folder / "best_model.pt")
        summary = {"mode": model.mode, "latent_dim": 6, "in_channels": model.in_channels, "d_model": 16,
                   "gp_dim": model.gp_dim, "use_images": model.use_images, "best_epoch": 7}  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


def test_compact_files_with_everything(original_run, data_dir, tmp_path, capsys):
    """Bug 9: class head, images, features; bug 3: the features of whole curves are not handed over early."""
    inputs = InputSpec.original("compact", images=True, features=True)
    run = original_run(inputs, num_classes=5)
    common = ["--checkpoint", str(run / "best_model.pt"), "--summary", str(run / "summary.json"), "--data-dir",
              str(data_dir), "--detection-counts", "3", "--bootstrap", "0", "--quiet"]  # fmt: skip
    assert main(["early", *common, "--output-dir", str(tmp_path / "honest")]) == 0
    assert "features of the prefix" in capsys.readouterr().err
    assert main(["early", *common, "--output-dir", str(tmp_path / "old"), "--allow-future-features"]) == 0
    printed = capsys.readouterr()
    assert "not early classification" in printed.err and "**The features of whole curves" in printed.out
    rows = {k: json.loads((tmp_path / k / "early_classification.json").read_text())["rows"] for k in ("honest", "old")}
    assert rows["honest"][-1] == rows["old"][-1] and rows["honest"][-1]["head"]["n"] == 18
    assert [row["future_features"] for row in rows["old"]] == [True, False]


@pytest.fixture
def photo_events(tmp_path):
    """A photo_events folder of 16 + 12 sources, its statistics beside the splits."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photo_events"
    for split, n in (("train", 16), ("test", 12)):
        (folder / split).mkdir(parents=True)
        for k in range(n):
            count = int(rng.integers(4, 12))
            data = np.zeros((count, 15), np.float32)
            data[:, 0] = np.sort(rng.uniform(0, 90, count))
            data[:, 0] -= data[0, 0]
            data[:, 1] = np.diff(data[:, 0], prepend=0)
            data[:, 2] = rng.integers(0, 2, count)
            data[:, 3], data[:, 4] = rng.normal(2 + k % 2, 0.3, count), rng.uniform(0.01, 0.1, count)
            data[np.arange(count), 5 + data[:, 2].astype(int)] = 1
            np.savez(folder / split / f"{split}{k}.npz", data=data, columns=COLUMNS, label=np.int64(8 * (k % 2)))
    mean, std = np.array([3, 1.5, 2.5, 0.05, 9, 9]), np.array([1, 0.5, 0.8, 0.03, 9, 9])
    np.savez(folder / STATS_FILE, mean=mean.astype(np.float32), std=std.astype(np.float32))
    return folder


def test_photo_events_find_their_statistics(original_run, photo_events, tmp_path, recwarn):
    """The first four of the flattened statistics, found in the data folder: magnitudes come out right."""
    run = original_run(InputSpec())
    assert main(["physical", "--runs-dir", str(run.parent), "--data-dir", str(photo_events), "--output-dir",
                 str(tmp_path / "out"), "--plot-per-class", "0", "--quiet"]) == 0  # fmt: skip
    found = json.loads((tmp_path / "out" / "physical.json").read_text())["runs"]["ae_dim6"]
    assert not [w for w in recwarn if "feature_stats" in str(w.message)]
    data = [np.load(path)["data"] for path in sorted((photo_events / "test").glob("*.npz"))]

    def spread(d):
        mag = -2.5 * d[:, 3]
        return np.mean([abs(mag[k] - np.median(mag[d[:, 2] == d[k, 2]])) for k in range(len(d))])

    assert found["baseline_abs_dmag"] == pytest.approx(np.mean([spread(d) for d in data]), rel=1e-4)
    assert set(found["per_class"]) == {"SN Ia", "AGN"}


def test_embeddings_of_the_original(tmp_path, clusters):
    """Its npz files have no lengths, its summary no scheme; ids may be BAD."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "runs" / "ae_dim12"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        part = clusters(rng, {0: 30, 3: 20, 9: 10}, 0.1)
        ids = np.array(["BAD" if k == 0 else f"ZTF{k}" for k in range(60)])
        np.savez(folder / f"{split}_embeddings.npz", embeddings=part.embeddings, recon_errors=part.recon_errors,
                 labels_fine=part.labels_fine, labels_coarse=part.labels_coarse, obj_ids=ids)  # fmt: skip
    (folder / "summary.json").write_text('{"mode": "ae", "latent_dim": 12}')
    assert main(["linear-probe", "--runs-dir", str(tmp_path / "runs"), "--output-dir", str(tmp_path / "out"),
                 "--bootstrap", "0", "--quiet"]) == 0  # fmt: skip
    found = json.loads((tmp_path / "out" / "linear_probe_results.json").read_text())["runs"]["ae_dim12"]
    assert found["coarse"]["accuracy"] == 1 and found["n_test"] == 59 and found["unknown"] == {"train": 1, "test": 1}
    assert found["coarse"]["missing_in_test"] == ["Cataclysmic", "AGN"]
