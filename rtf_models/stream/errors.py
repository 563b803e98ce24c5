"""What can go wrong with a stream that a person has to know of."""

from __future__ import annotations

from ..errors import RtfError


class StreamError(RtfError):
    """An input, an output folder or an option is not what was expected; the message says which, and what would be."""


class JournalError(StreamError):
    """The journal of an output folder is damaged, or belongs to another model, format or stream."""
