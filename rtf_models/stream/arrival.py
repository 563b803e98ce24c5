"""What a stream hands over: one alert packet, or the news that there is a broken one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Arrival:
    """One record of a stream.

    where: for people and dead letters ({"file", "record"} or {"topic", "partition", "offset"}).
    packet: the alert as fastavro decodes it; None if broken.
    broken: why there is no packet; `count` records are lost to that reason.
    """

    where: dict
    packet: dict | None = None
    broken: str = ""
    count: int = 1


class AlertStream(Protocol):
    """Where alerts come from, in an order of its own, with positions that can be gone back to."""

    def resume(self, positions: list[dict]) -> None:
        """Goes on after what was committed: a whole position and the changes after it, as given below; [] = begin."""

    def take(self, timeout: float) -> Arrival | None:
        """The next record; None if there is none within `timeout` seconds. Raises EndOfStream."""

    def whole_position(self) -> dict:
        """After everything that was taken."""

    def changed_position(self) -> dict:
        """The same, as changes since the last call of this or of whole_position."""

    def note(self) -> str:
        """Where the stream is, for people."""

    def committed(self) -> None:
        """Everything up to the position asked for last is durable."""

    def close(self) -> None: ...


class EndOfStream(Exception):
    """Nothing more will come."""


def taken(stream: AlertStream, timeout: float = 0.0) -> Iterable[Arrival]:
    """Everything until the end or a pause; for tests and small uses."""
    try:
        while (arrival := stream.take(timeout)) is not None:
            yield arrival
    except EndOfStream:
        return
