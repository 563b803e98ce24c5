"""Run folders of all kinds are found, rebuilt without flags, and compared in the same units."""

import json

import pytest
import torch

from rtf_models.classes import APPLECIDER, BTS
from rtf_models.data.folder import open_split
from rtf_models.evaluation.comparison import architecture, by_inputs, run_row
from rtf_models.evaluation.errors import EvaluationError
from rtf_models.evaluation.runs import find_runs

ALL = ["ae_dim4", "ae_dim6", "ae_dim6_meta_img_gp", "vae_dim6", "vqvae_dim6"]


def test_runs_are_found_and_others_named(runs_dir):
    for need in ("checkpoint", "embeddings"):
        runs, left_out = find_runs(runs_dir, need=need)
        assert [run.name for run in runs] == ALL and list(left_out) == ["logs"]
    assert [run.name for run in find_runs(runs_dir, ["vae_dim6"])[0]] == ["vae_dim6"]
    assert [run.name for run in find_runs(runs_dir / "ae_dim4")[0]] == ["ae_dim4"], "one run is a folder of runs too"


def test_what_is_not_there_is_said(runs_dir, tmp_path):
    with pytest.raises(EvaluationError, match="no run 'ae_dim9'; there are ae_dim4"):
        find_runs(runs_dir, ["ae_dim9"])
    with pytest.raises(EvaluationError, match="no such folder"):
        find_runs(tmp_path / "x")
    with pytest.raises(EvaluationError, match="it is empty"):
        find_runs(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text("{")
    with pytest.raises(EvaluationError, match="summary.json"):
        find_runs(tmp_path)


def test_every_kind_of_network_rebuilds_itself(runs_dir):
    """Bugs 9 and 10: class head, codes, width, metadata, images, features: no flag is needed."""
    checkpoints = {run.name: run.checkpoint for run in find_runs(runs_dir)[0]}
    models = {name: c.model for name, c in checkpoints.items()}
    assert models["vae_dim6"].num_classes == 5 and models["vqvae_dim6"].num_codes == 16
    assert models["ae_dim4"].d_model == 24 and models["ae_dim6_meta_img_gp"].in_channels == 67
    assert models["ae_dim6_meta_img_gp"].gp_dim == 228 and models["ae_dim6_meta_img_gp"].use_images


def test_the_labels_mean_what_summary_or_checkpoint_say(runs_dir, tmp_path):
    run = find_runs(runs_dir, ["ae_dim6"])[0][0]
    assert run.scheme == APPLECIDER
    folder = tmp_path / "own"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}_embeddings.npz").write_bytes((run.folder / f"{split}_embeddings.npz").read_bytes())
    assert find_runs(tmp_path, need="embeddings")[0][0].scheme == APPLECIDER
    (folder / "summary.json").write_text(json.dumps({"scheme": BTS.to_dict()}))
    assert find_runs(tmp_path, need="embeddings")[0][0].scheme == BTS


def test_a_run_of_the_original_is_a_run(runs_dir, tmp_path, tiny):
    """best_model.pt and summary.json, as its training wrote them; 8 heads, full-length decoder."""
    model = tiny("vae", d_model=16, n_heads=8, decode_all=True, embed_absent=True).model
    (tmp_path / "vae_dim6").mkdir()
    torch.save(model.state_dict(), tmp_path / "vae_dim6" / "best_model.pt")
    (tmp_path / "vae_dim6" / "summary.json").write_text(json.dumps({"mode": "vae", "latent_dim": 6}))
    with pytest.warns(UserWarning, match="feature_stats"):
        found = find_runs(tmp_path)[0][0].checkpoint
    assert found.model.mode == "vae" and found.model.decode_all
    x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(found.model.embed(x), model.embed(x), atol=1e-6)


def test_rows_of_the_table(runs_dir, data_dir):
    sources = open_split(data_dir, "test")
    rows = {run.name: run_row(run, sources) for run in find_runs(runs_dir)[0]}
    assert {name: row["bytes"] for name, row in rows.items()} == {
        "ae_dim4": 16, "ae_dim6": 24, "ae_dim6_meta_img_gp": 24, "vae_dim6": 24,
        "vqvae_dim6": 1}  # 16 codes are four bits  # fmt: skip
    for row in rows.values():
        assert row["probe"]["n_test"] == 18 and row["physical"]["n"] == 18 and row["best_epoch"] == 3
        assert row["photometry_ratio"] == pytest.approx(row["median_detections"] * 13 / row["bytes"])
    names = {name: architecture(row) for name, row in rows.items()}
    assert (names["ae_dim6"], names["vae_dim6"], names["vqvae_dim6"]) == ("AE", "VAE + classes", "VQ-VAE")
    groups = by_inputs(rows)
    assert list(groups["photometry"]) == ["ae_dim4", "ae_dim6", "vae_dim6", "vqvae_dim6"]
    assert list(groups) == ["photometry", "photometry, metadata (global), images, features (causal)"]


def test_a_row_without_sources_is_a_row_of_probes(runs_dir):
    row = run_row(find_runs(runs_dir, ["ae_dim6"])[0][0])
    assert row["physical"] is None and row["probe"]["coarse"] is not None and row["median_detections"] > 0
