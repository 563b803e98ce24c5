"""The error of this room."""


class CodegenError(ValueError):
    """A datapath that cannot be rendered, or a project that cannot be built; the message names node or file."""
