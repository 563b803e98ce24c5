"""The commands from their arguments to their files."""

import csv
import json

import pytest

from rtf_models.__main__ import main
from rtf_models.evaluation.command import visualize

LEVELS = ("accuracy", "balanced_accuracy", "roc_auc")


@pytest.fixture
def run(capsys, tmp_path):
    """run(name, *arguments) -> what it printed; it must succeed."""

    def call(name, *arguments):
        status = main([name, *map(str, arguments), *(["--quiet"])])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return call


@pytest.fixture
def fails(capsys):
    """fails(name, *arguments) -> what it said on stderr; status 2, an error line, no traceback."""

    def call(name, *arguments):
        assert main([name, *map(str, arguments), "--quiet"]) == 2
        said = capsys.readouterr().err
        assert said.splitlines()[-1].startswith("error: ") and "Traceback" not in said
        return said

    return call


def strict(path):
    """JSON without NaN or Infinity."""

    def refuse(name):
        raise ValueError(f"{path}: {name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def is_png(path) -> bool:
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 5000


def test_early(run, runs_dir, data_dir, tmp_path):
    printed = run("early", "--checkpoint", runs_dir / "vae_dim6", "--data-dir", data_dir, "--output-dir", tmp_path,
                  "--detection-counts", 3, 5, "--bootstrap", 10, "--num-classes", 5)  # fmt: skip
    found = strict(tmp_path / "early_classification.json")
    assert [row["detections"] for row in found["rows"]] == [3, 5, "all"]
    assert all(row["head"]["n"] == 18 for row in found["rows"]) and found["model"]["mode"] == "vae"
    assert len(found["model"]["sha256"]) == 64 and found["scheme"]["name"] == "applecider"
    text = (tmp_path / "early_classification.md").read_text()
    assert text in printed and "class head" in text and "not in the test: Cataclysmic, TDE" in text
    assert is_png(tmp_path / "early_classification.png")
    assert printed.rstrip().endswith(f"wrote early_classification.json, early_classification.md, "
                                     f"early_classification.png to {tmp_path}")  # fmt: skip


def test_early_refuses_flags_that_contradict_the_checkpoint(fails, runs_dir, data_dir, tmp_path):
    common = ("--checkpoint", runs_dir / "vae_dim6", "--data-dir", data_dir, "--output-dir", tmp_path)
    assert "the checkpoint has 5" in fails("early", *common, "--num-classes", 6)
    assert "--image-backbone zoobot" in fails("early", *common, "--image-backbone", "zoobot")
    assert "no such folder" in fails("early", *common, "--split", "nowhere")
    assert "expected 1 detection" in fails("early", *common, "--detection-counts", 0)
    assert not list(tmp_path.iterdir())


def test_linear_probe(run, runs_dir, tmp_path):
    printed = run("linear-probe", "--runs-dir", runs_dir, "--output-dir", tmp_path, "--bootstrap", 0)
    found = strict(tmp_path / "linear_probe_results.json")
    assert len(found["runs"]) == 5 and found["left_out"] == {"logs": "no train_embeddings.npz and test_embeddings.npz"}
    assert all(0 <= r["coarse"][score] <= 1 for r in found["runs"].values() for score in LEVELS)
    assert found["runs"]["vae_dim6"]["mode"] == "vae" and "Left out: logs" in printed
    assert is_png(tmp_path / "linear_probe.png")


def test_mlp_probe(run, runs_dir, tmp_path, monkeypatch):
    from rtf_models.evaluation import mlp

    monkeypatch.setattr(mlp, "DECODERS", {"linear": mlp.Decoder((), 0, 3), "mlp2": mlp.Decoder((8,), 0, 3)})
    run("mlp-probe", "--runs-dir", runs_dir, "--models", "ae_dim6", "--output-dir", tmp_path, "--bootstrap", 5)
    every, best = (strict(tmp_path / name) for name in ("all_decoder_results.json", "decoder_results.json"))
    assert set(every["runs"]["ae_dim6"]["coarse"]["decoders"]) == {"linear", "mlp2"}
    assert best["runs"]["ae_dim6"]["fine"]["decoder"] == every["runs"]["ae_dim6"]["fine"]["best"]
    assert is_png(tmp_path / "mlp_probe.png") and "Bold" in (tmp_path / "mlp_probe.md").read_text()


def test_physical_of_networks_with_different_inputs_in_one_go(run, runs_dir, data_dir, tmp_path):
    """Bug 10: the first run with metadata stopped the original's loop."""
    run("physical", "--runs-dir", runs_dir, "--data-dir", data_dir, "--output-dir", tmp_path, "--plot-per-class", 0)
    found = strict(tmp_path / "physical.json")
    assert set(found["runs"]) == {"ae_dim4", "ae_dim6", "ae_dim6_meta_img_gp", "vae_dim6", "vqvae_dim6"}
    assert all(r["n"] == 18 and set(r["per_class"]) == {"SN Ia", "SN cc", "AGN"} for r in found["runs"].values())
    assert is_png(tmp_path / "physical.png")


def test_physical_of_one_checkpoint(run, fails, runs_dir, data_dir, tmp_path):
    printed = run("physical", "--checkpoint", runs_dir / "ae_dim6" / "model.safetensors", "--data-dir", data_dir,
                  "--output-dir", tmp_path, "--plot-per-class", 1, "--detections", 3)  # fmt: skip
    assert is_png(tmp_path / "ae_dim6_light_curves.png")
    assert "| ae_dim6 | 18 |" in printed and strict(tmp_path / "physical.json")["runs"]["ae_dim6"]["detections"] == 54
    assert "expected --checkpoint or --runs-dir" in fails("physical", "--data-dir", data_dir, "--output-dir", tmp_path)


def test_anomaly(run, fails, runs_dir, data_dir, tmp_path):
    common = ("--checkpoint", runs_dir / "ae_dim6", "--data-dir", data_dir, "--output-dir", tmp_path)
    calibration = tmp_path / "beside" / "anomaly_calibration.json"
    run("anomaly", *common, "--calibration", calibration)
    found = strict(tmp_path / "anomaly.json")
    assert set(found["held_out"]) == {"SN Ia", "SN cc", "AGN"} and found["reference"] == "val"
    assert found["n"] == {"train": 30, "reference": 12, "test": 18}
    with (tmp_path / "anomaly_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["combined"]) for row in rows]
    assert len({row["object_id"] for row in rows}) == 18 and scores == sorted(scores, reverse=True)
    assert strict(calibration) == strict(tmp_path / "anomaly_calibration.json")
    assert is_png(tmp_path / "anomaly.png")
    run("anomaly", *common, "--held-out", "AGN")
    assert set(strict(tmp_path / "anomaly.json")["held_out"]) == {"AGN"}
    assert "expected one of SN Ia" in fails("anomaly", *common, "--held-out", "Blazar")


def test_search(run, fails, runs_dir, data_dir, tmp_path):
    folder, index = runs_dir / "ae_dim6", tmp_path / "objects.index"
    made = run("search", "--embeddings", folder / "train_embeddings.npz", "--save-index", index, "--object-id",
               "train00", "--k", 3)  # fmt: skip
    assert f"wrote an index of 30 objects (flat) to {index}" in made
    read = run("search", "--index", index, "--object-id", "train00", "--k", 3)
    assert made.split("nearest")[1] == read.split("nearest")[1] and read.count("| train") == 3
    assert "| train00 |" not in read
    run("search", "--checkpoint", folder, "--data-dir", data_dir, "--query-split", "test", "--output-dir", tmp_path,
        "--at", 1, 3)  # fmt: skip
    direct = strict(tmp_path / "search.json")
    assert direct["n"] == 18 and set(direct["mean"]) == {"1", "3"} and is_png(tmp_path / "search.png")
    run("search", "--index", index, "--queries", folder / "test_embeddings.npz", "--output-dir", tmp_path, "--at", 1, 3)
    assert strict(tmp_path / "search.json") == direct, "the same objects by another way"
    assert "no such object" in fails("search", "--index", index, "--object-id", "nobody")
    assert "nothing to do" in fails("search", "--index", index)
    assert "expected --output-dir" in fails("search", "--index", index, "--queries", folder / "test_embeddings.npz")
    assert "no objects" in fails("search", "--object-id", "train00")


def test_visualize(run, fails, runs_dir, tmp_path):
    common = ("--runs-dir", runs_dir, "--output-dir", tmp_path, "--methods", "pca")
    run("visualize", *common, "--models", "ae_dim6", "ae_dim4", "--comparison-dims", 4, 6)
    for name in ("ae_dim6_pca", "ae_dim4_pca", "comparison_pca"):
        assert is_png(tmp_path / f"{name}.png")
    found = strict(tmp_path / "visualize.json")
    assert len(found["points"]["ae_dim6/pca"]) == len(found["object_ids"]["ae_dim6"]) == 18
    assert "expected --comparison-dims" in fails("visualize", *common, "--comparison-only")  # bug 19: it did nothing
    assert "no run ae_dim5" in fails("visualize", *common, "--comparison-dims", 5)
    assert "no run vae_dim4" in fails("visualize", *common, "--comparison-dims", 4, "--comparison-mode", "vae")


def test_visualize_comparison_only_and_a_sample(run, runs_dir, tmp_path):
    run("visualize", "--runs-dir", runs_dir, "--output-dir", tmp_path, "--methods", "pca", "tsne", "--comparison-dims",
        6, "--comparison-only", "--max-points", 9)  # fmt: skip
    assert {p.name for p in tmp_path.glob("*.png")} == {"comparison_pca.png", "comparison_tsne.png"}
    assert len(strict(tmp_path / "visualize.json")["object_ids"]["ae_dim6"]) == 9


def test_visualize_without_umap_says_so(runs_dir, tmp_path, capsys, monkeypatch):
    from rtf_models.evaluation import projection

    monkeypatch.setattr(projection, "available_method", lambda m: "tsne" if m == "umap" else m)
    assert visualize.main(["--runs-dir", str(runs_dir), "--models", "ae_dim6", "--output-dir", str(tmp_path),
                           "--quiet"]) == 0  # fmt: skip
    assert "venom-hw[umap]" in capsys.readouterr().err
    assert {p.name for p in tmp_path.glob("*.png")} == {"ae_dim6_tsne.png"}


def test_compare(run, runs_dir, data_dir, tmp_path):
    printed = run("compare", "--runs-dir", runs_dir, "--data-dir", data_dir, "--output-dir", tmp_path, "--bootstrap", 5)
    found = strict(tmp_path / "compare.json")
    assert len(found["runs"]) == 5 and found["runs"]["vqvae_dim6"]["bytes"] == 1
    assert "## Inputs: photometry\n" in printed and "| vqvae_dim6 | VQ-VAE | 6 | 1 |" in printed
    assert is_png(tmp_path / "compare.png")
    run("compare", "--runs-dir", runs_dir, "--models", "ae_dim6", "--output-dir", tmp_path, "--bootstrap", 0)
    assert strict(tmp_path / "compare.json")["runs"]["ae_dim6"]["physical"] is None


@pytest.mark.parametrize(
    "name, flag, value, said",
    [("linear-probe", "--bootstrap", -1, "0 or more"), ("linear-probe", "--C", 0, "more than 0"),
     ("mlp-probe", "--device", "abacus", "abacus"), ("mlp-probe", "--threads", 0, "1 or more"),
     ("compare", "--batch-size", 0, "1 or more"), ("visualize", "--max-points", 2, "5 or more")],
)  # fmt: skip
def test_senseless_numbers_are_refused(fails, runs_dir, tmp_path, name, flag, value, said):
    assert said in fails(name, "--runs-dir", runs_dir, "--output-dir", tmp_path, flag, value)


def test_a_damaged_checkpoint_is_an_error_not_a_traceback(fails, data_dir, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no")
    for name in ("early", "physical", "anomaly"):
        assert "model.safetensors" in fails(name, "--checkpoint", tmp_path, "--data-dir", data_dir, "--output-dir",
                                            tmp_path / "out")  # fmt: skip
