"""Holds an exported encoder to the network it came from: every integer of every quantiser, at many lengths."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from venom_hw.interchange.execute import Executor
from venom_hw.quantize.formats import TensorFormat
from venom_hw.quantize.verify import Comparison, SaturationCounter, compare_quantisers

from .calibrate import Curve, padded
from .files import FEATURE_INPUTS, INPUTS
from .network import QuantEncoder

LENGTHS = (1, 3, 26, 100, 257)


@dataclass
class EncoderVerification(Comparison):
    """A comparison over single lengths and padded batches.

    ``padding_mismatches``: integers of fingerprints that depend on what they were padded to.
    """

    cases: list[str] = field(default_factory=list)
    sources: int = 0
    padding_mismatches: int = 0


def curves_of_length(curves: Sequence[Curve], length: int, count: int, seed: int = 0) -> list[Curve]:
    """``count`` curves of ``length`` rows: beginnings of real ones, or, where none is long enough, rows of several in
    the order of their times.
    """
    rng = np.random.default_rng([seed, length])
    long = [c for c in curves if len(c["x"]) >= length]
    chosen = [{**long[k], "x": long[k]["x"][:length]} for k in rng.permutation(len(long))[:count]]
    rows = np.concatenate([c["x"] for c in curves])
    while len(chosen) < count:
        made = rows[rng.integers(0, len(rows), length)]
        chosen.append({**curves[len(chosen) % len(curves)], "x": made[np.argsort(made[:, 0], kind="stable")]})
    return chosen


def file_inputs(network: QuantEncoder, curves: Sequence[Curve], length: int | None = None) -> dict[str, np.ndarray]:
    """Inputs of the file by name, padded to the longest curve or to ``length``."""
    return dict(zip(INPUTS + FEATURE_INPUTS, (v.numpy() for v in _arguments(network, curves, length)), strict=False))


def _arguments(network: QuantEncoder, curves: Sequence[Curve], length: int | None) -> list[torch.Tensor]:
    return [v.double() for v in network.arguments(**padded(curves, length))]


def verify_file(
    network: QuantEncoder,
    formats: Mapping[str, TensorFormat],
    path: str | os.PathLike,
    curves: Sequence[Curve],
    *,
    lengths: Sequence[int] = LENGTHS,
    count: int = 2,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> EncoderVerification:
    """Run network (float64) and file side by side: ``count`` curves of each length, padded batches of all lengths and
    of 16 real curves, and inputs far out of range.  Saturations are counted over the unpadded ones in range.

    The network comes back in float32.
    """
    file = Executor(path)
    network = network.double().eval()
    result = EncoderVerification()
    lengths = sorted({min(n, network.shape.max_len) for n in lengths})
    of_length = {n: curves_of_length(curves, n, count) for n in lengths}
    rng = np.random.default_rng(1)
    wild = [{k: rng.normal(0, 50, (n, *v.shape[1:]) if k == "x" else v.shape) for k, v in curves[0].items()
             if isinstance(v, np.ndarray)} for n in (1, 7, min(40, network.shape.max_len))]  # fmt: skip
    mixed = [x for several in of_length.values() for x in several]
    some = [curves[k] for k in rng.permutation(len(curves))[:16]]
    if network.shape.features:  # and light curves without features
        some = [{**c, "gp_features": c["gp_features"] * (k % 2)} for k, c in enumerate(some)]
    cases = [(f"length {n}", several, True) for n, several in of_length.items()]
    cases += [("lengths mixed", mixed, False), ("real curves mixed", some, False), ("out of range", wild, False)]
    alone: dict[int, np.ndarray] = {}
    saturation = SaturationCounter(network, dict(formats))
    try:
        for where, several, counted in progress(cases) if progress else cases:
            feeds = file_inputs(network, several)
            with saturation if counted else contextlib.nullcontext():
                out = compare_quantisers(network, file, feeds, result, where)
            if counted:
                alone[feeds["x"].shape[1]] = out["fingerprint"]
            if where == "lengths mixed":
                apart = np.concatenate([alone[n] for n in lengths])
                result.padding_mismatches += int((apart != out["fingerprint"]).sum())
            result.cases.append(where)
            result.sources += len(feeds["x"])
    finally:
        network.float()
    result.saturations = {k: v for k, v in saturation.counts.items() if v["saturated"]}
    return result


def max_error_in_float32(network: QuantEncoder, curves: Sequence[Curve]) -> int:
    """Largest difference, in units of the fingerprint, between the network in float32 and in float64."""
    feeds = padded(curves)
    single = network.float().embed(**feeds).double()
    exact = network.double().embed(**feeds)
    network.float()
    lsb = float(network.q_z.act_quant.scale())
    return int(((single - exact).abs() / lsb).max())
