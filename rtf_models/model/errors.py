"""The exception of the model room."""

from rtf_models.errors import RtfError


class ModelError(RtfError):
    """A model cannot be built, or an input has a wrong shape; the message names the value and what was expected."""
