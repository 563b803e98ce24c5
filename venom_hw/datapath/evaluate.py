"""What each operation computes, on int64: the reference. The engines of `golden` are the fast ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from venom_hw.datapath.fixed import Overflow, Rounding
from venom_hw.datapath.ops import Call, alignment, collapse, full_frac, shift_left


def round_shift(x: np.ndarray, drop: int | np.ndarray, rounding: Rounding) -> np.ndarray:
    """int64 x / 2**drop, rounded; drop may be negative (an exact left shift) and may differ by element."""
    drop = np.asarray(drop, np.int64)
    right, left = np.maximum(drop, 0), np.maximum(-drop, 0)
    floor = x >> right
    if rounding is Rounding.HALF_EVEN:
        rest = x - (floor << right)
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), np.iinfo(np.int64).max)
        floor = floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    return floor << left


def _batched(call: Call, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Elements of lower rank get axes of 1 after the batch axis, so that broadcasting pairs the trailing axes."""
    rank = max(len(a.shape) for a in call.args)
    lift = lambda v, shape: v.reshape(v.shape[:1] + (1,) * (rank - len(shape)) + v.shape[1:])  # noqa: E731
    return [lift(v, a.shape) for v, a in zip(values, call.args, strict=True)]


def _aligned(call: Call, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    _, shifts = alignment(*call.args)
    return [shift_left(v, s) for v, s in zip(_batched(call, values), shifts, strict=True)]


def gather(entries: np.ndarray, index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """entries[index] for shared entries (E,) or entries per element (E, *elem), elem broadcasting to `shape`."""
    if entries.ndim == 1:
        return np.broadcast_to(entries[index], index.shape[:1] + shape)
    elem = np.broadcast_to(entries, (entries.shape[0],) + shape).reshape(entries.shape[0], -1)
    index = np.broadcast_to(index, index.shape[:1] + shape).reshape(index.shape[0], -1)
    return elem[index, np.arange(elem.shape[1])].reshape(index.shape[:1] + shape)


def evaluate(call: Call, values: Sequence[np.ndarray]) -> np.ndarray:
    """Integers of a node from the integers of its inputs, each (batch, *shape) int64. Not for input and state."""
    return _EVALUATE[call.op](call, values)


def _eval_constmatmul(call: Call, values):
    (x,) = values
    (facts,) = call.args
    frac, weights = facts.type.frac, call.constants[call.attrs["weights"]]
    if not isinstance(frac, int):
        x = shift_left(x, facts.type.max_frac - np.broadcast_to(frac, facts.shape))
    return x @ weights.T


def _eval_matmul(call: Call, values):
    return np.matmul(values[0], values[1])


def _eval_table(call: Call, values):
    (index,) = values
    (facts,) = call.args
    entries = call.constants[call.attrs["entries"]]
    return gather(entries, index.reshape(index.shape[:1] + _lead(facts.shape, call.shape)) - facts.type.lo, call.shape)


def _lead(shape: tuple[int, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (len(like) - len(shape)) + tuple(shape)


def round_only(call: Call, x: np.ndarray) -> np.ndarray:
    """A requantise before its saturation."""
    drop = collapse(np.asarray(call.args[0].type.frac) - np.asarray(call.type.frac))
    return round_shift(x, drop, Rounding(call.attrs["rounding"]))


def _eval_requantise(call: Call, values):
    return np.clip(round_only(call, values[0]), *call.type.limits(Overflow(call.attrs["overflow"])))


def _eval_reduce(call: Call, values):
    (x,) = values
    (facts,) = call.args
    axis, keep = call.attrs["axis"], call.attrs["keepdims"]
    if not isinstance(facts.type.frac, int):
        frac = full_frac(facts)
        x = shift_left(x, frac.max(axis=axis, keepdims=True) - frac)
    return (x.sum if call.attrs["kind"] == "sum" else x.max)(axis=axis + 1, keepdims=keep)


def bit_length(x: np.ndarray) -> np.ndarray:
    """Number of bits of each non-negative int64."""
    out = np.zeros(x.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        big = (x >> step) > 0
        out += np.where(big, step, 0)
        x = np.where(big, x >> step, x)
    return out + (x > 0)


def _eval_normalise(call: Call, values):
    return call.args[0].type.width - np.maximum(bit_length(values[0]), 1)


def _eval_slice(call: Call, values):
    take = [slice(None)] * (len(call.args[0].shape) + 1)
    take[call.attrs["axis"] + 1] = slice(call.attrs["start"], call.attrs["stop"])
    return values[0][tuple(take)]


_EVALUATE: dict[str, Callable] = {
    "constant": lambda call, values: call.constants[call.attrs["key"]][None],
    "constmatmul": _eval_constmatmul,
    "matmul": _eval_matmul,
    "add": lambda call, values: np.add(*_aligned(call, values)),
    "sub": lambda call, values: np.subtract(*_aligned(call, values)),
    "mul": lambda call, values: np.multiply(*_batched(call, values)),
    "maximum": lambda call, values: np.maximum(*_aligned(call, values)),
    "accumulate": lambda call, values: values[0] + values[1],
    "table": _eval_table,
    "requantise": _eval_requantise,
    "reduce": _eval_reduce,
    "normalise": _eval_normalise,
    "shift": lambda call, values: np.left_shift(*_batched(call, values)),
    "slice": _eval_slice,
    "concat": lambda call, values: np.concatenate(_same_batch(values), axis=call.attrs["axis"] + 1),
    "reshape": lambda call, values: values[0].reshape((values[0].shape[0],) + tuple(call.attrs["shape"])),
}


def _same_batch(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    batch = max(v.shape[0] for v in values)
    return [np.broadcast_to(v, (batch,) + v.shape[1:]) for v in values]
