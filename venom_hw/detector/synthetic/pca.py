"""Synthetic pulses from principal components: each line's mean and covariance, interpolated over energy, and noise.

A pulse of energy E is  mean(E) + V s + r,  flattened to D = 2 L numbers:

* mean(E): cubic spline through the mean pulses of the lines;
* V (D, K): the K largest principal components of all training pulses (between and within lines), s their scores within
  a line: Gaussian with covariance C(E), which follows the lines' covariances (`CholeskyPath`), drawn by Cholesky;
* r: noise orthogonal to V, stationary, with the cross-spectral density of I and Q that the training pulses' residuals
  have. Between two lines each pulse takes the density of one of them, with linear probabilities, so that the mean
  density is linear in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh

from ..dataset import PulseSet
from ..errors import DataError
from ..window import Window
from .cross_spectrum import draw_noise, orthogonal_spectrum, root, spectrum_of_covariance
from .energy_interpolation import CholeskyPath, LineSpline
from .generator import PulseGenerator, check_arrays
from .moments import line_moments

# Pulses of the smallest line that each component needs. A covariance of K directions that n pulses gave is too small
# in some of them by chance, and a network finds those: on synthetic pulses their best filter seems to have
# (1 - K / n)^2 of its true variance (0.90 at 20 pulses a component, 0.99 at 200).
PULSES_A_COMPONENT = 20
LEAST_VARIANCE = 1 / 12  # counts^2, that of rounding to integers: no direction of a real pulse has less


def principal_components(covariance, number: int) -> np.ndarray:
    """The `number` leading eigenvectors (D, number), largest first, each with its largest entry positive."""
    size = len(covariance)
    _, vectors = eigh(covariance, subset_by_index=(size - number, size - 1))
    vectors = vectors[:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)[0]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def cholesky_factors(covariances) -> np.ndarray:
    """Lower factors (M, K, K); directions of less than a rounding error's variance get that much."""
    values, vectors = np.linalg.eigh(covariances)
    if values.min() < LEAST_VARIANCE:
        covariances = (vectors * np.maximum(values, LEAST_VARIANCE)[:, None, :]) @ vectors.swapaxes(1, 2)
    return np.linalg.cholesky(covariances)


def _allowed_components(wanted: int, size: int, fewest: int) -> int:
    allowed = min(int(wanted), size, max(fewest // PULSES_A_COMPONENT, 1))
    if allowed < wanted:
        warnings.warn(f"synthetic pulses: {allowed} principal components instead of {wanted}; windows of {size // 2} "
                      f"samples and {fewest} training pulses of one line allow no more", stacklevel=3)
    return allowed


@dataclass(frozen=True, eq=False)
class PcaGenerator(PulseGenerator):
    """See the module. Made by `fit` or `load`.

    energies (M,) eV, ascending; labels (M); window; means (M, D) counts; basis (D, K) orthonormal; factors (M, K, K)
    Cholesky factors of the scores' covariances; residual_roots (M, L // 2 + 1, 2, 2) square roots of the noise's
    spectra before it is made orthogonal to the basis.
    """

    kind = "pca"
    energies: np.ndarray
    labels: list[str]
    window: Window
    means: np.ndarray
    basis: np.ndarray
    factors: np.ndarray
    residual_roots: np.ndarray
    path: CholeskyPath = field(init=False, repr=False)
    spline: LineSpline = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "path", CholeskyPath(self.energies, self.factors))
        object.__setattr__(self, "spline", LineSpline(self.energies))

    @classmethod
    def fit(cls, pulses: PulseSet, train_idx, *, n_components: int = 50,
            progress: Callable[[int], object] | None = None) -> PcaGenerator:
        """Learn lines, components and noise from the pulses of `train_idx` (indices or a mask).

        One pass over the pulses, a thousand as floats at a time; one D x D matrix a line is held. `progress` is called
        with the number of pulses read. Fewer components than asked for are used, with a warning, where the smallest
        line has less than 20 pulses for each. Raises DataError for fewer than two lines or eight pulses a line.
        """
        if not isinstance(n_components, int | np.integer) or n_components < 1:
            raise DataError("synthetic pulses", "n_components", repr(n_components), "an integer of 1 or more")
        moments = line_moments(pulses, train_idx, progress=progress)
        number = _allowed_components(n_components, moments.means.shape[1], int(moments.counts.min()))
        basis = principal_components(moments.total()[1], number)
        scores = np.stack([basis.T @ c @ basis for c in moments.covariances])
        roots = []
        for covariance in moments.covariances:
            across = covariance @ basis
            residual = covariance - across @ basis.T - basis @ across.T + basis @ (basis.T @ across) @ basis.T
            roots.append(root(orthogonal_spectrum(spectrum_of_covariance(residual), basis)))
        return cls(moments.energies, moments.labels, pulses.window, moments.means, basis, cholesky_factors(scores),
                   np.stack(roots))

    @property
    def n_components(self) -> int:
        """Principal components, K (fewer than asked for where a line had few pulses)."""
        return self.basis.shape[1]

    def mean(self, energies_ev) -> np.ndarray:
        energies = self.check_energies(energies_ev)
        return (self.spline.weights(energies) @ self.means).reshape(len(energies), -1, 2)

    def scores(self, counts) -> np.ndarray:
        """Projections (N, K) of pulses (N, L, 2) on the components, about the mean of the lines' mean pulses."""
        flat = np.reshape(counts, (len(counts), -1)).astype(np.float64)
        return (flat - self.means.mean(axis=0)) @ self.basis

    def residuals(self, counts, energies_ev) -> np.ndarray:
        """Pulses (N, L, 2) less their mean pulse and their components."""
        apart = np.asarray(counts, np.float64) - self.mean(energies_ev)
        flat = apart.reshape(len(apart), -1)
        return (flat - (flat @ self.basis) @ self.basis.T).reshape(apart.shape)

    def _draw(self, energies, rng: np.random.Generator) -> np.ndarray:
        basis = self.basis.astype(np.float32)
        normal = rng.standard_normal((len(energies), self.n_components), dtype=np.float32)
        score = self.path.shape(energies, normal)
        noise = draw_noise(self.residual_roots, self._line_of_noise(energies, rng), self.length, rng)
        flat = np.ascontiguousarray(noise).reshape(len(energies), -1)
        flat += (score - flat @ basis) @ basis.T
        flat += self.spline.weights(energies).astype(np.float32) @ self.means.astype(np.float32)
        return flat.reshape(len(energies), -1, 2)

    def _line_of_noise(self, energies, rng: np.random.Generator) -> np.ndarray:
        place = np.interp(np.log(energies), self.path.knots, np.arange(len(self.energies)))
        return np.floor(place + rng.random(len(energies))).astype(int).clip(0, len(self.energies) - 1)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"means": self.means, "basis": self.basis, "factors": self.factors,
                "residual_roots": self.residual_roots}

    @classmethod
    def _from_arrays(cls, energies, labels, window: Window, arrays: dict) -> PcaGenerator:
        lines, size, number = len(labels), 2 * window.length, arrays["basis"].shape[1]
        check_arrays(arrays | {"energies": energies}, {
            "energies": (lines,), "means": (lines, size), "basis": (size, number), "factors": (lines, number, number),
            "residual_roots": (lines, window.length // 2 + 1, 2, 2)})
        return cls(energies, labels, window, **arrays)
