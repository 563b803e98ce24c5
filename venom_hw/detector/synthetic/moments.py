"""Mean and covariance of each line's pulses, from one pass over the counts in small pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..dataset import PulseSet
from ..errors import DataError

CHUNK = 1000      # pulses that are held as floats at a time
FEWEST = 8        # full-length training pulses that a line must have


@dataclass(frozen=True)
class LineMoments:
    """Statistics of the lines, ascending in energy. D = 2 L: the samples of a pulse as I0, Q0, I1, Q1, ...

    energies (M,) eV; labels (M); counts (M,) pulses a line; means (M, D); covariances (M, D, D), counts^2, or None.
    """

    energies: np.ndarray
    labels: list[str]
    counts: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None

    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D) of all pulses together, between the lines as well as within them."""
        weight = self.counts / self.counts.sum()
        mean = weight @ self.means
        apart = self.means - mean
        within = np.tensordot(weight, self.covariances, 1)
        return mean, within + (apart * weight[:, None]).T @ apart


def line_rows(pulses: PulseSet, train_idx) -> list[tuple[float, str, np.ndarray]]:
    """(energy eV, label, indices of its training pulses of full length) of each line, ascending in energy.

    Windows that end early are padded with zeros, which are no samples, and are left out. Raises DataError if a line
    has fewer than 8 pulses left, or if there are fewer than two lines.
    """
    train_idx = np.asarray(train_idx)
    if train_idx.dtype == bool:
        train_idx = np.flatnonzero(train_idx)
    full = pulses.lengths[train_idx] == pulses.counts.shape[1]
    ids = pulses.wl_ids[train_idx]
    found = []
    for number, label in enumerate(pulses.wl_labels):
        rows = train_idx[(ids == number) & full]
        if len(rows) < FEWEST:
            short = int(((ids == number) & ~full).sum())
            raise DataError("synthetic pulses", label, f"{len(rows)} training pulses of full length ({short} end "
                            f"before the window of {pulses.counts.shape[1]} samples)", f"{FEWEST} or more of each line")
        found.append((float(pulses.energies[rows[0]]), label, rows))
    if len({energy for energy, _, _ in found}) < max(2, len(found)):
        raise DataError("synthetic pulses", "energies", f"{[round(e, 4) for e, _, _ in found]} eV",
                        "two or more lines of different energies to interpolate between")
    return sorted(found, key=lambda line: line[0])


def pieces(counts: np.ndarray, rows: np.ndarray, chunk: int = CHUNK) -> Iterator[np.ndarray]:
    """The pulses of `rows` as float64 (at most `chunk`, D), one piece after the other."""
    for first in range(0, len(rows), chunk):
        part = counts[rows[first:first + chunk]]
        yield part.reshape(len(part), -1).astype(np.float64)


def line_moments(pulses: PulseSet, train_idx, *, covariance: bool = True, chunk: int = CHUNK,
                 progress: Callable[[int], object] | None = None) -> LineMoments:
    """Streams the training pulses once and accumulates sums and Gram matrices, line by line.

    Sums of products of int16 counts stay below 2^53, so float64 holds them exactly and the size of the pieces changes
    nothing. `progress` is called with the number of pulses of each piece. Raises DataError as `line_rows`.
    """
    lines = line_rows(pulses, train_idx)
    size = 2 * pulses.counts.shape[1]
    means = np.empty((len(lines), size))
    covariances = np.empty((len(lines), size, size)) if covariance else None
    for number, (_, _, rows) in enumerate(lines):
        total, gram = np.zeros(size), np.zeros((size, size)) if covariance else None
        for part in pieces(pulses.counts, rows, chunk):
            total += part.sum(axis=0)
            if covariance:
                gram += part.T @ part
            if progress is not None:
                progress(len(part))
        means[number] = total / len(rows)
        if covariance:
            spread = gram - np.outer(total, means[number])
            covariances[number] = (spread + spread.T) / (2 * (len(rows) - 1))
    return LineMoments(np.array([e for e, _, _ in lines]), [label for _, label, _ in lines],
                       np.array([len(rows) for _, _, rows in lines]), means, covariances)
