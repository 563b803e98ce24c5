"""What cannot be judged."""

from rtf_models.errors import RtfError


class EvaluationError(RtfError):
    """Model, data or settings that cannot be judged (together); the message says what was expected."""
