"""Site settings from a .env file: NAME=value lines, # comments, optional quotes and a leading `export`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import ClusterError

LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env(path: str | os.PathLike) -> dict[str, str]:
    """{name: value} of the file, {} if there is none. Nothing in it is run or expanded. Raises ClusterError."""
    path = Path(path)
    if not path.is_file():
        return {}
    out = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        match = LINE.fullmatch(text)
        if match is None:
            raise ClusterError(f"{path}, line {number}: {text!r}, expected NAME=value")
        name, value = match[1], match[2].strip()
        if value[:1] in "'\"" and value[:1]:
            if len(value) < 2 or value[-1] != value[0]:
                raise ClusterError(f"{path}, line {number}: {value!r}, expected a closing {value[0]}")
            value = value[1:-1]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        out[name] = value
    return out


def setting(name: str, option: str | None, env: dict[str, str], default: str = "") -> str:
    """What the command line says, else the environment, else the .env file, else the default."""
    return option if option is not None else os.environ.get(name) or env.get(name) or default
