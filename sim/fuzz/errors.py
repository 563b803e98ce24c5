"""The error of this package."""


class FuzzError(RuntimeError):
    """A fuzz run that cannot be done: an unreadable case, an unknown rendering, a tool that is missing."""
