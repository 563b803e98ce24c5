"""The image of a small FITS file, without its header's many comforts: a packet has three of them, and astropy's headers
take longer than everything else that is done with a stamp.

FITS 4.0, sections 4.1 (80-byte cards, blocks of 2880 bytes), 5.3 and 7.1 (big-endian floating point).
"""

from __future__ import annotations

import re

import numpy as np

CARD, BLOCK = 80, 2880
_KEYWORD = re.compile(rb"[A-Z0-9_-]* *\Z")
_NUMBER = re.compile(rb" *([+-]?[0-9]+) *(?:/.*)?\Z", re.S)
_CHANGES_PIXELS = {b"BSCALE", b"BZERO", b"BLANK"}


def simple_image(data: bytes) -> np.ndarray | None:
    """(rows, columns) float32 of a primary image of two axes of 32-bit floats that nothing scales.

    None for everything else, damaged files included: a whole FITS library then has its say.
    """
    found: dict[bytes, bytes] = {}
    for start in range(0, len(data) - CARD + 1, CARD):
        card = data[start : start + CARD]
        name = card[:8].rstrip()
        if name == b"END":
            return None if card[3:].strip() else _pixels(found, data, start)
        if name in found or name in _CHANGES_PIXELS or not _KEYWORD.match(card[:8]):
            return None
        if card[8:10] == b"= ":
            found[name] = card[10:]
    return None


def _pixels(cards: dict[bytes, bytes], data: bytes, end: int) -> np.ndarray | None:
    if list(cards)[:5] != [b"SIMPLE", b"BITPIX", b"NAXIS", b"NAXIS1", b"NAXIS2"]:
        return None
    numbers = [_NUMBER.match(cards[name]) for name in (b"BITPIX", b"NAXIS", b"NAXIS1", b"NAXIS2")]
    if cards[b"SIMPLE"].split(b"/")[0].strip() != b"T" or not all(numbers):
        return None
    bits, axes, columns, rows = (int(x.group(1)) for x in numbers)
    start = (end // BLOCK + 1) * BLOCK
    if (bits, axes) != (-32, 2) or columns < 1 or rows < 1 or len(data) < start + 4 * columns * rows:
        return None
    return np.frombuffer(data, ">f4", columns * rows, start).reshape(rows, columns).astype(np.float32)
