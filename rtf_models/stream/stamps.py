"""Cutouts of a packet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def stamp_of(packet: Mapping) -> np.ndarray | None:
    """(3, 63, 63) float32 of a packet's three cutouts; None if one is missing, damaged or cut by an edge."""
    raise NotImplementedError
