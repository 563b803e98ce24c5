"""One function for all estimators: the same held-out pulses, energy calibrated on training pulses, three metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from venom_hw.detector import PulseSet
from venom_hw.detector.cramer_rao import resolving_power_bound
from venom_hw.detector.resolving_power_metrics import METRICS
from venom_hw.detector.resolving_power_table import resolving_power_table
from venom_hw.model import VenomCheckpoint
from venom_hw.quantize.evaluate import fidelity

from .between import all_untrained, described
from .errors import EvaluationError
from .estimators import (
    FILTERS,
    FLOAT,
    GOLDEN,
    QUANTISED,
    Estimator,
    Progress,
    filter_estimators,
    float_estimator,
    golden_estimator,
    quantised_estimator,
    quantised_files,
)
from .models import float_model
from .report import EstimatorReport
from .sample import Sample, cut_to, full_windows, load_at, load_sample, simulated_preset, whole_traces


def evaluate_estimators(
    model: str | os.PathLike | VenomCheckpoint,
    data: str | os.PathLike | PulseSet | Sample,
    *,
    quantised: str | os.PathLike | None = None,
    between: str | os.PathLike | PulseSet | None = None,
    filters: Sequence[str] = tuple(FILTERS),
    bound: bool = True,
    n_boot: int = 200,
    level: float = 0.95,
    seed: int = 0,
    calibration_pulses: int = 1000,
    held_out_pulses: int | None = None,
    peak_sigma: float | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> EstimatorReport:
    """Resolving power and bias of optimal filters, float network, quantised network and golden integers.

    Everything is fitted (templates, noise, calibrations: splines through zero) on the training part of `data` and
    judged on its held-out part; the split is that of the model's training.

    Args:
        model: float model: checkpoint, its file, folder of its run, or a shipped name.
        data: folder of pulses, or a set loaded at the model's window, or what `load_sample` made of either (then
            calibration_pulses, held_out_pulses and peak_sigma are its own).
        quantised: folder of a quantised model (or shipped name): adds the Brevitas network and the golden integers.
        between: folder (or set) of pulses at energies between the lines; estimators that must be told a pulse's line
            are left out there.
        filters: kinds of optimal filter, of FILTERS.
        bound: add the Cramer-Rao bound of each line where the folder is simulated.
        n_boot, level, seed: of the bootstrap; all estimators share its resamples, so differences are paired.
        calibration_pulses: training pulses of each line for the networks' calibrations.
        held_out_pulses: the most held-out pulses of each line that are judged; default all.
        peak_sigma: clip of the judged pulses' heights; default the model's, 0 for none. Without it tails are judged
            too, and the bound holds for R by the rms error as well.
        progress: wraps ranges (tqdm); say: gets a line of text at each stage.

    Raises:
        EvaluationError, DataError, CheckpointError, ModelError: naming the file or field and what was expected.
    """
    checkpoint = float_model(model)
    say("loading pulses")
    if isinstance(data, Sample):
        sample = replace(data, notes=list(data.notes))
    else:
        sample = load_sample(
            checkpoint, data, calibration_pulses=calibration_pulses, held_out_pulses=held_out_pulses,
            peak_sigma=peak_sigma,
        )  # fmt: skip
    other = _between(checkpoint, between, sample)
    files = None if quantised is None else quantised_files(quantised)
    estimators = []
    for kind in filters:
        say(f"fitting {FILTERS.get(kind, kind)}")
        estimators += filter_estimators(sample, [kind])
    if filters and sample.pulses.noise is None:
        sample.notes.append(
            "No optimal filters: the folder has no noise windows (noise.npz, or a longer stretch before the pulses)."
        )
    say("calibrating the float network")
    estimators.append(float_estimator(checkpoint, sample))
    if files is not None:
        say("calibrating the quantised network")
        estimators.append(quantised_estimator(files, sample, progress))
        say("calibrating the golden integers")
        estimators.append(golden_estimator(files, sample))
    say("judging the held-out pulses")
    judged = sample.judged
    raw = {e.name: e.raw(judged.counts, judged.wl_ids) for e in estimators}
    estimates = {e.name: e.calibration(raw[e.name]) for e in estimators}
    settings = {"n_boot": n_boot, "level": level, "seed": seed}
    say("resolving powers and their intervals")
    tables = _tables(estimates, judged.energies, judged.wl_ids, judged.wl_labels, settings)
    lines = [judged.wl_ids == k for k in np.unique(judged.wl_ids)]
    slopes = {
        e.name: e.slopes([np.median(raw[e.name][rows]) for rows in lines])
        for e in estimators if e.name not in FILTERS.values()
    }  # fmt: skip
    integers = None
    if files is not None:
        differ = int((raw[QUANTISED] != raw[GOLDEN]).sum())
        follow = fidelity(estimates[QUANTISED], estimates[FLOAT], judged.wl_ids, judged.wl_labels)
        integers = {"windows": len(judged), "differ": differ, "fidelity_per_cent_of_sigma": follow.per_cent,
                    "fidelity_per_line": follow.per_line}
    preset = simulated_preset(sample.pulses) if bound else None
    if bound and preset is None and (sample.pulses.source or {}).get("simulated"):
        sample.notes.append("No Cramer-Rao bound: the folder's detector is described for another version.")
    if preset is not None:
        say("Cramer-Rao bound")
    if other is not None:
        say("judging pulses between the lines")
    between_tables = None if other is None else _judge_between(other, estimators, settings)
    bound_of = _bound(preset, sample, whole_traces(checkpoint))
    return EstimatorReport(
        tables=tables,
        estimates=estimates,
        energies=judged.energies,
        wl_ids=judged.wl_ids,
        bound=bound_of(tables["kde"].energies),
        between=between_tables,
        between_bound=None if between_tables is None else bound_of(between_tables["kde"].energies),
        integers=integers,
        slopes=slopes,
        notes=sample.notes,
        stored_R=sample.pulses.opt_R or None,
        provenance=_provenance(checkpoint, model, data, quantised, between, sample)
        | {"between_untrained": other is not None
           and all_untrained(checkpoint, sample.pulses.wl_labels, np.unique(other.energies))}
        | {"settings": settings | {"calibration_pulses": calibration_pulses, "filters": list(filters)}},
    )


def _tables(estimates, energies, wl_ids, labels, settings):
    return {m: resolving_power_table(estimates, energies, wl_ids, labels, metric=m, **settings) for m in METRICS}


def _between(checkpoint: VenomCheckpoint, between, sample: Sample) -> PulseSet | None:
    if between is None:
        return None
    length = sample.pulses.counts.shape[1]
    pulses = cut_to(load_at(checkpoint, between, sample.peak_sigma), length)
    pulses = pulses.select(full_windows(pulses))
    if not len(pulses):
        raise EvaluationError(f"{between}: no window of full length {length} between the lines")
    return pulses


def _judge_between(pulses: PulseSet, estimators: Sequence[Estimator], settings: dict):
    estimates = {e.name: e.energy(pulses.counts) for e in estimators if not e.needs_line}
    return _tables(estimates, pulses.energies, pulses.wl_ids, pulses.wl_labels, settings)


def _bound(preset, sample: Sample, whole: bool):
    """Function of energies (K,) -> R at the bound (K,), or None where the detector is not known. whole: the windows
    are whole traces, so the pulse lies where the preset puts it, not n_pre samples after their start."""
    if preset is None:
        return lambda energies: None
    window = sample.pulses.window
    if whole:
        window = replace(window, n_pre=min(preset.arrival_index // window.downsample, window.length - 1))
    return lambda energies: np.array([resolving_power_bound(preset, float(e), window) for e in energies])


def _provenance(checkpoint: VenomCheckpoint, model, data, quantised, between, sample: Sample) -> dict:
    def name(x):
        return None if x is None or isinstance(x, (PulseSet, Sample, VenomCheckpoint)) else Path(x).name

    ids, held = sample.pulses.wl_ids, sample.held_out
    return {
        "model": name(model),
        "model_data": {k: v for k, v in checkpoint.data.items() if k in ("preset", "version", "seed", "simulated")},
        "parameters": checkpoint.model.parameter_count(),
        "quantised": name(quantised),
        "data": name(data),
        "data_source": {k: v for k, v in (sample.pulses.source or {}).items()
                        if k in ("preset", "version", "seed", "pulses", "simulated")},
        "between": name(between),
        "between_source": {} if name(between) is None else described(between),
        "held_out": {label: int((ids[held] == k).sum()) for k, label in enumerate(sample.pulses.wl_labels)},
        "window": sample.pulses.window.to_dict(),
        "peak_sigma": sample.peak_sigma,
    }
