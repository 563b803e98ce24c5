"""Label jitter: normal noise on the labels of each laser line, so that few discrete labels are a smear and not spikes.

It is noise on the label alone: the network's sigma grows by it, and the estimate does not get better than without. What
keeps a network from snapping to its lines is pulses at other energies (`between`, `n_synthetic`).
"""

from __future__ import annotations

import numpy as np

from .errors import TrainError

AUTO_SHARE = 0.1  # "auto": this share of the distance to the nearest other line


def line_jitter(spec: list[str], labels: list[str], energies) -> np.ndarray:
    """Standard deviation in eV for each line (K,), from the setting `jitter`.

    spec: [] for none, ["0.01"] for all lines, ["808nm=0.004", ...] for those named (the rest gets none), ["auto"] for a
    tenth of the distance to the nearest other line. energies (K,) in eV. Raises TrainError naming what does not fit.
    """
    energies = np.asarray(energies, float)
    sigma = np.zeros(len(labels))
    for item in spec:
        label, equals, text = item.rpartition("=")
        if equals and label not in labels:
            raise TrainError(f"setting 'jitter', '{item}': no line '{label}', expected one of {', '.join(labels)}")
        rows = [labels.index(label)] if equals else slice(None)
        if text == "auto":
            distance = np.abs(energies[:, None] - energies) + np.where(np.eye(len(energies)), np.inf, 0.0)
            sigma[rows] = AUTO_SHARE * distance.min(axis=1)[rows]
            continue
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not 0 <= value < np.inf:
            raise TrainError(f"setting 'jitter', '{item}': expected eV of 0 or more, LINE=eV, or auto")
        sigma[rows] = value
    return sigma
