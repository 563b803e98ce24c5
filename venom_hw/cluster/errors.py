"""The one exception of this room."""


class ClusterError(ValueError):
    """A cluster, a site setting or a file to be moved is not usable; the message says which and what was expected."""
