"""The error of this package."""


class FuzzError(RuntimeError):
    """A fuzz run that cannot be done: an unreadable case, an unknown rendering, a tool that is missing."""


class Refused(FuzzError):
    """A rendering does not take the case, and says why; nothing was compared."""
