"""The tutorial: its commands exist with the options it gives them; a tiny run of all of it is slow."""

import ast
import json
import re

import pytest

from venom_hw import __main__ as cli
from venom_hw import tutorial
from venom_hw.evaluation.models import float_model

SOURCE = tutorial.SCRIPT.read_text(encoding="utf-8")


def commands() -> list[ast.Call]:
    """The calls of `command(...)`, in order."""
    return [
        node for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"
    ]  # fmt: skip


def words(call: ast.Call) -> list[str]:
    return [n.value for argument in call.args for n in ast.walk(argument)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)]  # fmt: skip


def test_it_walks_the_whole_road():
    names = [words(call)[0] for call in sorted(commands(), key=lambda call: call.lineno)]
    wanted = ["simulate", "train", "evaluate", "quantize", "hls", "evaluate"]
    position = -1
    for name in wanted:  # in this order, others between them
        position = names.index(name, position + 1)


@pytest.mark.parametrize("name", sorted({words(call)[0] for call in commands()}))
def test_its_options_exist(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    used = {w for call in commands() if words(call)[0] == name for w in words(call) if w.startswith("--")}
    assert used and used <= known


def test_cells_alternate_between_text_and_code():
    cells = [line for line in SOURCE.splitlines() if line.startswith("# %%")]
    assert len(cells) > 15 and cells[0] == "# %% [markdown]" and "# %%" in cells
    text = SOURCE.split("# %%")[1]
    assert all(line.startswith("#") for line in text.splitlines()[1:] if line)


def test_what_it_says_of_its_training_is_so():
    """Against the settings that the shipped checkpoint carries."""
    settings = float_model("ptsi").training["settings"]
    (call,) = [c for c in commands() if words(c)[0] == "train" and "--preset" in words(c)]
    text = ast.unparse(call)
    mine = {name: int(re.search(rf"\b{name}=.*?size\((\d+),", text)[1]) for name in ("between", "between_pulses")}
    epochs = int(re.search(r"'--epochs', size\((\d+),", text)[1])
    pulses = mine["between"] * mine["between_pulses"]
    shipped = settings["between"] * settings["between_pulses"]
    assert (pulses, epochs, settings["epochs"]) == (20000, 8, 25), "what docs/tutorial.py says"
    assert round(shipped / pulses) == 6 and round(settings["epochs"] / epochs) == 3
    assert "some 20,000 pulses for 8 epochs" in SOURCE and "six times the pulses" in SOURCE and "(25)" in SOURCE


def test_help(capsys):
    with pytest.raises(SystemExit) as ended:
        tutorial.main(["--help"])
    assert ended.value.code == 0
    assert "--tiny" in capsys.readouterr().out


def test_a_wrong_option_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        tutorial.main(["--tiyn"])
    assert ended.value.code == 2


def test_without_the_checkout_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "SCRIPT", tmp_path / "none.py")
    assert tutorial.main([]) == 2
    assert "comes with the checkout" in capsys.readouterr().err


@pytest.mark.slow
def test_tiny(tmp_path, capsys):
    """About a minute of CPU time: every step, and a second time without doing the training again."""
    assert tutorial.main(["--tiny", "--out", str(tmp_path)]) == 0
    out = tmp_path / "tiny"
    report = json.loads((out / "build" / "report.json").read_text())
    assert report["bit_exact"] is True
    comparison = json.loads((out / "comparison" / "report.json").read_text())
    assert comparison["integers"]["differ"] == 0 and comparison["integers"]["windows"] > 100
    for name in ("run/report.pdf", "evaluation/report.png", "figures/attention.png", "distribution/distribution.json"):
        assert (out / name).is_file(), name
    assert "Written to" in capsys.readouterr().out
