"""The room's exception."""

from __future__ import annotations


class SynthesisError(RuntimeError):
    """Synthesis could not run or its result is not what was expected; the message names the module or node."""
