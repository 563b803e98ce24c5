"""The command of `make sim`: what it says and how it ends, short of a simulation (test_bench does those)."""

import subprocess
import sys
from pathlib import Path

import pytest

from sim import run
from sim.scenarios import SCENARIOS

REPOSITORY = Path(run.__file__).resolve().parents[1]


def test_list_names_every_scenario(capsys):
    assert run.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCENARIOS)


def test_starts_as_a_script():
    done = subprocess.run(
        [sys.executable, REPOSITORY / "sim" / "run.py", "--help"], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0 and "examples:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "no_such_board"], "no_such_board"),
        (["--model", "no_such_model"], "no_such_model"),
        (["--windows", "0"], "--windows 0: at least 1"),
        (["--latency", "1"], "--latency 1: at least 2"),
    ],
)
def test_errors_end_with_2_and_name_the_value(arguments, message, capsys):
    assert run.main(arguments) == 2
    assert message in capsys.readouterr().err
