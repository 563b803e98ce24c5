"""Fresh synthetic pulses for every epoch, from a generator fitted to the training pulses and kept beside the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from venom_hw.detector import PulseSet

from .config import TrainConfig
from .data import TrainingData
from .errors import TrainError

GENERATOR_FILE = "generator.npz"
CHUNK = 4000  # pulses made at a time
STREAM = 0x5EED  # keeps these random numbers apart from every other use of the seed


class Generator(Protocol):
    """What a generator of `venom_hw.detector.synthetic` can do."""

    def sample(self, energies_ev: np.ndarray, rng: np.random.Generator) -> np.ndarray: ...

    def save(self, path: Path) -> None: ...


def generator_class(name: str) -> type:
    """The class of the setting `generator`."""
    from venom_hw.detector import synthetic

    return {"pca": synthetic.PcaGenerator, "template": synthetic.TemplateGenerator}[name]


def fit_or_load(config: TrainConfig, data: TrainingData, path: Path, resume: bool, quiet: bool) -> Generator:
    """The run's generator: read from `path` when the run goes on, else fitted to the training pulses and saved there.

    A generator that was just saved is read back, so a resumed run draws from the very same numbers. Raises TrainError
    if a run that goes on has lost it.
    """
    kind = generator_class(config.generator)
    if resume and not path.is_file():
        raise TrainError(f"{path}: no such file; expected the generator that this run was started with")
    if not resume:
        with tqdm(total=1, desc=f"fit the {config.generator} generator", unit="fit", disable=quiet, leave=False) as bar:
            fitted = kind.fit(data.lines, data.train_idx, n_components=config.n_components)
            bar.update()
        fitted.save(path)
    return kind.load(path)


def energy_range(pulses: PulseSet, margin: float) -> tuple[float, float]:
    """Lowest and highest energy in eV that is drawn: the lines' range, and beyond it by the factor `margin`."""
    return float(pulses.energies.min() / margin), float(pulses.energies.max() * margin)


class SyntheticSource:
    """`count` pulses an epoch at energies spread uniformly over [low, high] eV; (seed, epoch) decides every number."""

    def __init__(
        self,
        generator: Generator,
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
        parts = []
        with tqdm(
            total=self.count, desc="synthetic pulses", unit="pulse", disable=self.quiet, leave=False, mininterval=0.5
        ) as bar:
            for first in range(0, self.count, CHUNK):
                parts.append(self.generator.sample(energies[first : first + CHUNK], rng))
                bar.update(len(parts[-1]))
        return np.concatenate(parts), energies

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
    generator = fit_or_load(config, data, folder / GENERATOR_FILE, resume, quiet)
    span = energy_range(data.lines, config.synthetic_margin)
    return SyntheticSource(generator, config.fresh_pulses, span, config.seed, data.standardise, quiet)
