"""Exceptions of the model room."""


class ModelError(ValueError):
    """A model cannot be built, or an input has a wrong shape; the message names the value and what was expected."""


class CheckpointError(ValueError):
    """A checkpoint file is missing something or holds something else; the message names the file and the field."""
