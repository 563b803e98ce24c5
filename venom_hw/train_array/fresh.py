"""Fresh synthetic pulses of each pixel: its own generator, fitted to its training pulses, kept beside its model."""

from __future__ import annotations

from pathlib import Path

from venom_hw.detector.synthetic import GENERATORS
from venom_hw.train import TrainConfig
from venom_hw.train.data import TrainingData
from venom_hw.train.synthetic_source import GENERATOR_FILE, SyntheticSource, energy_range


def pixel_generator(config: TrainConfig, data: TrainingData, seed: int, folder: Path, resume: bool):
    """What the settings ask for (None without synthetic pulses), as venom_hw.train draws it for this seed.

    The generator is written to `folder` and read back, so that a group that goes on (`resume`) draws the very same
    pulses. Raises DataError for pulses that no generator can be fitted to.
    """
    if not config.fresh_pulses:
        return None
    kind, path = GENERATORS[config.generator], folder / GENERATOR_FILE
    if not (resume and path.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        kind.fit(data.lines, data.train_idx, n_components=config.n_components).save(path)
    generator = kind.load(path)
    span = energy_range(generator, config.synthetic_margin)
    return SyntheticSource(generator, config.fresh_pulses, span, seed, data.standardise)
