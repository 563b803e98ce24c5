"""Synthetic pulses of a measured (or simulated) detector, at any photon energy near its laser lines.

    generator = PcaGenerator.fit(pulses, train_idx)
    counts = generator.sample(energies_ev, np.random.default_rng(1))  # (N, L, 2) int16

`PcaGenerator` reproduces the mean pulse and the covariance of each line, `TemplateGenerator` (the older one) the mean
pulse and the noise alone. Both are fitted on training pulses, never on held-out ones.
"""

from .compare import LineComparison, compare_with, comparison_text
from .generator import GENERATORS, MARGIN, PulseGenerator, load_generator
from .pca import PcaGenerator
from .plot import plot_generator
from .template import TemplateGenerator

__all__ = ["GENERATORS", "MARGIN", "LineComparison", "PcaGenerator", "PulseGenerator", "TemplateGenerator",
           "compare_with", "comparison_text", "load_generator", "plot_generator"]
