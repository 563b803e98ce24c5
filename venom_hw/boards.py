"""Boards: device, clocks, resources and channel counts, read from ``boards/<name>/board.toml``.

Keys of the file (all required unless said otherwise)::

    name, title, part, board_part          text; name equals the folder's
    [clock]            design_mhz, hls_target_mhz (>= design_mhz), uncertainty_percent
    [readout]          pixels              channels of the whole readout
    [resources.total]  lut, lutram, ff, bram36, uram, dsp    of the device
    [resources.free]   the same keys, what is left beside the MKIDGen3 readout
    [[rates]]          preset (unique), rate_hz, channels (of one engine), engines

This module imports nothing of the project: any room may read it.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

BOARDS_FOLDER = Path(__file__).resolve().parents[1] / "boards"


class BoardError(ValueError):
    """A board is unknown or its board.toml is wrong; the message names the file, the key and what is expected."""


@dataclass(frozen=True)
class Resources:
    """Counts of programmable-logic resources. `bram36` are 36 kb blocks (two BRAM_18K of an HLS report)."""

    lut: int
    lutram: int
    ff: int
    bram36: int
    uram: int
    dsp: int


@dataclass(frozen=True)
class OperatingPoint:
    """How a board is used at one sample rate.

    Attributes
    ----------
    preset : str
        Name of the row in board.toml, or "" for a rate that the file does not list.
    rate_hz : float
        Samples a second of each channel at the engine's input (after decimation).
    channels : int
        Channels interleaved in one engine.
    engines : int
        Engines that cover all pixels.
    revisit_clocks : int
        Design clocks between two samples of one channel in continuous use (floor of clock / rate): the upper
        bound for a datapath's declared minimum revisit distance.
    """

    preset: str
    rate_hz: float
    channels: int
    engines: int
    revisit_clocks: int


@dataclass(frozen=True)
class Board:
    """A board as board.toml describes it; clocks in MHz, `pixels` = channels of the whole readout."""

    name: str
    title: str
    part: str
    board_part: str
    design_mhz: float
    hls_target_mhz: float
    uncertainty_percent: float
    pixels: int
    total: Resources
    free: Resources
    rates: tuple[OperatingPoint, ...]
    folder: Path

    @property
    def hls_period_ns(self) -> float:
        """Clock period asked of Vitis HLS."""
        return 1e3 / self.hls_target_mhz

    def operating_point(self, rate_hz: float) -> OperatingPoint:
        """The row of board.toml for `rate_hz`, or, for another rate, as many channels as the clock carries.

        Raises
        ------
        BoardError
            The rate is not positive, or not even one channel fits in the clock.
        """
        for point in self.rates:
            if math.isclose(point.rate_hz, rate_hz, rel_tol=1e-9):
                return point
        clock_hz = self.design_mhz * 1e6
        if not 0 < rate_hz <= clock_hz:
            raise BoardError(
                f"board {self.name}: no operating point at {rate_hz!r} samples a second; "
                f"expected more than 0 and at most the design clock ({clock_hz:g} Hz)"
            )
        channels = min(self.pixels, int(clock_hz // rate_hz))
        return OperatingPoint("", rate_hz, channels, -(-self.pixels // channels), int(clock_hz // rate_hz))


def available_boards(folder: Path = BOARDS_FOLDER) -> list[str]:
    """Names of the boards: the folders that hold a board.toml, sorted."""
    return sorted(path.parent.name for path in folder.glob("*/board.toml"))


def load_board(name: str, folder: Path = BOARDS_FOLDER) -> Board:
    """Read ``<folder>/<name>/board.toml``.

    Raises
    ------
    BoardError
        No such board (the message lists those there are), or a missing, unknown or impossible value.
    """
    names = available_boards(folder)
    if name not in names:
        raise BoardError(f"unknown board {name!r}; boards/ has {', '.join(names) or 'none'}")
    path = folder / name / "board.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: not valid TOML: {error}") from None
    return _board(_Table(path, "", document), path.parent)


class _Table:
    """A TOML table that is read once key by key, so that errors name the key and left-over keys are found."""

    def __init__(self, path: Path, where: str, values: object):
        if not isinstance(values, dict):
            raise BoardError(f"{path}: {where or 'the file'} must be a table, got {values!r}")
        self.path, self.where, self.values = path, where, dict(values)

    def fail(self, key: str, message: str) -> BoardError:
        return BoardError(f"{self.path}: {self.where + '.' if self.where else ''}{key}: {message}")

    def _take(self, key: str, expected: str) -> object:
        if key not in self.values:
            raise self.fail(key, f"missing, expected {expected}")
        return self.values.pop(key)

    def text(self, key: str) -> str:
        value = self._take(key, "text")
        if not isinstance(value, str) or not value:
            raise self.fail(key, f"expected non-empty text, got {value!r}")
        return value

    def number(self, key: str) -> float:
        value = self._take(key, "a number above 0")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise self.fail(key, f"expected a number above 0, got {value!r}")
        return float(value)

    def count(self, key: str, least: int = 0) -> int:
        value = self._take(key, f"a whole number, at least {least}")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fail(key, f"expected a whole number, at least {least}, got {value!r}")
        return value

    def table(self, key: str) -> _Table:
        where = f"{self.where}.{key}" if self.where else key
        return _Table(self.path, where, self._take(key, "a table"))

    def tables(self, key: str) -> list[_Table]:
        values = self._take(key, f"at least one [[{key}]] table")
        if not isinstance(values, list) or not values:
            raise self.fail(key, f"expected at least one [[{key}]] table, got {values!r}")
        return [_Table(self.path, f"{key}[{index}]", value) for index, value in enumerate(values)]

    def finish(self) -> None:
        for key in self.values:
            raise self.fail(key, "unknown key; venom_hw/boards.py lists the known ones")


def _resources(table: _Table) -> Resources:
    resources = Resources(**{field.name: table.count(field.name) for field in fields(Resources)})
    table.finish()
    return resources


def _operating_point(table: _Table, clock_hz: float, pixels: int) -> OperatingPoint:
    preset, rate = table.text("preset"), table.number("rate_hz")
    channels, engines = table.count("channels", 1), table.count("engines", 1)
    if channels * rate > clock_hz:
        raise table.fail(
            "channels",
            f"{channels} channels at {rate:g} Hz need {channels * rate:g} samples a second, "
            f"one engine takes {clock_hz:g}",
        )
    if channels * engines < pixels:
        raise table.fail("engines", f"{engines} engines of {channels} channels do not cover {pixels} pixels")
    table.finish()
    return OperatingPoint(preset, rate, channels, engines, int(clock_hz // rate))


def _board(table: _Table, folder: Path) -> Board:
    name = table.text("name")
    if name != folder.name:
        raise table.fail("name", f"is {name!r}, but the folder is {folder.name!r}; they must be equal")
    title, part, board_part = table.text("title"), table.text("part"), table.text("board_part")

    clock = table.table("clock")
    design, target = clock.number("design_mhz"), clock.number("hls_target_mhz")
    uncertainty = clock.number("uncertainty_percent")
    if target < design:
        raise clock.fail("hls_target_mhz", f"{target:g} is slower than design_mhz = {design:g}")
    if uncertainty >= 100:
        raise clock.fail("uncertainty_percent", f"expected less than 100, got {uncertainty:g}")
    clock.finish()

    readout = table.table("readout")
    pixels = readout.count("pixels", 1)
    readout.finish()

    resources = table.table("resources")
    total, free = _resources(resources.table("total")), _resources(resources.table("free"))
    resources.finish()
    for field in fields(Resources):
        have, left = getattr(total, field.name), getattr(free, field.name)
        if left > have:
            raise resources.fail(f"free.{field.name}", f"{left} is more than the device has ({have})")

    rates = tuple(_operating_point(row, design * 1e6, pixels) for row in table.tables("rates"))
    for attribute in ("preset", "rate_hz"):
        values = [getattr(point, attribute) for point in rates]
        if len(set(values)) != len(values):
            raise table.fail("rates", f"the same {attribute} twice: {values}")
    table.finish()
    return Board(
        name, title, part, board_part, design, target, uncertainty, pixels, total, free, rates, folder
    )
