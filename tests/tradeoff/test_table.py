"""The trade-off command: a table, a JSON file and a plot of quantised models; errors name the file."""

import json

import pytest

from venom_hw.flow.model_files import find_model
from venom_hw.tradeoff.__main__ import main
from venom_hw.tradeoff.table import make_row

ENGINE = {"lut": 54321, "ff": 60000, "dsp": 498, "bram36": 201.5, "uram": 0, "lut_levels": 3}


def test_table_of_a_shipped_model_beside_its_synthesis(tmp_path, capsys):
    synth = tmp_path / "synth.json"
    synth.write_text(json.dumps({"engine": ENGINE, "head": {}}))
    assert main(["ptsi", "--out", str(tmp_path / "out"), "--synth", f"ptsi={synth}"]) == 0
    printed = capsys.readouterr().out
    change = json.loads((find_model("ptsi").step.parent / "report.json").read_text())["change_of_resolving_power"]
    percent = {m: [round(100 * v[k], 2) for k in ("value", "low", "high")] for m, v in change.items()}
    said = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*percent["gaussian"])
    assert "54321" in printed and said in printed
    (row,) = json.loads((tmp_path / "out" / "tradeoff.json").read_text())["rows"]
    assert row["name"] == "ptsi" and row["dsp"] == 496 and row["synthesis"] == ENGINE
    assert row["change"]["kde"] == percent["kde"] and row["weight_bits"] == 8
    bits = row["state_bits"]
    assert (bits["conv"], bits["h"]) == (576, 2048) and 16 * 25 < bits["pool_num"] < 16 * 40 > 16 * bits["pool_den"]
    assert sum(row["lut_parts"].values()) == row["lut"] > 40_000
    assert (tmp_path / "out" / "tradeoff.png").stat().st_size > 5000


def test_fewer_channels_need_fewer_block_rams():
    model = find_model("ptsi")
    assert make_row(model, channels=512).bram36 < make_row(model, channels=2048).bram36


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuchmodel"], "neither a shipped model"),
        (["ptsi", "--synth", "ptsi"], "expected MODEL=FILE"),
        (["ptsi", "--synth", "inhf=x.json"], "inhf is not in the table"),
        (["ptsi", "--synth", "ptsi=/nonexistent/synth.json"], "/nonexistent/synth.json: no synthesis report"),
    ],
)
def test_errors(arguments, words, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_a_report_is_refused(tmp_path, capsys):
    model = find_model("ptsi")
    for path in (model.step, model.head):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "report.json is missing" in capsys.readouterr().err


def test_recipes_are_quantised_first_and_a_failure_is_passed_on(tmp_path, capsys, monkeypatch):
    from venom_hw.quantize import __main__ as quantize

    seen = []

    def quantise(arguments):  # the real command takes minutes: its arguments are checked, a shipped model is its result
        options = quantize.parser().parse_args(arguments)
        seen.append(options)
        if str(options.recipe) == "w3":
            return 2
        options.out.mkdir(parents=True)
        for path in find_model("ptsi-lean").step.parent.iterdir():
            (options.out / path.name).write_bytes(path.read_bytes())
        return 0

    monkeypatch.setattr(quantize, "main", quantise)
    for name in ("inhf", "inhf-between"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "808nm.npz").touch()
    monkeypatch.chdir(tmp_path)  # the float model is found from anywhere
    given = ["--preset", "inhf", "--data", str(tmp_path / "inhf"), "--out", str(tmp_path)]
    assert main(["--recipes", "lean", *given]) == 0
    (options,) = seen
    assert options.name == "inhf-lean" and options.out == tmp_path / "lean" and str(options.recipe) == "lean"
    assert options.model.name == "inhf.safetensors" and options.model.is_file()
    assert options.data == tmp_path / "inhf" and options.extra == [tmp_path / "inhf-between"]
    assert "lean" in capsys.readouterr().out
    assert main(["--recipes", "w3", *given]) == 2


def test_without_pulses_the_command_that_makes_them_is_named(tmp_path, capsys, monkeypatch):
    from venom_hw.quantize import __main__ as quantize

    monkeypatch.setattr(quantize, "main", lambda arguments: pytest.fail("there is nothing to quantise with"))
    monkeypatch.chdir(tmp_path)
    assert main(["--recipes", "lean", "--out", "out"]) == 2
    printed = capsys.readouterr().err
    assert "data/ptsi: no pulses" in printed
    assert "python -m venom_hw.simulate --preset ptsi --pulses 8000 --seed 1 --out data/ptsi" in printed
    (tmp_path / "data" / "ptsi").mkdir(parents=True)
    (tmp_path / "data" / "ptsi" / "808nm.npz").touch()
    assert main(["--recipes", "lean", "--out", "out"]) == 2
    assert "data/ptsi-between: no pulses" in capsys.readouterr().err
