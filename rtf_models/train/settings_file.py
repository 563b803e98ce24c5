"""--config FILE: flags from a TOML file (or a run's settings.json), before those of the command line."""

from __future__ import annotations

import argparse
import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

from .errors import TrainError

RENAMED = {"latent-dim": "latent-dims"}  # settings.json holds one run's


def with_settings_file(parser: argparse.ArgumentParser, argv: list[str]) -> list[str]:
    """argv with the flags of its --config file (if any) put before it, so that the command line has the last word.

    Raises TrainError naming the file, the key, its value and what was expected.
    """
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config", type=Path)
    path = first.parse_known_args(argv)[0].config
    return list(argv) if path is None else _flags(parser, path) + list(argv)


def _flags(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    known = {option[2:]: action for action in parser._actions for option in action.option_strings if option[:2] == "--"}
    flags = []
    for key, value in _read(path).items():
        name = key.replace("_", "-")
        name = RENAMED.get(name, name)
        action = known.get(name)
        if action is None or name in ("config", "help"):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else "expected the name of a flag, see --help"
            raise TrainError(f"{path}: unknown key '{key}'; {hint}")
        if value is not None:  # of a settings.json: not given
            flags += _flag(path, key, f"--{name}", action, value)
    return flags


def _flag(path: Path, key: str, option: str, action: argparse.Action, value: Any) -> list[str]:
    if action.nargs == 0:  # a switch
        if not isinstance(value, bool):
            raise TrainError(f"{path}: {key} = {value!r}; expected true or false")
        if value:
            return [option]
        no = f"--no-{option[2:]}"
        return [no] if no in action.option_strings else []
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and action.nargs != "+":
        raise TrainError(f"{path}: {key} = {value!r}; expected one value")
    for one in values:
        number = isinstance(one, int | float) and not isinstance(one, bool)
        fits = {int: number and one == int(one), float: number}.get(action.type, isinstance(one, str))
        if not fits:
            wanted = {int: "a whole number", float: "a number"}.get(action.type, "text")
            raise TrainError(f"{path}: {key} = {one!r}; expected {wanted}")
        if action.choices and one not in action.choices:
            raise TrainError(f"{path}: {key} = {one!r}; expected one of {', '.join(action.choices)}")
    return [option, *(str(int(one)) if action.type is int else str(one) for one in values)]


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        form = "JSON" if path.suffix == ".json" else "TOML"
        raise TrainError(f"{path}: cannot be read as {form} ({error})") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path}: a {type(content).__name__}; expected keys and values")
    return content
