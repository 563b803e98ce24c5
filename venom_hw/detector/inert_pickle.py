"""mkidcalculator's pickles read as data: what they may name, on top of :mod:`venom_hw.inert_pickle`."""

from __future__ import annotations

from collections.abc import Iterable

from venom_hw import inert_pickle

from .errors import DataError

_IO = {
    "loop": ("Loop",), "pulse": ("Pulse",), "noise": ("Noise",), "sweep": ("Sweep",), "resonator": ("Resonator",),
    "data": ("NoData", "AnalogReadoutABC", "AnalogReadoutLoop", "AnalogReadoutNoise", "AnalogReadoutPulse",
             "LegacyABC", "LegacyLoop", "LegacyNoise", "LegacyPulse"),
}
# mkidcalculator's classes that hold data; its older releases had the modules one level up.
ALLOWED = frozenset(f"mkidcalculator.{folder}{module}.{name}"
                    for folder in ("", "io.") for module, names in _IO.items() for name in names)
# Packages whose objects may lie beside the data (fits, splines, spectra); kept as closed boxes.
RESULTS = ("asteval", "cloudpickle", "emcee", "lmfit", "loopfit", "mkidcalculator.models", "pandas", "scipy",
           "uncertainties")




class UnsafePickle(DataError):
    """A pickle names something that is neither data nor on the allow-list."""


def read_pickle(data: bytes, source="pickle", placeholders: Iterable[str] = ()):
    """The value of a pickle, objects as `StandIn`, arrays as `PickledArray` (see `venom_hw.inert_pickle.plain`).

    `placeholders`: further full names ("package.module.name") that are skipped over as stand-ins, never run.
    Raises UnsafePickle for a name that is not allowed, DataError for a damaged file.
    """
    expected = ("mkidcalculator's Loop, Pulse and Noise with NumPy arrays and fit results (a name known to "
                "be harmless can be given as a placeholder: it is then skipped over, never run)")
    try:
        return inert_pickle.read_pickle(data, source, allowed=ALLOWED | set(placeholders), boxed=RESULTS,
                                        expected=expected)
    except inert_pickle.UnsafePickle as error:
        raise UnsafePickle(source, error.field, error.found, error.expected) from None
    except inert_pickle.PickleError as error:
        raise DataError(source, error.field, error.found, error.expected) from error
