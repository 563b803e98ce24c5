"""`python -m venom_hw`: every command is there, reached with its arguments, and its help teaches."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

from venom_hw import __main__ as cli

PACKAGE = Path(cli.__file__).parent
ALL = [command for group in cli.GROUPS.values() for command in group]
PRESENT = list(cli.COMMAND_LINE.commands().values())


def ids(commands):
    return [command.name for command in commands]


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
    code = "import sys, venom_hw.__main__ as m; m.main([]); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == cli.COMMAND_LINE.help_text()


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_in_all_forms(argv, capsys):
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == cli.COMMAND_LINE.help_text()


@pytest.mark.parametrize("command", ALL, ids=ids(ALL))
def test_every_command_has_a_module_with_main(command):
    path = PACKAGE.joinpath(*command.module.split(".")).with_suffix(".py")
    assert path.is_file(), f"venom_hw.{command.module} is not there"
    functions = {n.name: n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}
    assert "main" in functions
    arguments = functions["main"].args
    assert arguments.args and len(arguments.defaults) >= len(arguments.args), "main(argv=None)"


@pytest.mark.parametrize("command", PRESENT, ids=ids(PRESENT))
def test_every_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command.name, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    module = command.module.removesuffix(".__main__")
    said = f"python -m venom_hw.{module}{' '.join(['', *command.prefix])} is {command.name}"
    plain = command.name.replace("-", "_") == module
    text = " ".join(cli.COMMAND_LINE.help_text().split())
    assert plain or said in text, "the list of commands says where its module is"
    assert f"python -m venom_hw.{module}" in printed, "prog names the module"
    assert "example" in printed


def test_arguments_reach_the_module_after_the_prefix(monkeypatch):
    seen = []
    monkeypatch.setitem(sys.modules, "venom_hw.evaluation", types.ModuleType("venom_hw.evaluation"))
    fake = types.ModuleType("venom_hw.evaluation.__main__")
    fake.main = lambda argv: seen.append(argv) or 3
    monkeypatch.setitem(sys.modules, "venom_hw.evaluation.__main__", fake)
    monkeypatch.setattr(cli.CommandLine, "exists", lambda self, command: True)
    assert cli.main(["leave-one-out", "--data", "d"]) == 3
    assert cli.main(["leave_one_out"]) == 3
    assert cli.main(["evaluate", "--out", "o"]) == 3
    assert seen == [["leave-one-out", "--data", "d"], ["leave-one-out"], ["--out", "o"]]


def test_a_command_without_a_module_is_not_offered(monkeypatch, capsys):
    missing = cli.Command("vanished", "not_there", "a module that does not exist")
    monkeypatch.setitem(cli.GROUPS, "Nothing", (missing,))
    assert "vanished" not in cli.COMMAND_LINE.help_text() and "Nothing" not in cli.COMMAND_LINE.help_text()
    assert cli.main(["vanished"]) == 2
    assert "no command 'vanished'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed, meant", [("simulat", "simulate"), ("train_aray", "train-array"), ("quantise", "quantize")]
)
def test_a_wrong_name_gets_a_suggestion(typed, meant, monkeypatch, capsys):
    monkeypatch.setattr(cli.CommandLine, "exists", lambda self, command: True)
    assert cli.main([typed]) == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_a_foreign_name_lists_what_there_is(capsys):
    assert cli.main(["xyzzy!"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no command 'xyzzy!'") and "simulate" in error


def test_status_of_the_command_is_the_status(tmp_path, capsys):
    assert cli.main(["simulate", "--pulses", "0", "--out", str(tmp_path / "x")]) == 2
    assert "error: --pulses" in capsys.readouterr().err


def test_help_of_one_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["help", "simulate"])
    assert "--energies" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "venom-hw"
