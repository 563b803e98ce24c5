"""What a training run can complain about."""

from rtf_models.errors import RtfError


class TrainError(RtfError):
    """Settings that make no sense together, a folder that holds another run, a loss that is no number."""
