"""The job scripts: they are Bash, and every flag of every command in them exists."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtf_models.__main__ import main as rtf

FOLDER = Path(__file__).resolve().parents[3] / "slurm"
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
BASH = shutil.which("bash")


def test_there_are_scripts_for_each_stage():
    assert {p.stem for p in SCRIPTS} >= {
        "preprocess_array",
        "merge_parts",
        "synthetic",
        "train_sweep",
        "evaluate",
    }
    listed = set(re.findall(r"`(\w+\.sbatch)`", (FOLDER / "README.md").read_text()))
    assert listed == {p.name for p in SCRIPTS}


@pytest.mark.skipif(BASH is None, reason="bash not found")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_is_bash_and_names_what_it_lacks(script):
    assert subprocess.run([BASH, "-n", script], capture_output=True).returncode == 0
    bare = {
        k: v
        for k, v in os.environ.items()
        if k not in ("ALERTS", "SPLITS", "LABELS", "OUT", "DATA", "RUNS", "BEST")
    }
    run = subprocess.run([BASH, script], capture_output=True, text=True, env=bare, cwd=FOLDER)
    assert run.returncode != 0 and re.search(r"(ALERTS|OUT|DATA): ", run.stderr)
    assert script.read_text().startswith("#!/bin/bash\n") and "\n#SBATCH " in script.read_text()
    assert "/home" not in script.read_text() and "/work" not in script.read_text()


def commands(script: Path) -> list[tuple[str, list[str]]]:
    """(command, its flags) of each `python -m rtf_models COMMAND` of a script; for arrays of options, all of them."""
    text = script.read_text().replace("\\\n", " ")
    arrays = re.findall(r"^\s*(?:\d+\)\s*)?\w+=\(([^)]*)\)", text, re.M | re.S)
    found = []
    for line in re.findall(r"^python -m rtf_models (.+)$", text, re.M):
        words = shlex.split(line, comments=True)
        extra = [w for array in arrays for w in shlex.split(array)] if "[@]" in line else []
        found.append((words[0], [w for w in [*words, *extra] if w.startswith("--")]))
    return found


def known_flags(command: str, capsys) -> set[str]:
    with pytest.raises(SystemExit):
        rtf([command, "--help"])
    return set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))


@pytest.mark.parametrize(
    "script", [p for p in SCRIPTS if "rtf_models" in p.read_text()], ids=lambda p: p.stem
)
def test_every_flag_exists(script, capsys):
    found = commands(script)
    assert found
    for command, flags in found:
        assert flags and set(flags) <= known_flags(command, capsys), (
            command,
            set(flags) - known_flags(command, capsys),
        )


def test_a_flag_that_does_not_exist_is_noticed(tmp_path, capsys):
    script = tmp_path / "x.sbatch"
    script.write_text("#!/bin/bash\npython -m rtf_models generate --output-dir x \\\n    --no-such-flag\n")
    ((command, flags),) = commands(script)
    assert command == "generate" and set(flags) - known_flags(command, capsys) == {"--no-such-flag"}


@pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="bash not found")
def test_array_tasks_share_the_objects_out_and_merge(tmp_path):
    """Three tasks with a stand-in for python, which copies the objects it was given, then the merge."""
    alerts = tmp_path / "alerts"
    for k in range(7):
        (alerts / f"ZTF{k}").mkdir(parents=True)
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/bin/bash\nshift 3\n"
        "while [ $# -gt 0 ]; do case $1 in --alert-dir) a=$2;; --output-dir) o=$2;; esac; shift; done\n"
        'mkdir -p "$o/train"; for d in "$a"/*/; do touch "$o/train/$(basename "$d").npz"; done\n'
        'echo {} > "$o/classes.json"\n'
    )
    stand_in.chmod(0o755)
    env = os.environ | {
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "ALERTS": str(alerts),
        "SPLITS": "s",
        "LABELS": "l",
        "OUT": str(tmp_path / "out"),
        "SLURM_ARRAY_TASK_COUNT": "3",
    }
    for task in range(3):
        subprocess.run(
            [BASH, FOLDER / "preprocess_array.sbatch"],
            check=True,
            env=env | {"SLURM_ARRAY_TASK_ID": str(task)},
        )
        assert 2 <= len(list((tmp_path / "out/parts" / str(task) / "train").iterdir())) <= 3
    done = subprocess.run(
        [BASH, FOLDER / "merge_parts.sbatch"], check=True, env=env, capture_output=True, text=True
    )
    assert sorted(p.stem for p in (tmp_path / "out/train").iterdir()) == [f"ZTF{k}" for k in range(7)]
    assert "7 sources" in done.stdout and not (tmp_path / "out/parts").exists()
    assert (tmp_path / "out/classes.json").exists()
