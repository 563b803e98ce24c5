"""Stationary noise of I and Q together: a Hermitian 2x2 matrix at each frequency of a window.

Convention: S(f) = <X(f) X(f)^H> / L with X = rfft of (I, Q) over a window of L samples, in counts^2. Averaged over
the frequencies (those between 0 and Nyquist counted twice) the diagonal gives the variances of I and Q.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

TOLERANCE = 1e-3     # of an orthogonal spectrum, relative rms over the frequencies
ITERATIONS = 200


def adjoint(matrix):
    """Conjugate transpose of the last two axes."""
    return matrix.conj().swapaxes(-1, -2)


def multiplicity(length: int) -> np.ndarray:
    """How often each rfft frequency counts in a window of `length` samples: 2, or 1 for zero and Nyquist."""
    weight = np.full(length // 2 + 1, 2.0)
    weight[0] = 1.0
    if length % 2 == 0:
        weight[-1] = 1.0
    return weight


def spectrum_of_traces(traces) -> np.ndarray:
    """S(f) (L // 2 + 1, 2, 2) of traces (N, L, 2), their common mean pulse subtracted."""
    traces = np.asarray(traces, np.float64)
    x = fft.rfft(traces - traces.mean(axis=0), axis=1)
    return np.einsum("nfi,nfj->fij", x, x.conj(), optimize=True) / (len(traces) * traces.shape[1])


def spectrum_of_covariance(covariance) -> np.ndarray:
    """S(f) (L // 2 + 1, 2, 2) that traces of this covariance (2 L, 2 L) have, samples as I0, Q0, I1, Q1, ..."""
    length = len(covariance) // 2
    both = fft.fft(fft.ifft(np.reshape(covariance, (length, 2, length, 2)), axis=2), axis=0)
    bins = np.arange(length // 2 + 1)
    result = both[bins, :, bins]
    return (result + adjoint(result)) / 2


def resample_spectrum(spectrum, length: int, target: int) -> np.ndarray:
    """S(f) of windows of `length` samples on the frequencies of windows of `target`, linear in between (a mixture of
    spectra is one again), constant below the first bin that is not zero if the window becomes longer."""
    if length == target:
        return np.asarray(spectrum)
    known, wanted = fft.rfftfreq(length), fft.rfftfreq(target)
    first = 1 if target > length and len(known) > 2 else 0
    flat = np.reshape(spectrum[first:], (len(known) - first, 4))
    parts = [np.interp(wanted, known[first:], flat[:, k].real) + 1j * np.interp(wanted, known[first:], flat[:, k].imag)
             for k in range(4)]
    return np.stack(parts, -1).reshape(-1, 2, 2)


def positive(spectrum) -> np.ndarray:
    """The nearest positive semi-definite matrices (..., 2, 2)."""
    values, vectors = np.linalg.eigh((spectrum + adjoint(spectrum)) / 2)
    return (vectors * np.maximum(values, 0.0)[..., None, :]) @ adjoint(vectors)


def root(spectrum) -> np.ndarray:
    """Hermitian square roots (..., 2, 2) of positive semi-definite matrices."""
    values, vectors = np.linalg.eigh(spectrum)
    return (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ adjoint(vectors)


def project(spectrum, basis) -> np.ndarray:
    """What is left of S(f) when noise of that spectrum is made orthogonal to `basis` (2 L, K), orthonormal columns.

    Exact: with U_f the 2 x K transform of the basis at f, S - U U^H S - S U U^H + U A U^H, A = sum_f U^H S U.
    """
    length = len(basis) // 2
    u = fft.rfft(basis.reshape(length, 2, -1), axis=0) / np.sqrt(length)
    inside = ((adjoint(u) @ spectrum @ u) * multiplicity(length)[:, None, None]).sum(axis=0).real
    overlap = u @ adjoint(u)
    return spectrum - overlap @ spectrum - spectrum @ overlap + u @ inside @ adjoint(u)


def orthogonal_spectrum(target, basis, tolerance: float = TOLERANCE, iterations: int = ITERATIONS) -> np.ndarray:
    """A spectrum which, once its noise is made orthogonal to `basis`, has the spectrum `target` (L // 2 + 1, 2, 2).

    The projection takes power away, mostly where the basis holds most of it; to repair that, the convex problem
    min 1/2 <S, G S> - <target, S> over positive semi-definite S is solved by accelerated projected gradients (Beck and
    Teboulle, SIAM J. Imaging Sci. 2, 183 (2009)); G, the projection, is self-adjoint with norm 1 at most.
    """
    target = np.asarray(target)
    size = np.linalg.norm(target)
    spectrum = ahead = target
    best, smallest, step = target, np.inf, 1.0
    for _ in range(iterations):
        error = np.linalg.norm(project(spectrum, basis) - target)
        if error < smallest:
            best, smallest = spectrum, error
        if error <= tolerance * size:
            break
        following = positive(ahead + target - project(ahead, basis))
        longer = (1 + np.sqrt(1 + 4 * step * step)) / 2
        ahead = following + (step - 1) / longer * (following - spectrum)
        spectrum, step = following, longer
    return best


def draw_noise(roots, which, length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (n, length, 2), float32, periodic in the window: window k has the spectrum r r^H of r = roots[which[k]].

    roots (M, L // 2 + 1, 2, 2); which (n,) integers. The zero and Nyquist frequencies are real.
    """
    amplitude = np.sqrt(length / multiplicity(length)).astype(np.float32)
    normal = rng.standard_normal((len(which), length // 2 + 1, 2, 2), dtype=np.float32)
    normal *= amplitude[:, None, None]
    white = normal.view(np.complex64)[..., 0]
    for number in np.unique(which):
        rows, r = np.flatnonzero(which == number), np.asarray(roots[number], np.complex64)
        i, q = white[rows, :, 0], white[rows, :, 1]
        white[rows, :, 0] = r[:, 0, 0] * i + r[:, 0, 1] * q
        white[rows, :, 1] = r[:, 1, 0] * i + r[:, 1, 1] * q
    return fft.irfft(white, length, axis=1)
