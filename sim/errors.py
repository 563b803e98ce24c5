"""What goes wrong around a bench, as opposed to in the device under test (that is a difference in the report)."""


class BenchError(RuntimeError):
    """A bench that cannot be built, started or read; the message says what was expected."""
