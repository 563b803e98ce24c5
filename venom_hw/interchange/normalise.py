"""The normalise pattern of a QONNX file: x times the power of two that brings another tensor's leading one to the top.

In the file: Mul(x, Gather(powers, Cast(ReduceSum(Cast(GreaterOrEqual(den, thresholds)))))), `thresholds` all powers of
two that den can reach and `powers` falling by half: x * 2**-(floor(log2 den) + constant), exact in floating point. In
the datapath: a leading-zero count of den and a shift of x.
"""

from __future__ import annotations

import numpy as np
import onnx

from venom_hw.interchange.lowering import Lowering


def normalised(im: Lowering, node, x: str, gathered: onnx.NodeProto) -> str:
    """x * powers[sum(den >= thresholds)] = x * 2**-(floor(log2 den) + constant)."""
    powers, (den, thresholds) = im.file.constant(gathered.input[0]), _comparison(im, node, gathered)
    den = im.lower(den)
    type_ = im.builder.facts[den].type
    mantissa, exponent = np.frexp(powers)
    levels = np.ldexp(thresholds.ravel(), type_.max_frac)
    covered = {int(t) for t in levels} >= {1 << j for j in range(1, type_.width)}
    whole_powers = (np.frexp(levels)[0] == 0.5).all() and (levels >= 1).all()
    halving = (mantissa == 0.5).all() and (np.diff(exponent) == -1).all() and powers.size >= levels.size
    if type_.signed or not (covered and whole_powers and halving):
        raise im.file.refuse(
            node, "normalises by thresholds that are not all the powers of two of an unsigned tensor's range"
        )
    below = int((levels <= 1).sum())  # thresholds that any den >= 1 passes
    offset = type_.width - 1 + below - (int(exponent.flat[0]) - 1)
    key = f"normalise:{den}"
    if key not in im.tensor:
        im.tensor[key] = im.builder.normalise(den, name=im.name("leading_zeros"))
    return im.builder.shift(im.lower(x), im.tensor[key], offset=offset, name=im.name("shifted"))


def _comparison(im: Lowering, node: onnx.NodeProto, gathered: onnx.NodeProto) -> tuple[str, np.ndarray]:
    """(den, thresholds) of the comparison that a Gather's index counts."""
    index = gathered.input[1]
    for expected in (("Cast",), ("ReduceSum",), ("Cast",), ("GreaterOrEqual",)):
        producer = im.file.producer.get(index)
        if producer is None or producer.op_type not in expected:
            if expected == ("Cast",):
                continue
            raise im.file.refuse(node, f"multiplies by a Gather without {expected[0]} before it: no normalise")
        if producer.op_type == "GreaterOrEqual":
            thresholds = im.file.constant(producer.input[1])
            if thresholds is None:
                raise im.file.refuse(producer, "compares two variables")
            return producer.input[0], thresholds
        index = producer.input[0]
    raise im.file.refuse(node, "multiplies by a Gather that is no normalise pattern")
