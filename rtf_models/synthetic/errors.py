"""The exception of synthetic data."""

from __future__ import annotations

from ..errors import RtfError


class SyntheticError(RtfError):
    """A population, prior or survey that cannot be simulated as asked."""
