"""Groups of pixels from folders to the table: failures reported, interruptions survived, on Ray the same."""

import csv
import dataclasses
import json
import shutil

import pytest
import torch

from venom_hw import backend
from venom_hw.cluster import Session, connect
from venom_hw.cluster.tasks import Outcome
from venom_hw.detector import PRESETS
from venom_hw.model import load_checkpoint
from venom_hw.train_array import (
    PixelSource,
    TrainArrayError,
    folder_sources,
    make_groups,
    run_group,
    step_kernel,
    train_array,
)
from venom_hw.train_array import __main__ as command_line
from venom_hw.train_array import run as running
from venom_hw.train_array.__main__ import group_device, main
from venom_hw.train_array.pixel_data import load_pixel
from venom_hw.train_array.results import notes, text_table


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


def without_seconds(rows):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in rows]


def same_weights(one, two, pixel) -> bool:
    one, two = (
        load_checkpoint(p / "pixels" / pixel / "model.safetensors").model.parameters() for p in (one, two)
    )
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_finished_groups_are_not_redone_and_stopped_ones_go_on(groups, tmp_path, monkeypatch):
    whole = train_array(groups, tmp_path / "whole", quiet=True)
    out = tmp_path / "stopped"
    assert run_group(groups[0], out, stop_after=2) is None
    rows = train_array(groups, out, quiet=True)
    assert without_seconds(rows) == without_seconds(whole)
    assert same_weights(tmp_path / "whole", out, "pixel-0000")
    honest, again = running.run_group, []
    monkeypatch.setattr(running, "run_group", lambda g, *a: (again.append(g.number), honest(g, *a)))
    assert train_array(groups, out, quiet=True) == rows
    assert again == [1]  # pixel-0002 is broken still; the group without failures is not looked at


@pytest.mark.parametrize("apart", [False, True], ids=["shared", "worker-of-its-own"])
def test_a_repaired_pixel_is_trained_by_the_same_command(pixel_folders, config, tmp_path, monkeypatch, apart):
    """Two broken metadata files, mended one after the other: each gets its row then, nobody else is touched."""
    root = tmp_path / "pixels"
    for k, source in enumerate((0, 1, 3)):
        shutil.copytree(pixel_folders / f"pixel-{source:04d}", root / "abc"[k])
    groups = make_groups(folder_sources(root, 7), 3, config=config, n_boot=5)
    whole = train_array(groups, tmp_path / "whole", quiet=True)
    good = {name: (root / name / "metadata.json").read_text() for name in "bc"}
    for name in "bc":
        (root / name / "metadata.json").write_text("{")

    def in_a_folder_of_its_own(session, task, tasks, **_):
        for k, (group, _place, done) in enumerate(tasks):
            yield Outcome(k, 1, task(group, "", done))

    session = None
    if apart:
        session = Session(None, local=False)
        monkeypatch.setattr(running, "run_tasks", in_a_folder_of_its_own)
    out = tmp_path / "out"
    rows = train_array(groups, out, session, shared=False, quiet=True)
    assert [r["status"] for r in rows] == ["ok", "failed", "failed"] and "metadata.json" in rows[1]["reason"]
    assert "2 pixels failed; the same command tries them again" in "\n".join(notes(rows))
    model = out / "pixels" / "a" / "model.safetensors"
    first = model.stat().st_mtime_ns
    for name, states in (("b", ["ok", "ok", "failed"]), ("c", ["ok", "ok", "ok"])):
        (root / name / "metadata.json").write_text(good[name])
        rows = train_array(groups, out, session, shared=False, quiet=True)
        assert [r["status"] for r in rows] == states
        assert json.loads((out / "results.json").read_text()) == rows
    assert model.stat().st_mtime_ns == first
    assert [r["R"] for r in rows] == pytest.approx([r["R"] for r in whole], rel=1e-3)
    if step_kernel.library() is not None:
        assert without_seconds(rows) == without_seconds(whole) and same_weights(tmp_path / "whole", out, "b")


def test_a_group_whose_retry_fails_as_a_whole_says_why(groups, tmp_path, monkeypatch):
    train_array(groups, tmp_path, quiet=True)
    monkeypatch.setattr(running, "run_group", lambda *a: (_ for _ in ()).throw(MemoryError("no room")))
    rows = train_array(groups, tmp_path, quiet=True)
    assert [r["status"] for r in rows] == ["ok", "ok", "failed", "ok"]
    assert rows[2]["reason"] == "MemoryError: no room"


def test_synthetic_pulses_of_each_pixel(pixel_folders, config, tmp_path):
    """A generator a pixel, kept beside its model; resumed it gives the same weights, and no warning is left."""
    config = dataclasses.replace(config, epochs=2, n_synthetic=40, n_components=3)
    groups = make_groups(folder_sources(pixel_folders, 7)[:2], 2, config=config, n_boot=3)
    rows = train_array(groups, tmp_path / "whole", quiet=True)
    assert [(r["status"], r["synthetic_pulses"], r["training_energies"]) for r in rows] == [("ok", 40, 3)] * 2
    assert not [n for n in notes(rows) if "WARNING" in n]
    kept = [tmp_path / "whole" / "pixels" / r["pixel"] / "generator.npz" for r in rows]
    assert kept[0].read_bytes() != kept[1].read_bytes()
    out = tmp_path / "stopped"
    assert run_group(groups[0], out, stop_after=1) is None
    before = (out / "pixels" / "pixel-0000" / "generator.npz").stat().st_mtime_ns
    train_array(groups, out, quiet=True)
    assert (out / "pixels" / "pixel-0000" / "generator.npz").stat().st_mtime_ns == before
    assert same_weights(tmp_path / "whole", out, "pixel-0000")


def test_few_energies_and_a_slow_engine_are_said_aloud(groups, tmp_path, monkeypatch):
    monkeypatch.setattr(step_kernel, "library", lambda: None)
    rows = train_array(groups[:1], tmp_path, quiet=True)
    assert [r["engine"] for r in rows] == ["torch on cpu"] * 2
    assert "trained on 3 energies" in rows[0]["warning"]
    text = "\n".join(notes(rows))
    assert "WARNING: 2 of 2 pixels were trained on few energies (3 to 3)" in text and "--n-synthetic" in text
    assert "2 of 2 pixels were trained by the torch engine on the CPU" in text
    with (tmp_path / "results.csv").open() as file:
        assert all("3 energies" in row["warning"] for row in csv.DictReader(file))


def test_devices_are_checked_before_anything_is_done(pixel_folders, monkeypatch, capsys):
    monkeypatch.delenv("VENOM_DEVICE", raising=False)
    monkeypatch.setattr(command_line, "train_array", lambda *a, **k: pytest.fail("trained"))
    command = ["--data", str(pixel_folders), "--out", "o", "--no-ray"]
    assert main([*command, "--device", "foo"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --device foo: expected one of auto, cpu, cuda, mps")
    assert "usable here: auto, " in said and "cpu" in said.partition("usable here")[2]
    monkeypatch.setenv("VENOM_DEVICE", "bar")
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("error: VENOM_DEVICE bar: expected one of")


def test_devices_of_groups(monkeypatch):
    monkeypatch.delenv("VENOM_DEVICE", raising=False)
    monkeypatch.setattr(backend, "usable_devices", lambda: ("cuda", "cpu"))
    assert group_device("auto", here=True, in_process=True, gpus=0) == "cuda"
    assert group_device("auto", here=True, in_process=False, gpus=0) == "cpu"  # many tasks, no GPU asked for
    assert group_device("auto", here=False, in_process=False, gpus=1) == "auto"  # the worker finds out
    monkeypatch.setattr(backend, "usable_devices", lambda: ("cpu",))
    assert group_device("cuda", here=False, in_process=False, gpus=1) == "cuda"
    with pytest.raises(TrainArrayError, match="--device cuda: not available here"):
        group_device("cuda", here=True, in_process=False, gpus=1)
    with pytest.raises(TrainArrayError, match="--device foo"):
        group_device("foo", here=False, in_process=False, gpus=0)
    monkeypatch.setenv("VENOM_DEVICE", "cpu")
    assert group_device("auto", here=False, in_process=False, gpus=1) == "cpu"


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
