"""The estimators that are compared: optimal filters, the float network, the quantised one, the golden integers.

Each is a name and a function of windows to energy in eV, calibrated by a spline through zero on training pulses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.datapath.golden import Golden
from venom_hw.detector import fit_filter_baseline
from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.flow.model_files import ModelFiles, find_model
from venom_hw.interchange.importer import import_venom
from venom_hw.model import VenomCheckpoint
from venom_hw.quantize.checkpoint import load_quantised
from venom_hw.quantize.evaluate import predict as predict_quantised

from .errors import EvaluationError
from .sample import Sample

FILTERS = {
    "shared": "OF, shared template",
    "per_wavelength": "OF, template per wavelength",
    "iq": "OF, I/Q with noise covariance",
}
FLOAT, QUANTISED, GOLDEN = "VENOM float", "VENOM quantised", "VENOM golden (integers)"
BOUND = "Cramer-Rao bound"
STORED = "stored filter R"  # of the folder's metadata.json

SLOPE_STEP = 0.02  # relative, about half a line's width
SLOPES = (0.75, 1.33)  # of a network's calibration, outside which a report warns

Progress = Callable[[range], Sequence]


@dataclass(frozen=True)
class Estimator:
    """raw(counts (N, L, 2), wl_ids (N,) or None) -> (N,) eV as the estimator gives it, and calibration of that.

    needs_line: has to be told each pulse's line, so it says nothing about photons of other energies.
    """

    name: str
    raw: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    calibration: Callable[[np.ndarray], np.ndarray] = np.asarray
    needs_line: bool = False

    def energy(self, counts: np.ndarray, wl_ids: np.ndarray | None = None) -> np.ndarray:
        """Calibrated energies (N,) in eV."""
        return self.calibration(self.raw(counts, wl_ids))

    def slopes(self, raw) -> tuple[float, float]:
        """(smallest, largest) slope of the calibration just below and just above the raw energies (K,).

        A network that knows energies has slopes near 1. One that shrinks them towards the middle has a calibration
        that is steep between the lines and flat below the lowest, where it squeezes what scatters and inflates R.
        """
        raw = np.asarray(raw, float)
        step = SLOPE_STEP * np.abs(raw)
        here = self.calibration(raw)
        both = np.stack([(here - self.calibration(raw - step)) / step, (self.calibration(raw + step) - here) / step])
        return float(both.min()), float(both.max())


def filter_estimators(sample: Sample, kinds: Sequence[str]) -> list[Estimator]:
    """The optimal filters named in `kinds` (keys of FILTERS), fitted to the training pulses.

    None for pulses without noise windows: a filter's weights come from the noise's spectrum.
    """
    found = []
    for kind in kinds:
        if kind not in FILTERS:
            raise EvaluationError(f"filter {kind!r}: expected one of {', '.join(FILTERS)}")
        if sample.pulses.noise is None:
            continue
        try:
            baseline = fit_filter_baseline(sample.pulses, sample.train, kind=kind)
        except ValueError as error:
            raise EvaluationError(f"{FILTERS[kind]}: {error}") from error
        found.append(Estimator(FILTERS[kind], baseline.predict, needs_line=baseline.needs_lines))
    return found


def network_estimator(name: str, raw: Callable[[np.ndarray], np.ndarray], sample: Sample) -> Estimator:
    """A network's own energies `raw`, calibrated on the sample's calibration pulses."""
    pulses, some = sample.pulses, sample.calibration
    found = raw(pulses.counts[some])
    try:
        calibration = EnergyCalibration.fit(found, pulses.energies[some])
    except ValueError as error:
        raise EvaluationError(f"{name}: its energies cannot be calibrated on these lines: {error}") from error
    return Estimator(name, lambda counts, _: raw(counts), calibration)


def float_estimator(model: VenomCheckpoint, sample: Sample) -> Estimator:
    return network_estimator(FLOAT, lambda counts: model.predict(counts)[0], sample)


def quantised_estimator(files: ModelFiles, sample: Sample, progress: Progress | None = None) -> Estimator:
    """The Brevitas network of a quantised model's checkpoint, in float64: exact."""
    if files.checkpoint is None:
        raise EvaluationError(f"{files.step.parent}: model.safetensors is missing; expected a folder that "
                              "python -m venom_hw.quantize wrote")
    network = load_quantised(files.checkpoint).network
    return network_estimator(
        QUANTISED, lambda counts: predict_quantised(network, counts, progress=progress)[0], sample
    )


def golden_estimator(files: ModelFiles, sample: Sample) -> Estimator:
    """The integers of the model's QONNX files, executed by the golden model: what the gateware gives."""
    datapath = import_venom(files.step, files.head)
    golden = Golden(datapath.step, datapath.head)
    node = datapath.head[dict(datapath.head.outputs)["energy"]]

    def raw(counts):
        return node.type.to_value(golden.run(counts).outputs["energy"]).reshape(len(counts))

    return network_estimator(GOLDEN, raw, sample)


def quantised_files(quantised: str | Path) -> ModelFiles:
    """The files of a shipped quantised model (ptsi, or ptsi-quantised) or of a folder."""
    name = str(quantised)
    return find_model(name if Path(name).is_dir() else name.removesuffix("-quantised"))
