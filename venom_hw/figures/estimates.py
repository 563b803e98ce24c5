"""Energies of the held-out pulses by each estimator, all calibrated to energy on training pulses only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from venom_hw.detector import (
    PulseSet,
    ResolvingPowerTable,
    compute_resolving_power,
    fit_filter_baseline,
    load_pulse_set,
    resolving_power_table,
)
from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.model import VenomCheckpoint

from .held_out import HeldOut

VENOM = "VENOM"
SHARED, PER_LINE = "optimal filter, shared template", "optimal filter, one template a line"
CALIBRATION_PULSES = 2000  # of each line
NEIGHBOURHOOD = 1e-6  # relative: energies closer than this are one line


@dataclass(frozen=True)
class Estimates:
    """values {name: (N,) eV} of the same held-out pulses; energies (N,) true; table of R; between: rows {energy_eV,
    estimator, R, bias_eV, pulses} at energies that no training pulse has; bound (lines,) R that no estimator exceeds,
    or None."""

    values: dict[str, np.ndarray]
    energies: np.ndarray
    table: ResolvingPowerTable
    between: list[dict] = field(default_factory=list)
    bound: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        return list(self.values)

    def to_dict(self) -> dict:
        return {"R": self.table.to_dict(), "between": self.between,
                "bound": None if self.bound is None else [float(b) for b in self.bound]}  # fmt: skip


def estimate(
    checkpoint: VenomCheckpoint, held: HeldOut, *, between: Path | None = None, bound: bool = True, n_boot: int = 200,
    progress: Callable[[str], None] | None = None,
) -> Estimates:  # fmt: skip
    """The network and the optimal filters on the same pulses; the bound where the folder is a simulated one.

    progress(what) is called before each part. Raises DataError for unusable pulses.
    """
    say = progress or (lambda what: None)
    pulses, shown = held.pulses, held.shown
    say("VENOM")
    lines = pulses.wl_ids[held.train_idx]
    some = np.concatenate([held.train_idx[lines == k][:CALIBRATION_PULSES] for k in np.unique(lines)])
    calibration = EnergyCalibration.fit(
        checkpoint.predict(pulses.counts[some], lengths=pulses.lengths[some])[0], pulses.energies[some]
    )

    def network(some: PulseSet) -> np.ndarray:
        return calibration(checkpoint.predict(some.counts, lengths=some.lengths)[0])

    values = {VENOM: network(shown)}
    say("optimal filters")
    shared = fit_filter_baseline(pulses, held.train_idx)
    values[SHARED] = shared.predict(shown.counts)
    values[PER_LINE] = fit_filter_baseline(pulses, held.train_idx, per_wavelength=True).predict(
        shown.counts, shown.wl_ids
    )
    say("intervals")
    table = resolving_power_table(values, shown.energies, shown.wl_ids, shown.wl_labels, n_boot=n_boot)
    rows = []
    if between is not None:
        say("energies between the lines")
        test = load_pulse_set(between, window=pulses.window, peak_sigma=0)
        rows = _between(test, pulses, {VENOM: network, SHARED: lambda some: shared.predict(some.counts)})
    limits = None
    if bound:
        say("bound")
        limits = line_bounds(pulses, table)
    return Estimates(values, shown.energies, table, rows, limits)


def _between(test: PulseSet, lines: PulseSet, estimators: dict[str, Callable]) -> list[dict]:
    """R and bias at each energy of `test` that lies within the lines' range and is none of them."""
    known = np.unique(lines.energies)
    rows = []
    for energy in np.unique(test.energies):
        inside = known.min() < energy < known.max() and np.abs(known / energy - 1).min() > NEIGHBOURHOOD
        some = test.select(np.flatnonzero(test.energies == energy))
        if not inside:
            continue
        for name, predict in estimators.items():
            found = predict(some)
            rows.append({
                "energy_eV": float(energy), "estimator": name, "pulses": len(some),
                "R": float(compute_resolving_power(found, float(energy))),
                "bias_eV": float(np.median(found) - energy),
            })  # fmt: skip
    return rows


def line_bounds(pulses: PulseSet, table: ResolvingPowerTable) -> np.ndarray | None:
    """Cramer-Rao bound of each line of a simulated folder (its preset and version), None for a measured one."""
    from venom_hw.detector.cramer_rao import resolving_power_bound
    from venom_hw.detector.presets import find_preset

    source = pulses.source or {}
    if "preset" not in source:
        return None
    preset = find_preset(source["preset"], source.get("version"))
    return np.array([resolving_power_bound(preset, float(e), pulses.window) for e in table.energies])
