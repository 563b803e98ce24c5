"""What every generator of synthetic pulses does, and how a saved one is read back whatever its kind."""

from __future__ import annotations

import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from venom_hw.atomic import write_atomically

from ..dataset import PulseSet
from ..errors import DataError
from ..window import Window

MARGIN = 1.05     # energies reach this factor beyond the outermost lines
CHUNK = 2048      # pulses made at a time; part of the seeding
GENERATORS: dict[str, type[PulseGenerator]] = {}  # "pca", "template": filled as the classes are defined


class PulseGenerator(ABC):
    """Synthetic pulses at any energy within the lines, or a factor 1.05 beyond the outermost of them.

    `kind` names it in files and on the command line. Subclasses are frozen: fitted once, then only sampled.
    """

    kind: ClassVar[str]
    energies: np.ndarray        # (M,) eV of the lines it was fitted on, ascending
    labels: list[str]
    window: Window

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        GENERATORS[cls.kind] = cls

    @classmethod
    @abstractmethod
    def fit(cls, pulses: PulseSet, train_idx, *, n_components: int = 50,
            progress: Callable[[int], object] | None = None) -> PulseGenerator:
        """Learn the detector from the pulses of `train_idx`. Raises DataError."""

    @abstractmethod
    def mean(self, energies_ev) -> np.ndarray:
        """Mean pulses (N, L, 2) at energies (N,) in eV, float64 counts."""

    @abstractmethod
    def _draw(self, energies, rng: np.random.Generator) -> np.ndarray:
        """Pulses (n, L, 2), float32, at valid energies (n,), n of CHUNK at most."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What a file holds beside energies, labels and window."""

    @classmethod
    @abstractmethod
    def _from_arrays(cls, energies, labels, window: Window, arrays: dict) -> PulseGenerator:
        """The inverse of `_arrays`; KeyError or ValueError where something is missing or does not fit."""

    @property
    def length(self) -> int:
        """Samples of a window, L."""
        return self.window.length

    @property
    def energy_range(self) -> tuple[float, float]:
        """Lowest and highest energy in eV that `sample` accepts."""
        return float(self.energies[0] / MARGIN), float(self.energies[-1] * MARGIN)

    def check_energies(self, energies_ev) -> np.ndarray:
        """Energies (N,) as float64. Raises DataError outside `energy_range`."""
        energies = np.asarray(energies_ev, np.float64)
        low, high = self.energy_range
        within = (energies >= low * (1 - 1e-9)) & (energies <= high * (1 + 1e-9))
        if energies.ndim != 1 or not within.all():
            found = f"shape {energies.shape}" if energies.ndim != 1 else f"{energies[~within][0]:g} eV"
            raise DataError(f"{self.kind} generator", "energies_ev", found, f"one dimension, {low:.4g} to {high:.4g} "
                            f"eV: the lines {', '.join(self.labels)} and a factor {MARGIN} beyond")
        return energies

    def sample(self, energies_ev, rng: np.random.Generator,
               progress: Callable[[int], object] | None = None) -> np.ndarray:
        """Fresh pulses, counts (N, L, 2) int16, of photons of energies (N,) in eV.

        The same generator, energies and state of `rng` give the same pulses. `progress` is called with the number of
        pulses of each piece. Raises DataError for an energy outside `energy_range`.
        """
        energies = self.check_energies(energies_ev)
        counts = np.empty((len(energies), self.length, 2), np.int16)
        for first in range(0, len(energies), CHUNK):
            drawn = self._draw(energies[first:first + CHUNK], rng)
            np.rint(drawn, out=drawn)
            counts[first:first + len(drawn)] = np.clip(drawn, -32768, 32767, out=drawn)
            if progress is not None:
                progress(len(drawn))
        return counts

    @property
    def _format(self) -> str:
        return f"venom-hw/synthetic-{self.kind}/1"

    def save(self, path) -> Path:
        """Write one npz without pickled objects, atomically; the path."""
        text = json.dumps({"format": self._format, "labels": list(self.labels), "window": self.window.to_dict()})
        content = io.BytesIO()
        np.savez(content, description=np.array(text), energies=self.energies, **self._arrays())
        return write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path) -> PulseGenerator:
        """Read what `save` wrote. DataError names file and field if it is something else or incomplete."""
        found = load_generator(path)
        if not isinstance(found, cls):
            raise DataError(path, "format", f"a generator of kind '{found.kind}'", f"one of kind '{cls.kind}'")
        return found


def load_generator(path) -> PulseGenerator:
    """A saved generator of any kind. Raises DataError for a file that is none."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(path, None, f"cannot be read ({error})", "a file that a generator's save wrote") from error
    try:
        description = json.loads(str(arrays.pop("description")))
        formats = {f"venom-hw/synthetic-{kind}/1": cls for kind, cls in GENERATORS.items()}
        if (name := description["format"]) not in formats:
            raise DataError(path, "format", repr(name), f"one of {sorted(formats)}")
        energies, labels = arrays.pop("energies"), list(description["labels"])
        window = Window.from_dict(description["window"])
        return formats[name]._from_arrays(energies, labels, window, arrays)
    except DataError:
        raise
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(path, None, f"incomplete or damaged ({type(error).__name__}: {error})",
                        "the arrays that a generator's save wrote") from error


def check_arrays(arrays: dict, shapes: dict[str, tuple[int, ...]]) -> None:
    """ValueError unless the arrays have exactly these names and shapes and hold finite numbers only."""
    if set(arrays) != set(shapes):
        raise ValueError(f"arrays {sorted(arrays)}, expected {sorted(shapes)}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind not in "fc" or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name}: {arrays[name].dtype} {arrays[name].shape}, expected finite numbers, {shape}")
