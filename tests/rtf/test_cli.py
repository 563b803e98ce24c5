"""`python -m rtf_models`: every command is there, reached with its arguments, and its help teaches."""

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

from rtf_models import __main__ as cli

PACKAGE = Path(cli.__file__).parent
ALL = [command for group in cli.GROUPS.values() for command in group]
FLAGS = {  # of the original: they go on working
    "train": "--data-dir --output-dir --mode --latent-dims --epochs --batch-size --lr --beta --d-model --horizon "
    "--device --num-workers --num-codes --commitment-cost --alert-dir --splits --labels-dir --use-metadata "
    "--use-images --image-backbone --finetune-backbone --use-gp --gp-dim --max-detections --cls-weight --num-classes "
    "--synthetic-dir --random-truncate --min-detections",
    "preprocess": "--alert-dir --splits --labels-dir --output-dir --horizon --fit-gp --workers",
    "early": "--checkpoint --summary --data-dir --output-dir --batch-size --detection-counts --device "
    "--image-backbone --num-classes",
    "linear-probe": "--runs-dir --output-dir",
    "mlp-probe": "--runs-dir --output-dir --models --device",
    "physical": "--runs-dir --data-dir --output-dir --models --batch-size --device --plot-per-class",
    "visualize": "--runs-dir --output-dir --models --methods --comparison-dims --comparison-only",
    "generate": "--fitting-dir --output-dir --n-per-model --models --seed",
    "generate-surveysim": "--ztf-dir --output-dir --populations --n-per-pop --seed --ztf-start --ztf-end",
}


DEFAULTS = {  # of the original, where a module has a `parser`; those of train: tests/rtf/train/test_command.py
    "preprocess": {"horizon": 100, "workers": 1, "fit_gp": False},
    "early": {"summary": None, "batch_size": 256, "detection_counts": [3, 5, 7, 10, 15, 20, 30, 50, 100],
              "image_backbone": None, "num_classes": None},
    "mlp-probe": {"models": []},
    "physical": {"models": [], "batch_size": 256, "plot_per_class": 3},
    "visualize": {"models": [], "methods": ["umap", "tsne"], "comparison_dims": [], "comparison_only": False},
    "generate": {"n_per_model": 500, "models": ["Afterglow", "MetzgerKN", "Magnetar", "ShockCooling"], "seed": 42},
    "generate-surveysim": {"populations": ["kilonova", "afterglow"], "n_per_pop": 500, "seed": 42,
                           "ztf_start": "201803", "ztf_end": "202103"},
}  # fmt: skip


def helped(name, capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_each_command_once_with_its_group():
    text = cli.COMMAND_LINE.help_text()
    for title, group in cli.GROUPS.items():
        shown = [c for c in group if cli.COMMAND_LINE.exists(c)]
        assert (f"{title}:\n" in text) == bool(shown)
        for command in shown:
            assert sum(line.split() == [command.name, *command.summary.split()] for line in text.splitlines()) == 1
    assert len({c.name for c in ALL}) == len(ALL)
    assert max(map(len, text.splitlines())) <= 120


def test_help_needs_no_heavy_import():
    code = "import sys, rtf_models.__main__ as m; m.main([]); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == cli.COMMAND_LINE.help_text()


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_in_all_forms(argv, capsys):
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == cli.COMMAND_LINE.help_text()


@pytest.mark.parametrize("command", ALL, ids=lambda c: c.name)
def test_every_command_has_a_module_with_main(command):
    path = PACKAGE.joinpath(*command.module.split(".")).with_suffix(".py")
    assert path.is_file(), f"rtf_models.{command.module} is not there"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    imported = {alias.asname or alias.name for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert "main" in functions or "main" in imported
    if "main" in functions:
        arguments = functions["main"].args
        assert arguments.args and len(arguments.defaults) >= len(arguments.args), "main(argv=None)"


@pytest.mark.parametrize("command", ALL, ids=lambda c: c.name)
def test_every_help_teaches(command, capsys):
    printed = helped(command.name, capsys)
    assert f"python -m rtf_models {command.name} " in printed or f"python -m rtf_models.{command.name} " in printed
    assert "example" in printed


@pytest.mark.parametrize("name", FLAGS)
def test_the_original_s_flags_are_there(name, capsys):
    printed = helped(name, capsys)
    missing = [flag for flag in FLAGS[name].split() if not any(f"{flag}{end}" in printed for end in " ,]\n")]
    assert not missing


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_original_s_defaults(name):
    (command,) = (c for c in ALL if c.name == name)
    parser = importlib.import_module(f"rtf_models.{command.module}").parser()
    found = {action.dest: action.default for action in parser._actions}
    for dest, default in DEFAULTS[name].items():
        ours = found[dest]
        ours = [] if default == [] and ours is None else list(ours) if isinstance(ours, tuple) else ours
        assert str(ours) == str(default) if isinstance(default, str) else ours == default, dest


def test_arguments_reach_the_module(monkeypatch):
    seen = []
    fake = types.ModuleType("rtf_models.evaluation.command.linear_probe")
    fake.main = lambda argv: seen.append(argv) or 3
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    assert cli.main(["linear-probe", "--runs-dir", "d"]) == 3
    assert cli.main(["linear_probe"]) == 3
    assert seen == [["--runs-dir", "d"], []]


def test_a_command_without_a_module_is_not_offered(monkeypatch, capsys):
    missing = cli.Command("vanished", "not_there", "a module that does not exist")
    monkeypatch.setitem(cli.GROUPS, "Nothing", (missing,))
    assert "vanished" not in cli.COMMAND_LINE.help_text() and "Nothing" not in cli.COMMAND_LINE.help_text()
    assert cli.main(["vanished"]) == 2
    assert "no command 'vanished'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed, meant", [("earl", "early"), ("linear-prob", "linear-probe"), ("visualise", "visualize")]
)
def test_a_wrong_name_gets_a_suggestion(typed, meant, capsys):
    assert cli.main([typed]) == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_a_foreign_name_lists_what_there_is(capsys):
    assert cli.main(["xyzzy!"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no command 'xyzzy!'") and "anomaly" in error


def test_status_of_the_command_is_the_status(tmp_path, capsys):
    assert cli.main(["linear-probe", "--runs-dir", str(tmp_path), "--output-dir", str(tmp_path / "o")]) == 2
    assert "error: " in capsys.readouterr().err


def test_help_of_one_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["help", "early"])
    assert "--detection-counts" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "venom-hw"


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def stop(self, command, argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.CommandLine, "run", stop)
    assert cli.main(["early"]) == 130
    assert "stopped" in capsys.readouterr().err
