"""Fresh synthetic pulses for every epoch, from a generator fitted to the training pulses and kept beside the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from venom_hw.detector.synthetic import GENERATORS, PulseGenerator, plot_generator

from .config import TrainConfig
from .data import TrainingData
from .errors import TrainError

GENERATOR_FILE, GENERATOR_PLOT = "generator.npz", "generator.png"
STREAM = 0x5EED  # keeps these random numbers apart from every other use of the seed


def fit_or_load(
    config: TrainConfig, data: TrainingData, folder: Path, resume: bool = False, quiet: bool = True
) -> PulseGenerator:
    """The run's generator: read from `folder` when the run goes on, else fitted to the training pulses and saved there,
    with a plot of real beside synthetic pulses.

    What was saved is read back, so a resumed run draws from the very same numbers. Raises TrainError if a run that goes
    on has lost it, DataError for pulses that no generator can be fitted to.
    """
    kind, path = GENERATORS[config.generator], folder / GENERATOR_FILE
    if resume and not path.is_file():
        raise TrainError(f"{path}: no such file; expected the generator that this run was started with")
    if not resume:
        with tqdm(
            total=len(data.train_idx), desc=f"fit the {config.generator} generator", unit="pulse", disable=quiet,
            leave=False,
        ) as bar:
            fitted = kind.fit(data.lines, data.train_idx, n_components=config.n_components, progress=bar.update)
        fitted.save(path)
        plot_generator(fitted, data.lines.select(data.val_idx), folder / GENERATOR_PLOT)
    return kind.load(path)


def energy_range(generator: PulseGenerator, margin: float) -> tuple[float, float]:
    """Lowest and highest energy in eV that is drawn: the lines' range, and beyond it by the factor `margin`, as far as
    the generator goes.
    """
    low, high = generator.energy_range
    return max(low, float(generator.energies.min()) / margin), min(high, float(generator.energies.max()) * margin)


class SyntheticSource:
    """`count` pulses an epoch at energies spread uniformly over `span` (low, high) in eV; (seed, epoch) decides every
    number of them. `standardise`: energies in eV -> the network's targets.
    """

    def __init__(
        self,
        generator: PulseGenerator,
        count: int,
        span: tuple[float, float],
        seed: int,
        standardise: Callable[[np.ndarray], Tensor],
        quiet: bool = True,
    ):
        self.generator, self.count, self.span, self.seed = generator, count, span, seed
        self.standardise, self.quiet = standardise, quiet

    def draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """counts (count, L, 2) int16 and energies (count,) in eV of epoch number `epoch` (from 0)."""
        rng = np.random.default_rng([self.seed, STREAM, epoch])
        energies = rng.uniform(*self.span, self.count)
        with tqdm(
            total=self.count, desc="synthetic pulses", unit="pulse", disable=self.quiet, leave=False, mininterval=0.5
        ) as bar:
            return self.generator.sample(energies, rng, progress=bar.update), energies

    def __call__(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The same as tensors: counts int16, and standardised energies float32."""
        counts, energies = self.draw(epoch)
        return torch.from_numpy(counts), self.standardise(energies)


def synthetic_source(
    config: TrainConfig, data: TrainingData, folder: Path, resume: bool = False, quiet: bool = True
) -> SyntheticSource | None:
    """What the settings ask for (None without synthetic pulses); the generator is kept in `folder`."""
    if not config.fresh_pulses:
        return None
    generator = fit_or_load(config, data, folder, resume, quiet)
    span = energy_range(generator, config.synthetic_margin)
    return SyntheticSource(generator, config.fresh_pulses, span, config.seed, data.standardise, quiet)
