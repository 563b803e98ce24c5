"""The one exception of this room."""


class SweepError(ValueError):
    """A grid or a sweep's folder is not usable; the message names the setting or file and what was expected."""
