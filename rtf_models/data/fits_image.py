"""The primary image of a FITS file in memory: as much of the standard (4.0, section 4 and 5) as alert stamps need."""

from __future__ import annotations

import math

import numpy as np

BLOCK, CARD = 2880, 80
_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def primary_image(data: bytes) -> np.ndarray:
    """The primary HDU's array, float32, shape (NAXIS2, NAXIS1), with BSCALE, BZERO and BLANK applied.

    Raises:
        ValueError: no FITS file, no image of two axes, or cut short.
    """
    cards, start = _header(data)
    try:
        kind = np.dtype(_TYPES[int(cards["BITPIX"])])
        axes = [int(cards[f"NAXIS{k + 1}"]) for k in range(int(cards["NAXIS"]))]
        scale, zero = float(cards.get("BSCALE", "1")), float(cards.get("BZERO", "0"))
        blank = int(cards["BLANK"]) if "BLANK" in cards and kind.kind != "f" else None
    except KeyError as error:
        raise ValueError(f"FITS header without or with an unknown {error}") from None
    if len(axes) != 2 or min(axes) < 1:
        raise ValueError(f"FITS axes {axes}, expected two")
    size = math.prod(axes) * kind.itemsize
    if len(data) < start + size:
        raise ValueError(f"FITS data end after {len(data) - start} bytes, expected {size}")
    raw = np.frombuffer(data, kind, math.prod(axes), start).reshape(axes[::-1])
    image = raw.astype(np.float32) if (scale, zero) == (1, 0) else (raw * scale + zero).astype(np.float32)
    if blank is not None:
        image[raw == blank] = np.nan
    return image


def _header(data: bytes) -> tuple[dict[str, str], int]:
    """Values of the header's cards as text, and where the data begin."""
    if not data.startswith(b"SIMPLE  ="):
        raise ValueError("no FITS file (it does not begin with SIMPLE)")
    cards = {}
    for place in range(0, len(data) - CARD + 1, CARD):
        card = data[place:place + CARD].decode("ascii", "replace")
        keyword = card[:8].rstrip()
        if keyword == "END":
            return cards, -(-(place + CARD) // BLOCK) * BLOCK
        if card[8] == "=":
            cards.setdefault(keyword, card[9:].partition("/")[0].strip())
    raise ValueError("FITS header without END")
