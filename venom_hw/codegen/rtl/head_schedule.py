"""When everything in the serial head happens: a frame of fixed length, one window a frame, every event at its clock.

Clocks count from the first one of the window's frame and may lie in later frames: an event in clock t happens in phase
t % period, t // period frames after the window's own. So the whole control is a counter and what is known of each
phase; nothing is handed over by valid and ready inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.head_cut import Cut, MatrixVector


def bits_for(count: int) -> int:
    """Bits of a number below `count`, at least 1."""
    return max(1, (count - 1).bit_length())


def next_power(count: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << (count - 1).bit_length() if count > 1 else 1


@dataclass(frozen=True)
class Sharing:
    """How one matrix is worked off: `lanes` multiply-accumulators, each of them `groups` rows in turn.

    A group takes `slot` clocks: one a column, and no fewer than lanes, so that the rows of one group have left one a
    clock before those of the next group come.
    """

    lanes: int
    groups: int
    slot: int

    @property
    def clocks(self) -> int:
        return self.groups * self.slot


def share(product: MatrixVector, interval: int) -> Sharing:
    """The fewest lanes that keep up with a window every `interval` clocks.

    Raises:
        CodegenError: even one row a lane takes longer.
    """
    for lanes in range(1, product.rows + 1):
        groups = -(-product.rows // lanes)
        sharing = Sharing(lanes, groups, max(product.columns, lanes))
        if sharing.clocks <= interval:
            return sharing
    fastest = max(product.columns, product.rows)
    raise CodegenError(
        f"node {product.name!r}: {product.rows} x {product.columns} products take at least {fastest} clocks one column "
        f"at a time, more than the interval of {interval}; ask for a longer interval, or render the graph in parallel"
    )


CHOICE = 4
"""Elements that one level of a multiplexer chooses from: a LUT has six inputs. A register follows each level."""


def entry_delay(parts: Cut) -> int:
    """Clocks from the clock of an element in the frame to the one in which it enters the first stream."""
    return 2 if parts.streams[0].length > CHOICE else 1


def reading_clocks(parts: Cut) -> int:
    """Clocks for which a window's sums must stand still: one an element of the vectors that enter, and until scalars
    were last taken from the port, one clock before the last element enters."""
    return max(2, parts.streams[0].length - 1 + entry_delay(parts))


def period_of(parts: Cut, interval: int) -> int:
    """Length of the frame: what the slowest part needs.

    Raises:
        CodegenError: more than `interval`.
    """
    reading = reading_clocks(parts) + 1  # the next window is looked at when this one has left
    if reading > interval:
        raise CodegenError(f"reading a window takes {reading} clocks, more than the interval of {interval}")
    return max(reading, *[share(product, interval).clocks for product in parts.products])


@dataclass(frozen=True)
class MatrixSchedule:
    """The clocks of one matrix.

    Attributes:
        arrive: clock in which each element is on the module's input.
        late: clocks by which the phase and the frame that the module sees lag behind.
    """

    product: MatrixVector
    sharing: Sharing
    period: int
    arrive: tuple[int, ...]
    late: int = 0

    @cached_property
    def start(self) -> int:
        """Clock in which the first element is read back: the earliest at which no element comes too late."""
        return max(clock + 1 - k for k, clock in enumerate(self.arrive))

    def read(self, group: int, k: int) -> int:
        """Clock in which element k is addressed for a group of rows; lane n has its product 2 + n clocks later."""
        return self.start + group * self.sharing.slot + k

    @property
    def rows(self) -> tuple[int, ...]:
        """Clock in which each row's sum is on the module's output."""
        lanes, last = self.sharing.lanes, self.product.columns - 1
        choose = int(lanes > 1)
        return tuple(self.read(r // lanes, last) + 3 + r % lanes + choose for r in range(self.product.rows))

    @cached_property
    def vectors(self) -> int:
        """Vectors that the module holds at once: an element is not overwritten before it was read for the last time."""
        k = np.arange(self.product.columns)
        lasts = self.read(self.sharing.groups - 1, 0) + k
        frames = int(((lasts - np.array(self.arrive)) // self.period).max()) + 1
        return max(2, next_power(frames))

    @property
    def frame_bits(self) -> int:
        return bits_for(self.vectors)

    @property
    def element_bits(self) -> int:
        return bits_for(self.product.columns)

    @property
    def lane_bits(self) -> int:
        return bits_for(self.sharing.lanes) if self.sharing.lanes > 1 else 0

    def _row(self, clock: int) -> tuple[int, int]:
        """Phase whose word leads to something in `clock`, and the window's age in frames where the word is used: the
        word is read two clocks before, and stands in its register one clock before."""
        clock -= self.late
        return (clock - 2) % self.period, (clock - 1) // self.period % self.vectors

    def words(self) -> list[int]:
        """One word a phase: {first, lane, read age, read element, write age, write element, write}."""
        fields = np.zeros((self.period, 7), object)
        for k, clock in enumerate(self.arrive):
            row, age = self._row(clock)
            if fields[row, 6]:
                raise CodegenError(f"{self.product.operand!r}: two elements arrive in phase {row}")
            fields[row, 4:] = age, k, 1
        for group in range(self.sharing.groups):
            for k in range(self.product.columns):
                row, age = self._row(self.read(group, k))
                fields[row, 2:4] = age, k
            fields[self._row(self.read(group, 0) + 2)[0], 0] = 1
        if self.sharing.lanes > 1:
            for r, clock in enumerate(self.rows):
                fields[self._row(clock - 1)[0], 1] = r % self.sharing.lanes
        return [pack(zip(row, self.widths, strict=True)) for row in fields]

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of the fields of a word."""
        address = (self.frame_bits, self.element_bits)
        return (1, self.lane_bits, *address, *address, 1)

    def weights(self) -> list[int]:
        """One word a phase: the weight that each lane takes next, lane 0 in the low bits."""
        lanes, width = self.sharing.lanes, self.weight_width
        words = np.zeros((self.period, lanes), object)
        for row in range(self.product.rows):
            group, lane = divmod(row, lanes)
            for k in range(self.product.columns):
                words[(self.read(group, k) + lane - self.late) % self.period, lane] = int(self.product.weights[row, k])
        return [pack((int(w), width) for w in reversed(word)) for word in words]

    @property
    def weight_width(self) -> int:
        return self.product.weight_type.width + int(not self.product.weight_type.signed)


def pack(fields: Sequence) -> int:
    """(value, bits) pairs as one word, the first in the top bits; negative values in two's complement."""
    word = 0
    for value, width in fields:
        word = word << width | int(value) & (1 << width) - 1
    return word


def memory_text(words: Sequence[int], width: int) -> str:
    """The words as `$readmemh` reads them."""
    digits = -(-width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)
