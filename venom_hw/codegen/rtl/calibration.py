"""Calibration of every channel, loadable while the engine runs: which word lies where, and the memories' clocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.names import Names
from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath.passes.loadable import Loadable

REGISTERS = ("magic", "channels", "max_steps", "revisit", "fifo_depth", "abandoned_count", "ignored_count",
             "overlong_count", "dropped_count", "revisit_error")  # fmt: skip
"""Read-only 32-bit words from address 0 on."""
MAGIC = int.from_bytes(b"VENM", "big")
"""First register: whoever reads it has found the engine."""
REGISTER_BITS = 6
"""Bits of a byte address among the registers."""


@dataclass(frozen=True)
class CalibrationTensor:
    """A loadable tensor: one memory of all channels for each element, so that a write changes one element.

    Attributes:
        first_word: of the channel's words, the one of element 0; one word an element.
        clock: in which its value stands at its port.
    """

    name: str
    ident: str
    shape: tuple[int, ...]
    width: int
    signed: bool
    default: tuple[int, ...]
    first_word: int
    clock: int
    note: str

    @property
    def words(self) -> int:
        return len(self.default)

    @property
    def bits(self) -> int:
        return self.width * self.words

    @property
    def signal(self) -> str:
        """Of the top module."""
        return f"{self.ident}_loaded"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of an element."""
        return (-(1 << self.width - 1), (1 << self.width - 1) - 1) if self.signed else (0, (1 << self.width) - 1)

    @property
    def factors(self) -> tuple[tuple[float, float] | None, ...]:
        """What can be loaded, as multiples of the model's own integers, rounded towards 0 to three digits.

        (smallest, largest) of each element; None where the model's own is 0.
        """
        ends = lambda v: sorted(math.trunc(1000 * end / v) / 1000 for end in self.limits)  # noqa: E731
        return tuple(tuple(ends(v)) if v else None for v in self.default)

    @property
    def raw(self) -> tuple[int, ...]:
        """Defaults as unsigned integers of `width` bits."""
        return tuple(v & ((1 << self.width) - 1) for v in self.default)


@dataclass(frozen=True)
class Calibration:
    """The address map.

    Byte addresses: registers at 0, read only; word w of channel c at `base` + 4 * (`channel_words` * c + w).
    """

    tensors: tuple[CalibrationTensor, ...]
    channels: int
    channel_words: int
    block_bits: int

    @property
    def base(self) -> int:
        return 1 << self.block_bits

    @property
    def address_bits(self) -> int:
        return self.block_bits + 1

    @property
    def word_bits(self) -> int:
        return self.channel_words.bit_length() - 1

    @property
    def registers(self) -> list[tuple[str, int]]:
        """(name, byte address) of the read-only words."""
        return [(name, 4 * k) for k, name in enumerate(REGISTERS)]

    @property
    def channel_slice(self) -> str:
        """The channel in `write_word`."""
        return f"write_word[{self.word_bits}+:{channel_bits(self.channels)}]"

    @property
    def fits(self) -> str:
        """What else must hold for an address in the upper half to be a word of a channel."""
        bits = channel_bits(self.channels)
        terms = []
        if self.words < self.channel_words:
            terms.append(f"element < {self.word_bits}'d{self.words}")
        if self.channels < 1 << bits:
            terms.append(f"write_channel < {bits}'d{self.channels}")
        top, first = self.address_bits - 4, self.word_bits + bits
        if first <= top:
            terms.append(f"write_word[{top}:{first}] == '0")
        return "".join(f" && {term}" for term in terms)

    @property
    def words(self) -> int:
        """Words of a channel that are in use."""
        return sum(t.words for t in self.tensors)

    def address(self, channel: int, tensor: str, index: int = 0) -> int:
        """Byte address of an element (row-major index) of a channel's tensor."""
        found = next(t for t in self.tensors if t.name == tensor)
        return self.base + 4 * (self.channel_words * channel + found.first_word + index)

    def to_dict(self) -> dict:
        """For the manifest."""
        return {
            "registers": {name: 4 * k for k, name in enumerate(REGISTERS)},
            "base": self.base,
            "address_bits": self.address_bits,
            "channel_stride": 4 * self.channel_words,
            "tensors": [
                {"name": t.name, "shape": list(t.shape), "width": t.width, "signed": t.signed, "type": t.note,
                 "offset": 4 * t.first_word, "default": list(t.default), "limits": list(t.limits),
                 "factors": [f and list(f) for f in t.factors]}
                for t in self.tensors
            ],
        }  # fmt: skip


def calibration_of(
    loadable: Sequence[Loadable], clocks: Mapping[str, int], channels: int, names: Names
) -> Calibration:
    """The address map of loadable tensors.

    Args:
        clocks: by name, when each is needed.
        names: of the top module's tensors.

    Raises:
        CodegenError: a word of more than 32 bits.
    """
    tensors, first = [], 0
    for t in loadable:
        if t.type.width > 32:
            raise CodegenError(f"calibration {t.name!r}: {t.type.width} bits; a word of the bus has 32")
        default = tuple(int(v) for v in np.asarray(t.default).reshape(-1))
        tensors.append(
            CalibrationTensor(
                t.name, names(t.name), t.shape, t.type.width, t.type.signed, default, first, clocks[t.name], str(t.type)
            )
        )
        first += len(default)
    channel_words = 1 << max(0, first - 1).bit_length()
    bits = max(REGISTER_BITS, channel_bits(channels) + channel_words.bit_length() - 1 + 2)
    return Calibration(tuple(tensors), channels, channel_words, bits)
