"""A grid of settings: every combination, each with a name that can be a folder."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from venom_hw.train import TrainConfig, TrainError, read_config
from venom_hw.train.options import parse_settings

from .errors import SweepError


@dataclass(frozen=True)
class Point:
    """One configuration: its name, what the grid chose, all settings."""

    name: str
    chosen: dict
    config: TrainConfig


def read_grid(path: Path) -> tuple[dict, dict[str, list]]:
    """([settings], [grid]) of a TOML file: [grid] has a list of values for each swept setting. Raises SweepError."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SweepError(f"{path}: {error}; expected a TOML file with [settings] and [grid]") from error
    if unknown := sorted(set(content) - {"settings", "grid"}):
        raise SweepError(f"{path}: unknown table '{unknown[0]}'; expected [settings] and [grid]")
    grid = content.get("grid", {})
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise SweepError(f"{path}: grid.{name} = {values!r}, expected a list of values")
    return content.get("settings", {}), grid


def parse_grid(texts: list[str]) -> dict[str, list]:
    """["d_state=4,8", "lr=0.003,0.006"] -> typed lists. Raises SweepError or TrainError."""
    grid = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise SweepError(f"--grid {text}: expected NAME=VALUE,VALUE,...")
        if name in grid:
            raise SweepError(f"--grid {text}: {name} is there twice; expected all its values in one list")
        grid[name] = [parse_settings([f"{name}={value}"])[name] for value in values.split(",")]
    return grid


def points(settings: dict, grid: dict[str, list], config: Path | None = None) -> list[Point]:
    """Every combination, in the order of the grid. Raises SweepError (empty or doubled) or TrainError."""
    if not grid:
        raise SweepError("no grid: expected --grid NAME=VALUE,VALUE or a TOML file with [grid]")
    out: dict[str, Point] = {}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = "_".join(f"{k}-{re.sub(r'[^A-Za-z0-9.+-]+', '-', str(v))}" for k, v in chosen.items())
        if name in out:
            raise SweepError(f"grid: {chosen} is there twice; expected different values")
        try:
            out[name] = Point(name, chosen, read_config(config, **(settings | chosen)))
        except TypeError as error:
            raise TrainError(f"settings {settings | chosen}: {error}") from None
    return list(out.values())
