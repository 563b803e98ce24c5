"""The one exception of the training room."""


class TrainError(ValueError):
    """A setting, a run's folder or its data are not usable; the message names the setting or file and what was
    expected.
    """
