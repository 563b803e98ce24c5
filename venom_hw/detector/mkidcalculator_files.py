"""Pulses out of the files of mkidcalculator (a pickled Loop, arrays in npz files beside it), as data.

The pickle is read by `inert_pickle`: nothing in it runs. Its absolute file names belong to another machine, so a file
is looked for by its bare name in the pickle's own folder.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from venom_hw.inert_pickle import PickledArray, PieceError, StandIn, plain

from .errors import DataError
from .inert_pickle import read_pickle
from .object_npz import ObjectNpz
from .wavelength import wavelength_of

# Lines of the analogreadout laser box, nm, by the number of its switches (mkidcalculator, data.py).
LASER_BOX = {5: (813.7, 916.8, 978.6, 1110.0, 1310.0),
             8: (254.0, 405.9, 663.1, 813.7, 916.8, 978.6, 1120.0, 1310.0)}


@dataclass(frozen=True)
class LabLine:
    """One pulse set of a Loop: I and Q traces (N, samples) in volts, mask (N,), responses (N,) or None, and what the
    file knows of wavelength (nm), sample rate (Hz) and its optimal filter's R, each None where it does not."""

    i_trace: np.ndarray
    q_trace: np.ndarray
    mask: np.ndarray
    responses: np.ndarray | None
    wavelength_nm: float | None
    sample_rate_hz: float | None
    filter_r: float | None


@contextmanager
def _as_written(source):
    """Whatever a forged or foreign file leads to becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except (PieceError, TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise DataError(source, None, f"is not as mkidcalculator writes it ({error})", "an unchanged file") from error


def find_loops(root) -> list[StandIn]:
    """Every Loop with pulses that a value contains (a Loop, Resonator, Sweep, or lists of them), in file order."""
    loops, seen, queue = [], set(), [root]
    while queue:
        value = queue.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, PickledArray):
            queue += value.value.ravel().tolist() if value.value.dtype == object else []
        elif isinstance(value, StandIn):
            if value.name.endswith(".Loop") and value.get("pulses"):
                loops.append(value)
                continue
            queue += [*value.state.values(), *value.items, *value.arguments]
        elif isinstance(value, dict | list | tuple):
            queue += value.values() if isinstance(value, dict) else value
    return loops


def read_loops(path, placeholders=()) -> list[StandIn]:
    """The Loops of a pickle; a Pulse alone counts as a Loop of its own. Raises DataError, UnsafePickle."""
    path = Path(path)
    try:
        root = read_pickle(path.read_bytes(), path, placeholders)
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror})", "a pickle of mkidcalculator") from error
    if isinstance(root, StandIn) and root.name.endswith(".Pulse"):
        return [StandIn("mkidcalculator.io.loop.Loop", state={"pulses": [root]})]
    with _as_written(path):
        loops = find_loops(root)
    if not loops:
        held = root.name if isinstance(root, StandIn) else type(root).__name__  # never its repr: that may have no end
        raise DataError(path, None, f"no Loop with pulses in it (it holds a {held})",
                        "a Loop, Resonator or Sweep with pulse data")
    return loops


class _Data:
    """The `_data` of a Loop, Pulse or Noise: an AnalogReadout* object that names an npz file, or a dictionary."""

    def __init__(self, owner: StandIn, folder: Path, source):
        self.data, self.folder, self.source = owner.get("_data"), folder, source

    def attribute(self, name: str):
        return self.data.get(name) if isinstance(self.data, StandIn | dict) else None

    def file(self) -> ObjectNpz | None:
        name = self.attribute("_npz") if isinstance(self.data, StandIn) else None
        return None if not isinstance(name, str) else ObjectNpz(beside(self.folder, name, self.source))

    def read(self, key: str):
        """A field of the raw file, of our channel and index."""
        file = self.file()
        if file is None:
            raise DataError(self.source, "_data", f"no file that would hold '{key}'", "traces in the pickle's own npz, "
                            "or the analogreadout file's name in _data")
        value = file.read(key)
        if not isinstance(value, np.ndarray) or value.dtype.kind in "SU":
            return value.item() if isinstance(value, np.ndarray) else value
        index, channel = self.attribute("index"), self.attribute("channel")
        try:
            value = value if index is None else value[:, index, ...]
            return value if channel is None else value[channel]
        except IndexError:
            raise DataError(file.path, key, f"shape {value.shape}",
                            f"one with channel {channel}, index {index}") from None

    def traces(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """I and Q traces (N, samples)."""
        value = self.read(key)
        if isinstance(value, str):  # the raw file names another one
            path = beside(self.folder, value, self.source)
            try:
                value = np.load(path, allow_pickle=False)[self.attribute("channel") or 0]
            except (ValueError, OSError, IndexError) as error:
                raise DataError(path, None, f"cannot be read ({error})", "an npy file of pulses") from error
        names = value.dtype.names
        if names is not None:
            if not {"I", "Q"} <= set(names):
                raise DataError(self.source, key, f"fields {names}", "I and Q")
            return value["I"], value["Q"]
        return value.real, value.imag

    def metadata(self) -> dict:
        if isinstance(self.data, dict):
            return self.data.get("metadata") or {}
        try:
            value = self.read("metadata")
        except DataError as error:
            if type(error) is not DataError:  # refused, not just absent
                raise
            return {}
        return value if isinstance(value, dict) else {}

    def sample_rate(self) -> float | None:
        if isinstance(self.data, dict) and "sample_rate" in self.data:
            return float(plain(self.data["sample_rate"]))
        rate = (self.metadata().get("parameters") or {}).get("sample_rate")
        return None if rate is None else 1e6 * float(plain(rate))

    def wavelength(self) -> float | None:
        energies = self.attribute("_energies") or self.attribute("energies")
        if energies is not None and (values := np.atleast_1d(plain(energies)).astype(float)).size:
            lines = [wavelength_of(e) for e in values]
        else:
            switches = np.ravel(plain((self.metadata().get("parameters") or {}).get("laser", []))).astype(float)
            box = LASER_BOX.get(switches.size)
            lines = [] if box is None else [w for w, on in zip(box, switches, strict=True) if on]
        if len(lines) > 1:
            raise DataError(self.source, "energies", f"several lines at once ({', '.join(f'{w:g} nm' for w in lines)})",
                            "one laser line a pulse set")
        return lines[0] if lines else None


def beside(folder: Path, name: str, source) -> Path:
    """A file named in the pickle, whatever its folder there was, in `folder`. DataError if it is not there."""
    bare = PureWindowsPath(name).name  # takes both kinds of separator
    path = folder / bare
    if not bare or bare.startswith(".") or not path.is_file():
        raise DataError(source, "_npz", f"names the file '{bare}', which is not in its folder",
                        "the pickle together with the npz files that were saved beside it")
    return path


def _quadrature(pulse: StandIn, key: str, folder: Path, source):
    value = plain(pulse.get(key))
    if isinstance(value, str):
        name = pulse.get("_npz")
        if not isinstance(name, str):
            raise DataError(source, "_npz", repr(name)[:60], f"the file that holds {key}")
        value = ObjectNpz(beside(folder, name, source)).read(value)
    return value


def _traces(pulse: StandIn, data: _Data, folder: Path, source) -> tuple[np.ndarray, np.ndarray]:
    i, q = (_quadrature(pulse, key, folder, source) for key in ("_i_trace", "_q_trace"))
    if i is None and isinstance(data.data, dict):
        i, q = plain(data.data.get("i_trace")), plain(data.data.get("q_trace"))
    if i is None:
        i, q = data.traces("pulses")
    if not all(isinstance(x, np.ndarray) and x.dtype.kind in "iuf" for x in (i, q)) or i.shape != q.shape:
        raise DataError(source, "_q_trace", f"{np.shape(q)} beside an i_trace of {np.shape(i)}", "two equal arrays")
    if i.ndim != 2 or 0 in i.shape:
        raise DataError(source, "_i_trace", f"shape {i.shape}", "2-D (pulses, samples)")
    return i, q


def _one_a_pulse(pulse: StandIn, key: str, n: int, source) -> np.ndarray | None:
    value = plain(pulse.get(key))
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.shape != (n,):
        raise DataError(source, key, f"shape {np.shape(value)}", f"({n},), one a pulse")
    return value


def read_lab_line(pulse: StandIn, folder, source="pulse") -> LabLine:
    """Everything of one Pulse that a data folder needs. Raises DataError, UnsafePickle."""
    folder = Path(folder)
    data = _Data(pulse, folder, source)
    with _as_written(source):
        i, q = _traces(pulse, data, folder, source)
        mask = _one_a_pulse(pulse, "_mask", len(i), source)
        responses = _one_a_pulse(pulse, "_responses", len(i), source)
        wavelength = data.wavelength()
        spectrum = pulse.get("_spectrum")
        fwhm = plain(spectrum.get("fwhm")) if isinstance(spectrum, dict) and spectrum.get("calibrated") else None
        known = fwhm is not None and wavelength is not None and np.isfinite(fwhm) and fwhm > 0
        filter_r = float(wavelength_of(wavelength) / fwhm) if known else None
        return LabLine(i, q, np.ones(len(i), bool) if mask is None else mask.astype(bool), responses, wavelength,
                       data.sample_rate(), filter_r)


def read_lab_noise(loop: StandIn, folder, source="noise") -> tuple[np.ndarray, np.ndarray] | None:
    """I and Q traces (N, samples) of the Loop's first noise set, the one at the pulses' bias; None without one."""
    noise = loop.get("noise") or []
    if not noise:
        return None
    with _as_written(source):
        i, q = _Data(noise[0], Path(folder), source).traces("noise")
        return i.reshape(-1, i.shape[-1]), q.reshape(-1, q.shape[-1])


def read_lab_sweep(loop: StandIn, folder, source="sweep") -> tuple[np.ndarray, np.ndarray] | None:
    """(f, z) of the Loop's frequency sweep; None where there is none."""
    data = _Data(loop, Path(folder), source)
    with _as_written(source):
        if isinstance(data.data, dict):
            f, z = plain(data.data.get("f")), plain(data.data.get("z"))
            return None if f is None or z is None else (f, z)
        return None if data.file() is None else (data.read("freqs"), data.read("z"))
