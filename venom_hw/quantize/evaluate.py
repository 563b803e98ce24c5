"""How well the quantised network follows the float one: fidelity, resolving power, and the final linear
recalibration.

Two numbers are always given (``spec/quantization.md``): fidelity, the rms difference of the energy estimates
in per cent of the float estimator's sigma, and the relative change of the mean resolving power with a paired
bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.resolving_power_table import ResolvingPowerTable, resolving_power_table

from .formats import TensorFormat, frac_for
from .network import QuantVenom
from .quantisers import brevitas_quantiser

CONSTANTS = ("energy_gain", "energy_offset", "logvar_gain", "logvar_offset")
FLOAT, QUANTISED = "float", "quantised"


def predict(
    network: QuantVenom, counts: np.ndarray, batch: int = 64, progress: Callable[[range], Any] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Exact outputs (float64 arithmetic, whole windows): energy (N,) eV and log variance (N,) of counts (N,
    L, 2).
    """
    network = network.double().eval()
    parts = []
    starts = range(0, len(counts), batch)
    with torch.no_grad():
        for start in progress(starts) if progress else starts:
            x = network.embed(torch.from_numpy(np.ascontiguousarray(counts[start : start + batch])))
            parts.append([out[:, 0].numpy() for out in network.window(x)])
    network.float()
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@dataclass
class Fidelity:
    """rms of (quantised - float) / sigma, sigma the float estimator's standard deviation at each line; in per
    cent.
    """

    per_cent: float
    offset_per_cent: float
    per_line: dict[str, float]
    max_ev: float

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def fidelity(quantised: np.ndarray, reference: np.ndarray, wl_ids: np.ndarray, labels: list[str]) -> Fidelity:
    """Compare energies (N,) in eV; ``offset_per_cent`` is the part of the rms that is a constant shift of
    each line.
    """
    difference = quantised - reference
    scaled, shift, per_line = np.empty_like(difference), np.empty_like(difference), {}
    for line in np.unique(wl_ids):
        rows = wl_ids == line
        scaled[rows] = difference[rows] / reference[rows].std()
        shift[rows] = scaled[rows].mean()
        per_line[labels[line]] = float(100 * np.sqrt(np.mean(scaled[rows] ** 2)))
    return Fidelity(
        float(100 * np.sqrt(np.mean(scaled**2))),
        float(100 * np.sqrt(np.mean(shift**2))),
        per_line,
        float(np.abs(difference).max()),
    )


def line_calibration(prediction: np.ndarray, energies: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Spline through zero from training pulses; the identity when the medians do not rise with energy."""
    try:
        return EnergyCalibration.fit(prediction, energies)
    except ValueError:
        return np.asarray


def compare(
    train: dict[str, np.ndarray],
    held_out: dict[str, np.ndarray],
    train_energy: np.ndarray,
    energy: np.ndarray,
    wl_ids: np.ndarray,
    labels: list[str],
    metric: str = "kde",
    bootstrap: int = 300,
) -> ResolvingPowerTable:
    """Resolving power of estimators {name: energies} on held-out pulses, each calibrated to energy on
    training pulses.
    """
    calibrated = {name: line_calibration(train[name], train_energy)(held_out[name]) for name in held_out}
    return resolving_power_table(calibrated, energy, wl_ids, labels, metric=metric, n_boot=bootstrap)


def recalibrate(
    network: QuantVenom,
    formats: dict[str, TensorFormat],
    energy: np.ndarray,
    logvar: np.ndarray,
    target_energy: np.ndarray,
    target_logvar: np.ndarray,
) -> dict[str, float]:
    """Fit target = slope * energy + offset (weights 1/sigma^2) on training pulses and absorb it in gain and
    offset.

    The log variance gets the mean difference as offset.  The four constants keep 16 bits but get new binary
    points, so ``formats`` and the network's four quantisers change.  Returns the fitted numbers.
    """
    weight = np.exp(-0.5 * target_logvar)
    design = np.stack([energy, np.ones_like(energy)], 1) * weight[:, None]
    slope, offset = np.linalg.lstsq(design, target_energy * weight, rcond=None)[0]
    shift = float(np.mean(target_logvar - logvar))
    head = network.head
    with torch.no_grad():
        now = {name: float(getattr(head, name)()) for name in CONSTANTS}
    values = now | {
        "energy_gain": now["energy_gain"] * slope,
        "energy_offset": now["energy_offset"] * slope + offset,
        "logvar_offset": now["logvar_offset"] + shift,
    }
    for name, value in values.items():
        old = formats[f"head.{name}"]
        formats[f"head.{name}"] = TensorFormat(
            old.bits, frac_for(value, old.bits, old.signed), old.signed, old.rounding
        )
        parameter = getattr(head, name)
        parameter.quant = brevitas_quantiser(formats[f"head.{name}"], f"head.{name}").to(
            parameter.value.dtype
        )
        with torch.no_grad():
            parameter.value.fill_(value)
    return {"slope": float(slope), "offset_ev": float(offset), "logvar_shift": shift}
