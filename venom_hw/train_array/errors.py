"""The one exception of this room."""


class TrainArrayError(ValueError):
    """A setting, a pixel's folder or a state file is not usable; the message names it and what was expected."""
