"""The older generator: the mean pulse of each line, interpolated over energy, plus noise of the photon-free detector.

It knows nothing of what varies from photon to photon (absorbed energy, place, arrival within a sample) or of noise that
changes during a pulse: what it makes is cleaner than the detector, and a network trained on it alone is too sure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..dataset import PulseSet
from ..window import Window
from .cross_spectrum import draw_noise, resample_spectrum, root, spectrum_of_covariance, spectrum_of_traces
from .energy_interpolation import LineSpline
from .generator import PulseGenerator, check_arrays
from .moments import line_moments


@dataclass(frozen=True, eq=False)
class TemplateGenerator(PulseGenerator):
    """See the module. Made by `fit` or `load`.

    energies (M,) eV, ascending; labels (M); window; means (M, 2 L) counts; noise_root (L // 2 + 1, 2, 2), square root
    of the noise's cross-spectral density.
    """

    kind = "template"
    energies: np.ndarray
    labels: list[str]
    window: Window
    means: np.ndarray
    noise_root: np.ndarray
    spline: LineSpline = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "spline", LineSpline(self.energies))

    @classmethod
    def fit(cls, pulses: PulseSet, train_idx, *, n_components: int = 50,
            progress: Callable[[int], object] | None = None) -> TemplateGenerator:
        """Templates from the pulses of `train_idx`; noise from `pulses.noise`, or, where the folder has none, from what
        is left of the lowest line's pulses when their mean is subtracted. `n_components` means nothing here.

        Stretches of noise shorter than a window are interpolated in frequency. Raises DataError as `PcaGenerator.fit`.
        """
        length, noise = pulses.window.length, pulses.noise
        measured = noise is not None and len(noise) > 1 and noise.shape[1] >= 8
        moments = line_moments(pulses, train_idx, covariance=not measured, progress=progress)
        if measured:
            spectrum = resample_spectrum(spectrum_of_traces(noise), noise.shape[1], length)
        else:
            spectrum = spectrum_of_covariance(moments.covariances[0])
        return cls(moments.energies, moments.labels, pulses.window, moments.means, root(spectrum))

    def mean(self, energies_ev) -> np.ndarray:
        energies = self.check_energies(energies_ev)
        return (self.spline.weights(energies) @ self.means).reshape(len(energies), -1, 2)

    def _draw(self, energies, rng: np.random.Generator) -> np.ndarray:
        drawn = draw_noise(self.noise_root[None], np.zeros(len(energies), int), self.length, rng)
        template = self.spline.weights(energies).astype(np.float32) @ self.means.astype(np.float32)
        return drawn + template.reshape(len(energies), -1, 2)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"means": self.means, "noise_root": self.noise_root}

    @classmethod
    def _from_arrays(cls, energies, labels, window: Window, arrays: dict) -> TemplateGenerator:
        check_arrays(arrays | {"energies": energies}, {
            "energies": (len(labels),), "means": (len(labels), 2 * window.length),
            "noise_root": (window.length // 2 + 1, 2, 2)})
        return cls(energies, labels, window, **arrays)
