"""Sweeps: the grid, a report for each point, failures reported, nothing done twice."""

import csv
import json

import pytest

from tests.train_array.conftest import write_toy_folder
from venom_hw.sweep import SweepError, parse_grid, points, read_grid, run_sweep
from venom_hw.sweep import run as running
from venom_hw.sweep.__main__ import main
from venom_hw.train import TrainError

SETTINGS = dict(epochs=1, batch=16, d_model=8, d_head_hidden=8, peak_sigma=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "toy"
    write_toy_folder(folder, 0)
    return folder


def test_every_combination_has_a_name_and_typed_settings():
    grid = parse_grid(["d_state=4,8", "lr=0.003,6e-3", "loss=mse"])
    assert grid == {"d_state": [4, 8], "lr": [0.003, 0.006], "loss": ["mse"]}
    found = points({"epochs": 2}, grid)
    assert [p.name for p in found][:2] == ["d_state-4_lr-0.003_loss-mse", "d_state-4_lr-0.006_loss-mse"]
    assert len(found) == 4 and found[3].config.d_state == 8 and found[3].config.epochs == 2


def test_grid_from_toml(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text("[settings]\nepochs = 3\n[grid]\nd_model = [8, 16]\n")
    assert read_grid(path) == ({"epochs": 3}, {"d_model": [8, 16]})
    for text, message in (("x = 1\n", "unknown table 'x'"), ("[grid]\nlr = 1\n", "grid.lr"), ("[", "TOML")):
        path.write_text(text)
        with pytest.raises(SweepError, match=message):
            read_grid(path)


@pytest.mark.parametrize(
    "texts, error, message",
    [
        (["d_state"], SweepError, "NAME=VALUE"),
        (["d_state=4", "d_state=8"], SweepError, "twice"),
        (["d_stat=4"], TrainError, "d_stat"),
        (["d_state=4,x"], TrainError, "int"),
        ([], SweepError, "no grid"),
        (["d_state=4,4"], SweepError, "twice"),
        (["d_state=0"], TrainError, "1 or more"),
    ],
    ids=["no-values", "doubled-name", "unknown", "type", "empty", "doubled-value", "range"],
)
def test_wrong_grids_are_refused(texts, error, message):
    with pytest.raises(error, match=message):
        points({}, parse_grid(texts))


def test_each_point_has_its_report_and_nothing_is_done_twice(folder, tmp_path, monkeypatch):
    chosen = points(SETTINGS | {"data": str(folder)}, {"d_state": [2, 4]})
    honest = running.train

    def sick(config, *rest, **more):
        if config.d_state == 4:
            raise ValueError("no luck")
        return honest(config, *rest, **more)

    monkeypatch.setattr(running, "train", sick)
    rows = run_sweep(chosen, tmp_path, tmp_path / "sim", "command", retries=0, quiet=True)
    assert [(r["name"], r["status"]) for r in rows] == [("d_state-2", "ok"), ("d_state-4", "failed")]
    assert "no luck" in rows[1]["reason"] and rows[0]["R"] > 0
    assert (tmp_path / "d_state-2" / "report.png").is_file()

    trained = []
    monkeypatch.setattr(running, "train", lambda c, *r, **m: (trained.append(c.d_state), honest(c, *r, **m)))
    rows = run_sweep(chosen, tmp_path, tmp_path / "sim", "command", quiet=True)
    assert trained == [4] and {r["status"] for r in rows} == {"ok"}
    assert rows[0]["R"] >= rows[1]["R"]
    with (tmp_path / "sweep.csv").open() as file:
        assert {row["d_state"] for row in csv.DictReader(file)} == {"2", "4"}
    assert len(json.loads((tmp_path / "sweep.json").read_text())) == 2
    with pytest.raises(SweepError, match="other settings"):
        run_sweep(
            points(SETTINGS | {"data": str(folder), "lr": 1e-4}, {"d_state": [2]}),
            tmp_path,
            tmp_path,
            "c",
            quiet=True,
        )


def test_command_line(folder, tmp_path, capsys):
    command = [
        "--grid",
        "d_state=2",
        "--set",
        *(f"{k}={v}" for k, v in SETTINGS.items()),
        f"data={folder}",
        "--out",
        str(tmp_path / "out"),
        "--no-ray",
        "--quiet",
    ]
    assert main(command) == 0
    assert "sweep.md" in capsys.readouterr().out
    assert main(["--out", str(tmp_path), "--no-ray"]) == 2
    assert "no grid" in capsys.readouterr().err


@pytest.mark.slow
def test_on_a_local_cluster(folder, tmp_path):
    pytest.importorskip("ray")
    command = [
        "--grid",
        "d_state=2,4",
        "--set",
        *(f"{k}={v}" for k, v in SETTINGS.items()),
        f"data={folder}",
        "--cpus",
        "2",
        "--out",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert main(command) == 0
    assert len(list((tmp_path / "out").glob("*/report.json"))) == 2
