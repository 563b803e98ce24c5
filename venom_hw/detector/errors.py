"""The one exception of the detector room."""


class DataError(ValueError):
    """A data folder, file or field is not what was expected.

    Attributes: ``source`` (file or folder), ``field`` (array or key, may be None), ``expected`` (what would be right).
    """

    def __init__(self, source, field, found: str, expected: str):
        self.source, self.field, self.found, self.expected = str(source), field, found, expected
        where = f"{source}" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {found}; expected {expected}")
