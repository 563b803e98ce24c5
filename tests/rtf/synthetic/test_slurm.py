"""The job scripts: they are Bash, and every flag of every command in them exists."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtf_models.__main__ import main as rtf
from rtf_models.classes import APPLECIDER
from rtf_models.data.folder import open_split
from tests.rtf.stream.toy import packet, write_avro

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


@pytest.fixture
def job(tmp_path):
    """Seven objects of three alerts, a folder each, their splits and labels; and the environment of a job."""
    draw = np.random.default_rng(0)
    with open(tmp_path / "splits.csv", "w") as splits:
        splits.write("obj_id,split\n")
        for k in range(7):
            name, split = f"ZTF{k}", ("train", "train", "val", "test")[k % 4]
            days = 2459000.5 + np.cumsum(draw.uniform(1, 5, 3))
            alerts = [packet(name, 10 * k + n, day, mag=18.0 + n, fid=1 + n % 2) for n, day in enumerate(days)]
            write_avro(tmp_path / "alerts" / name / "packets.avro", alerts)
            splits.write(f"{name},{split}\n")
            (tmp_path / "labels" / split).mkdir(parents=True, exist_ok=True)
            np.savez(tmp_path / "labels" / split / f"{name}.npz", label=np.int64(k))
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/bash\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    paths = {"ALERTS": "alerts", "SPLITS": "splits.csv", "LABELS": "labels", "OUT": "out"}
    return os.environ | {key: str(tmp_path / name) for key, name in paths.items()} | {
        "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(FOLDER.parent),
        "SLURM_ARRAY_TASK_COUNT": "2"}  # fmt: skip


@pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="bash not found")
def test_array_tasks_share_the_objects_out_and_merge(job, tmp_path):
    """The scripts as they are, with the real command: each task its share, then one folder that can be trained on."""
    for task in (0, 1):
        done = subprocess.run([BASH, FOLDER / "preprocess_array.sbatch"], env=job | {"SLURM_ARRAY_TASK_ID": str(task)},
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out/parts" / str(task)).rglob("*.npz"))) == (3, 4)[task]
    done = subprocess.run([BASH, FOLDER / "merge_parts.sbatch"], env=job, capture_output=True, text=True)
    assert done.returncode == 0 and "7 sources" in done.stdout and not (tmp_path / "out/parts").exists()
    found = {}
    for split in ("train", "val", "test"):
        folder = open_split(tmp_path / "out", split)
        assert not folder.broken and folder.scheme == APPLECIDER
        found[split] = {source.object_id: (source.label, len(source)) for source in folder}
        assert all(source.features is not None for source in folder)
    names = {"train": (0, 1, 4, 5), "val": (2, 6), "test": (3,)}
    assert found == {split: {f"ZTF{k}": (k, 3) for k in numbers} for split, numbers in names.items()}
    assert len(list((tmp_path / "out/reports").iterdir())) == 2


@pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="bash not found")
def test_a_task_without_objects_has_nothing_to_do(job, tmp_path):
    env = job | {"SLURM_ARRAY_TASK_COUNT": "16", "SLURM_ARRAY_TASK_ID": "9"}
    done = subprocess.run([BASH, FOLDER / "preprocess_array.sbatch"], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "no objects" in done.stdout and not (tmp_path / "out").exists()


@pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="bash not found")
def test_a_task_that_fails_says_so(job, tmp_path):
    (tmp_path / "splits.csv").write_text("not a table of splits\n")
    done = subprocess.run([BASH, FOLDER / "preprocess_array.sbatch"], env=job, capture_output=True, text=True)
    assert done.returncode == 2 and "error: " in done.stderr and "splits.csv" in done.stderr
