"""How statistics of the lines become functions of energy: cubic splines for means, PCHIP for covariances.

The abscissa of both is the logarithm of the energy, in which laser lines lie more evenly (254 nm is far from the next
line in eV): where a mean pulse at an energy between two lines was simulated, the error of the spline was two to four
times smaller in the widest gap and the same elsewhere.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator


class LineSpline:
    """The cubic spline (not-a-knot) through values at the lines, as weights of the lines: s(E) = weights(E) @ values.

    energies (M,) eV, ascending, two or more. With two lines it is linear, with three a parabola. Beyond the outermost
    lines it goes on straight (in log energy), which errs less there than its cubics do.
    """

    def __init__(self, energies):
        self.knots = np.log(np.asarray(energies, float))
        self._spline = CubicSpline(self.knots, np.eye(len(self.knots)))

    def weights(self, energies) -> np.ndarray:
        """(N, M) for energies (N,) in eV; each row sums to 1."""
        x = np.log(energies)
        inside = np.clip(x, self.knots[0], self.knots[-1])
        return self._spline(inside) + self._spline(inside, 1) * (x - inside)[:, None]


class CholeskyPath:
    """Covariances between the lines, positive definite at every energy, and samples from them.

    Log-Cholesky coordinates (Lin, SIAM J. Matrix Anal. Appl. 40, 1353 (2019)): of the factors L with C = L L^T the
    entries below the diagonal and the logarithms of the diagonal are interpolated by PCHIP (Fritsch and Carlson, SIAM
    J. Numer. Anal. 17, 238 (1980)) over log energy. Any real coordinates give a positive definite matrix, so none has
    to be repaired (PCHIP of the covariances themselves loses that, by wide margins), and a sample is a few matrix
    products: C(E) itself is never formed. Beyond the outermost lines the covariance is that of the outermost line.
    """

    def __init__(self, energies, factors):
        """energies (M,) eV, ascending; factors (M, K, K) lower triangular, positive diagonals."""
        self.knots = np.log(np.asarray(energies, float))
        factors = np.asarray(factors, float)
        self.below = PchipInterpolator(self.knots, np.tril(factors, -1))
        self.log_diagonal = PchipInterpolator(self.knots, np.log(np.einsum("mkk->mk", factors)))

    def _inside(self, energies):
        return np.clip(np.log(energies), self.knots[0], self.knots[-1])

    def factor(self, energy: float) -> np.ndarray:
        """L (K, K) at one energy in eV."""
        x = float(self._inside(energy))
        return self.below(x) + np.diag(np.exp(self.log_diagonal(x)))

    def covariance(self, energy: float) -> np.ndarray:
        """C = L L^T (K, K) at one energy in eV."""
        factor = self.factor(energy)
        return factor @ factor.T

    def shape(self, energies, normal) -> np.ndarray:
        """L(E) z for each row z of `normal` (N, K), float32: standard normal in, covariance C(E) out."""
        x = self._inside(energies)
        result = np.exp(self.log_diagonal(x)).astype(np.float32) * normal
        interval = np.clip(np.searchsorted(self.knots, x, side="right") - 1, 0, len(self.knots) - 2)
        for number in np.unique(interval):
            rows = np.flatnonzero(interval == number)
            part, t = normal[rows], (x[rows] - self.knots[number])[:, None].astype(np.float32)
            value = np.zeros_like(part)
            for coefficients in self.below.c[:, number]:  # highest power first
                value = value * t + part @ coefficients.T.astype(np.float32)
            result[rows] += value
        return result
