"""The worked example on made-up curves in the format of the real file: it runs, goes on, and its tables are whole."""

import json
import shlex

import numpy as np
import pytest

from rtf_models.example.__main__ import main
from rtf_models.example.recipes import RECIPES, recipe, train_command
from rtf_models.train.command import configs_of, parser
from rtf_models.train.errors import TrainError


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("quick", [False, True])
def test_the_commands_that_it_prints_are_its_runs(name, quick):
    config = recipe(name, "d", seed=3, quick=quick)
    argv = train_command(config, "o")
    assert argv[:4] == ["python", "-m", "rtf_models", "train"]
    assert configs_of(parser().parse_args(argv[4:])) == [config]


def test_epochs_and_warm_up_go_together():
    assert recipe("ae", "d", epochs=1).warmup == 0.0
    with pytest.raises(TrainError):
        recipe("ae", "d", epochs=0)


def test_example_from_file_to_tables(tmp_path, bts_like_file, capsys):
    out = tmp_path / "out"
    command = ["--bts", str(bts_like_file), "--output-dir", str(out), "--quick", "--epochs", "1", "--no-features",
               "--runs", "vqvae", "ae-classes", "--quiet"]  # fmt: skip
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "Written to" in shown
    for name in ("README.md", "results.json", "early.png", "curves_vqvae.png"):
        assert (out / name).stat().st_size > 500
    text = (out / "README.md").read_text()
    assert "VQ-VAE" in text and "the head itself" in text and "nan" not in text
    for line in text.split("```")[1].strip().splitlines():
        assert shlex.split(line)[:3] == ["python", "-m", "rtf_models"]
    results = json.loads((out / "results.json").read_text())
    assert [row["detections"] for row in results["runs"]["vqvae"]["early"]] == [
        3,
        5,
        7,
        10,
        15,
        20,
        30,
        50,
        "all",
    ]
    labels = [results["runs"]["vqvae"]["early"][-1]["coarse"]["accuracy"], results["majority"]["accuracy"]]
    assert np.isfinite(labels).all() and results["features"] is None

    stamps = [
        p.stat().st_mtime_ns
        for p in sorted(out.glob("runs/*/*.safetensors")) + sorted(out.glob("runs/*/judged.json"))
    ]
    assert main(command) == 0  # nothing is done twice
    again = [
        p.stat().st_mtime_ns
        for p in sorted(out.glob("runs/*/*.safetensors")) + sorted(out.glob("runs/*/judged.json"))
    ]
    assert stamps == again and json.loads((out / "results.json").read_text()) == results


def test_errors(tmp_path, bts_like_file, capsys):
    command = [
        "--bts",
        str(bts_like_file),
        "--output-dir",
        str(tmp_path),
        "--runs",
        "ae-features",
        "--no-features",
    ]
    assert main(command) == 2 and "--no-features" in capsys.readouterr().err
    assert main(["--bts", str(tmp_path / "no.npz"), "--output-dir", str(tmp_path)]) == 2
    assert "no.npz" in capsys.readouterr().err
