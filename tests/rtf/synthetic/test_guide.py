"""The user's guide: every command and every flag in it exists, every file that it names is there."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from rtf_models.__main__ import COMMAND_LINE
from rtf_models.__main__ import main as rtf

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "rtf_models" / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", GUIDE, re.S)).replace("\\\n", " ")
LINES = re.findall(r"^python -m rtf_models (.+)$", BLOCKS, re.M)


def test_the_guide_shows_every_command():
    shown = {line.split()[0] for line in LINES} | set(re.findall(r"`python -m rtf_models ([\w-]+)", GUIDE))
    shown |= set(re.findall(r"`([a-z-]+)`", GUIDE))
    assert set(COMMAND_LINE.commands()) <= shown


@pytest.mark.parametrize("command", sorted({line.split()[0] for line in LINES}))
def test_every_flag_exists(command, capsys):
    with pytest.raises(SystemExit):
        rtf([command, "--help"])
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    for line in LINES:
        words = shlex.split(line)
        if words[0] == command:
            assert {w for w in words if w.startswith("--")} <= known, line


def test_folders_and_files_exist():
    for name in re.findall(r"`((?:[a-z_]+/)+)`", GUIDE) + re.findall(r"`([a-z_/]+\.(?:py|md))`", GUIDE):
        if name not in ("dead_letters/", "incoming/", "alerts/"):
            places = (ROOT, ROOT / "rtf_models", ROOT / "rtf_models" / "synthetic")
            assert any((place / name).exists() for place in places), name


def test_nothing_left_to_fill_in():
    assert "REALISM" not in GUIDE and "TODO" not in GUIDE


def test_python_names_exist():
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.S))
    ast.parse(blocks)
    found = re.findall(r"^from (rtf_models[\w.]*) import ([^#\n]+)", blocks, re.M)
    assert found
    for module, names in found:
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.strip()), (module, name)
