"""Groups of pixels from folders to the table: failures reported, interruptions survived, on Ray the same."""

import csv
import dataclasses
import json

import pytest
import torch

from venom_hw.cluster import connect
from venom_hw.detector import PRESETS
from venom_hw.model import load_checkpoint
from venom_hw.train_array import (
    PixelSource,
    TrainArrayError,
    folder_sources,
    make_groups,
    run_group,
    train_array,
)
from venom_hw.train_array import run as running
from venom_hw.train_array.__main__ import main
from venom_hw.train_array.pixel_data import load_pixel
from venom_hw.train_array.results import text_table


@pytest.fixture()
def groups(pixel_folders, config):
    return make_groups(folder_sources(pixel_folders, 7), 2, config=config, n_boot=5)


def test_every_pixel_has_a_row_and_every_good_one_a_model(groups, tmp_path):
    rows = train_array(groups, tmp_path, quiet=True)
    assert [r["pixel"] for r in rows] == [f"pixel-{k:04d}" for k in range(4)]
    assert [r["status"] for r in rows] == ["ok", "ok", "failed", "ok"]
    assert "pixel-0002" in rows[2]["reason"] and [r["seed"] for r in rows] == [7, 8, 9, 10]
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(r["R"]) for r in table if r["R"]] == [r["R"] for r in rows if r["status"] == "ok"]
    assert set(json.loads((tmp_path / "results.json").read_text())[0]["lines"]) == {
        "800nm",
        "1000nm",
        "1300nm",
    }
    checkpoint = load_checkpoint(tmp_path / "pixels" / "pixel-0001" / "model.safetensors")
    assert checkpoint.data["pixel"] == "pixel-0001" and checkpoint.training["seed"] == 8
    text = text_table(rows)
    assert "3 ok, 0 ok after a retry, 1 failed" in text and "no usable pulses" in text
    assert not list((tmp_path / "groups").rglob("state*"))


def test_finished_groups_are_not_redone_and_stopped_ones_go_on(groups, tmp_path, monkeypatch):
    whole = train_array(groups, tmp_path / "whole", quiet=True)
    out = tmp_path / "stopped"
    assert run_group(groups[0], out, stop_after=2) is None
    rows = train_array(groups, out, quiet=True)
    dull = ("seconds",)
    assert [{k: v for k, v in r.items() if k not in dull} for r in rows] == [
        {k: v for k, v in r.items() if k not in dull} for r in whole
    ]
    one, two = (
        load_checkpoint(p / "pixels" / "pixel-0000" / "model.safetensors") for p in (tmp_path / "whole", out)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    monkeypatch.setattr(running, "run_group", lambda *a: pytest.fail("a finished group was trained again"))
    assert train_array(groups, out, quiet=True) == rows


def test_another_run_in_the_folder_is_refused(groups, tmp_path):
    train_array(groups[:1], tmp_path, quiet=True)
    with pytest.raises(TrainArrayError, match="other pixels"):
        train_array(groups, tmp_path, quiet=True)
    other = [dataclasses.replace(groups[0], config=dataclasses.replace(groups[0].config, lr=1e-3))]
    with pytest.raises(TrainArrayError, match="other settings"):
        train_array(other, tmp_path, quiet=True)


def test_a_group_that_fails_is_reported_and_tried_again(groups, tmp_path, monkeypatch):
    honest = running.run_group

    def sick(group, *rest):
        if group.number == 0:
            raise MemoryError("no room")
        return honest(group, *rest)

    monkeypatch.setattr(running, "run_group", sick)
    rows = train_array(groups, tmp_path, quiet=True)
    assert [r["status"] for r in rows] == ["failed", "failed", "failed", "ok"]
    assert rows[0]["reason"] == "MemoryError: no room"
    monkeypatch.setattr(running, "run_group", honest)
    assert [r["status"] for r in train_array(groups, tmp_path, quiet=True)] == ["ok", "ok", "failed", "ok"]


def test_pixels_are_simulated_where_asked(tmp_path, config):
    preset = dataclasses.replace(PRESETS["ptsi"], qc=16e3)
    small = dataclasses.replace(config, pulses=12, between=3, between_pulses=10, line_pulses=5)
    data = load_pixel(PixelSource("pixel-0000", 3, tmp_path / "p", preset), small)
    assert len(data.fit_idx) == 5 * len(preset.wavelengths_nm) and len(data.extra[0]) > 20
    metadata = json.loads((tmp_path / "p" / "lines" / "metadata.json").read_text())
    assert metadata["parameters"]["qc"] == 16e3


def test_command_line(pixel_folders, tmp_path, capsys):
    settings = [
        "--set",
        "d_model=8",
        "d_state=4",
        "d_head_hidden=8",
        "peak_sigma=0",
        "--batch",
        "16",
        "--epochs",
        "1",
    ]
    command = [
        "--data",
        str(pixel_folders),
        "--out",
        str(tmp_path / "out"),
        "--no-ray",
        "--quiet",
        "--boot",
        "3",
    ]
    assert main([*command, *settings]) == 0
    printed = capsys.readouterr().out
    assert "pixel-0002    failed" in printed and "results.csv" in printed and "3 models" in printed
    assert main([*command, *settings[:-1], "2"]) == 2
    assert "another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--out", "o"], "either --data FOLDER or --preset"),
        (["--data", "nowhere", "--out", "o"], "nowhere: no such folder"),
        (["--preset", "ptsi", "--out", "o"], "--pixels N"),
        (["--data", ".", "--group", "0", "--out", "o"], "--group 0"),
        (["--data", ".", "--out", "o", "--set", "n_synthetic=5", "--no-ray"], "no data folder"),
    ],
    ids=["neither", "nowhere", "no-number", "group", "no-pixels"],
)
def test_wrong_arguments_say_what_was_expected(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_on_ray_the_same_models_with_and_without_a_shared_folder(groups, tmp_path):
    pytest.importorskip("ray")
    here = train_array(groups, tmp_path / "here", quiet=True)
    with connect(cpus=2) as session:
        there = train_array(groups, tmp_path / "there", session, quiet=True)
        apart = train_array(
            groups, tmp_path / "apart", dataclasses.replace(session, local=False), shared=False, quiet=True
        )
    for rows, name in ((there, "there"), (apart, "apart")):
        assert [(r["pixel"], r["status"], r.get("R")) for r in rows] == [
            (r["pixel"], r["status"], r.get("R")) for r in here
        ]
        for row in (r for r in rows if r["status"] == "ok"):
            one, two = (
                load_checkpoint(tmp_path / n / "pixels" / row["pixel"] / "model.safetensors")
                for n in ("here", name)
            )
            assert all(
                torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True)
            )
