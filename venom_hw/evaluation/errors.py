class EvaluationError(ValueError):
    """Model, data or settings that cannot be judged together; the message says what was expected."""
