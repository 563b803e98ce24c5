"""The primitive operations: what each computes on integers, and the tightest interval that its result can take.

A new rendering has to learn exactly this table. Every operation is exact on integers, except `requantise`, the only
place where bits are dropped, and `table`, whose entries were computed once, elsewhere.

============== =========================== =======================================================================
op             inputs                      meaning (values; integers are aligned to a common LSB first)
============== =========================== =======================================================================
input          -                           a sample from outside; `type` given
constant       -                           attrs key
state          -                           the value that the paired node had one step before, 0 at a window's start
constmatmul    x (..., K)                  x @ W.T, attrs weights (R, K) and weights_type -> (..., R)
matmul         a (M, K), b (K, N)          product of two variables -> (M, N)
add sub mul    a, b                        elementwise, broadcasting
maximum        a, b                        elementwise
accumulate     state, term                 state + term; width proven from max_steps
table          code                        entries[code - lo(code type)], one entry for each code, maybe per element
requantise     x                           to `type`: round (attrs rounding), then saturate (attrs overflow)
reduce         x                           attrs kind sum | max, axis, keepdims
normalise      x (unsigned)                left shift that brings the leading one to the top bit (x = 0: width - 1)
shift          x, s                        x * 2**(s - attrs offset): integers x << s, frac + offset
slice          x                           attrs axis, start, stop
concat         x, y, ...                   attrs axis
reshape        x                           attrs shape (row-major)
============== =========================== =======================================================================

Axes count the axes of one element of a batch: values carry one more axis in front, the batch of windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.datapath.fixed import FixedPointError, FixedType, Overflow, Rounding, smallest_type


class DatapathError(ValueError):
    """A graph that is not well formed, or an operation used with operands it cannot take."""


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor before anything runs: shape of one element of the batch, type, integer bounds."""

    shape: tuple[int, ...]
    type: FixedType
    lo: np.ndarray
    hi: np.ndarray

    @classmethod
    def of_type(cls, shape: Sequence[int], type_: FixedType) -> Facts:
        """Nothing known but the format: the bounds are the format's range."""
        shape = tuple(int(s) for s in shape)
        return cls(shape, type_, np.full(shape, type_.lo, np.int64), np.full(shape, type_.hi, np.int64))

    @classmethod
    def of_bounds(cls, lo: np.ndarray, hi: np.ndarray, frac: int | np.ndarray) -> Facts:
        """The narrowest type for these bounds (Python integers or int64)."""
        lo, hi = np.asarray(lo, object), np.asarray(hi, object)
        type_ = smallest_type(lo.min(), hi.max(), collapse(frac))
        return cls(lo.shape, type_, lo.astype(np.int64), hi.astype(np.int64))


def _big(x: np.ndarray) -> np.ndarray:
    """Python integers, so that bounds cannot overflow before they are checked."""
    return x.astype(object)


def collapse(frac: int | np.ndarray) -> int | np.ndarray:
    """An int when every element agrees."""
    arr = np.asarray(frac)
    return int(arr.flat[0]) if arr.size and arr.min() == arr.max() else arr.astype(np.int64)


def full_frac(facts: Facts) -> np.ndarray:
    return np.broadcast_to(np.asarray(facts.type.frac, np.int64), facts.shape)


def alignment(*facts: Facts) -> tuple[int | np.ndarray, list[int | np.ndarray]]:
    """Common `frac` of operands that are added or compared, and each operand's constant left shift to reach it."""
    fracs = [np.asarray(f.type.frac, np.int64) for f in facts]
    common = fracs[0]
    for frac in fracs[1:]:
        common = np.maximum(common, frac)
    return collapse(common), [collapse(common - frac) for frac in fracs]


def shift_left(x: np.ndarray, amount: int | np.ndarray) -> np.ndarray:
    """x * 2**amount for amount >= 0, on int64 or on Python integers (object arrays)."""
    if isinstance(amount, int) and amount == 0:
        return x
    return x * (np.asarray(1, x.dtype) << np.asarray(amount, x.dtype))


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


# ---------------------------------------------------------------------------------------------------------------
# evaluation on int64 (the reference; venom_hw.datapath.golden is the fast one)
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One node, with everything an evaluation or an interval rule needs."""

    name: str
    op: str
    attrs: Mapping[str, object]
    args: tuple[Facts, ...]
    constants: Mapping[str, np.ndarray]
    max_steps: int
    type: FixedType | None = None  # of table, requantise, input, state: given, not derived
    shape: tuple[int, ...] | None = None

    def fail(self, message: str) -> DatapathError:
        return DatapathError(f"node {self.name!r} ({self.op}): {message}")


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


# ---------------------------------------------------------------------------------------------------------------
# interval rules
# ---------------------------------------------------------------------------------------------------------------


def infer(call: Call) -> Facts:
    """Shape, type and bounds of a node's result.

    Raises:
        DatapathError: operands that the operation cannot take, or a result wider than 62 bits.
    """
    rule = _INFER.get(call.op)
    if rule is None:
        raise call.fail(f"unknown operation; the operations are {', '.join(sorted(_INFER))}")
    try:
        return rule(call)
    except FixedPointError as error:
        raise call.fail(str(error)) from error
    except (ValueError, IndexError) as error:
        if isinstance(error, DatapathError):
            raise
        raise call.fail(f"operands of shapes {[a.shape for a in call.args]}: {error}") from error


def _infer_given(call: Call) -> Facts:
    if call.type is None or call.shape is None:
        raise call.fail("needs a shape and a type")
    np.broadcast_shapes(np.shape(call.type.frac), call.shape)
    return Facts.of_type(call.shape, call.type)


def _infer_constant(call: Call) -> Facts:
    value = call.constants[call.attrs["key"]]
    if value.size and (value.min() < call.type.lo or value.max() > call.type.hi):
        raise call.fail(f"integers {value.min()}..{value.max()} do not fit {call.type}")
    return Facts(value.shape, call.type, value, value)


def _infer_constmatmul(call: Call) -> Facts:
    (x,) = call.args
    weights = _big(call.constants[call.attrs["weights"]])
    weights_type = FixedType.from_dict(call.attrs["weights_type"])
    if weights.ndim != 2 or not x.shape or x.shape[-1] != weights.shape[1]:
        raise call.fail(f"weights of shape {weights.shape} do not multiply a tensor of shape {x.shape}")
    if not np.ndim(weights_type.frac) <= 1:
        raise call.fail("the weights' frac is one int, or one a row")
    lo, hi = _big(x.lo), _big(x.hi)
    if not isinstance(x.type.frac, int):
        shift = x.type.max_frac - full_frac(x).astype(object)
        lo, hi = lo * (1 << shift), hi * (1 << shift)
    positive, negative = np.maximum(weights, 0).T, np.minimum(weights, 0).T
    frac = x.type.max_frac + np.asarray(weights_type.frac)
    return Facts.of_bounds(lo @ positive + hi @ negative, hi @ positive + lo @ negative, frac)


def _products(a: Facts, b: Facts):
    return [_big(p) * _big(q) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]


def _infer_mul(call: Call) -> Facts:
    a, b = call.args
    if call.attrs.get("square"):
        ends = [_big(a.lo) ** 2, _big(a.hi) ** 2]
        hi = np.maximum(*ends)
        lo = np.where((a.lo <= 0) & (a.hi >= 0), 0, np.minimum(*ends))
    else:
        ends = _products(a, b)
        lo, hi = np.minimum.reduce(ends), np.maximum.reduce(ends)
    return Facts.of_bounds(lo, hi, np.asarray(a.type.frac) + np.asarray(b.type.frac))


def _infer_matmul(call: Call) -> Facts:
    a, b = call.args
    for facts in (a, b):
        if not facts.type.is_uniform or len(facts.shape) != 2:
            raise call.fail("needs two matrices with one frac each")
    column = lambda f: Facts((f.shape[0], f.shape[1], 1), f.type, f.lo[..., None], f.hi[..., None])  # noqa: E731
    row = lambda f: Facts((1, *f.shape), f.type, f.lo[None], f.hi[None])  # noqa: E731
    if a.shape[1] != b.shape[0]:
        raise call.fail(f"shapes {a.shape} and {b.shape} do not multiply")
    ends = _products(column(a), row(b))
    lo, hi = np.minimum.reduce(ends).sum(axis=1), np.maximum.reduce(ends).sum(axis=1)
    return Facts.of_bounds(lo, hi, a.type.frac + b.type.frac)


def _aligned_bounds(call: Call):
    frac, shifts = alignment(*call.args)
    scaled = [
        (_big(a.lo) * (1 << np.asarray(s, object)), _big(a.hi) * (1 << np.asarray(s, object)))
        for a, s in zip(call.args, shifts, strict=True)
    ]
    return frac, scaled


def _infer_add(call: Call) -> Facts:
    frac, ((alo, ahi), (blo, bhi)) = _aligned_bounds(call)
    return Facts.of_bounds(alo + blo, ahi + bhi, frac)


def _infer_sub(call: Call) -> Facts:
    frac, ((alo, ahi), (blo, bhi)) = _aligned_bounds(call)
    return Facts.of_bounds(alo - bhi, ahi - blo, frac)


def _infer_maximum(call: Call) -> Facts:
    frac, ((alo, ahi), (blo, bhi)) = _aligned_bounds(call)
    return Facts.of_bounds(np.maximum(alo, blo), np.maximum(ahi, bhi), frac)


def accumulator_type(term: Facts, max_steps: int) -> FixedType:
    """The narrowest type that `max_steps` terms, starting from zero, cannot overflow."""
    return smallest_type(
        max_steps * min(int(term.lo.min()), 0), max_steps * max(int(term.hi.max()), 0), term.type.frac
    )


def _infer_accumulate(call: Call) -> Facts:
    state, term = call.args
    if state.shape != term.shape or not np.array_equal(full_frac(state), full_frac(term)):
        raise call.fail(f"state {state.shape} {state.type} and term {term.shape} {term.type} differ in shape or LSB")
    lo = np.asarray(call.max_steps * np.minimum(_big(term.lo), 0), object)
    hi = np.asarray(call.max_steps * np.maximum(_big(term.hi), 0), object)
    if int(lo.min()) < state.type.lo or int(hi.max()) > state.type.hi:
        raise call.fail(f"{call.max_steps} terms reach {lo.min()}..{hi.max()}, beyond the state's {state.type}")
    return Facts(state.shape, state.type, lo.astype(np.int64), hi.astype(np.int64))


def _infer_table(call: Call) -> Facts:
    (code,) = call.args
    entries = call.constants[call.attrs["entries"]]
    size = code.type.hi - code.type.lo + 1
    if entries.shape[0] != size:
        raise call.fail(f"{entries.shape[0]} entries for a code of {size} values ({code.type})")
    if entries.min() < call.type.lo or entries.max() > call.type.hi:
        raise call.fail(f"entries {entries.min()}..{entries.max()} do not fit {call.type}")
    shape = np.broadcast_shapes(code.shape, entries.shape[1:])
    if call.shape is not None and tuple(call.shape) != shape:
        raise call.fail(f"declared shape {call.shape}, operands give {shape}")
    reach = entries[int(code.lo.min()) - code.type.lo : int(code.hi.max()) - code.type.lo + 1]
    lo = np.broadcast_to(reach.min(axis=0), shape)
    hi = np.broadcast_to(reach.max(axis=0), shape)
    return Facts(shape, call.type, lo.astype(np.int64), hi.astype(np.int64))


def _infer_requantise(call: Call) -> Facts:
    (x,) = call.args
    lo = _eval_requantise(call, [np.broadcast_to(x.lo, x.shape)[None]])[0]
    hi = _eval_requantise(call, [np.broadcast_to(x.hi, x.shape)[None]])[0]
    drop = np.asarray(x.type.frac) - np.asarray(call.type.frac)
    if (drop < 0).any() and x.type.width - int(drop.min()) > 62:
        raise call.fail(f"the left shift by {-int(drop.min())} leaves 62 bits")
    return Facts(x.shape, call.type, lo, hi)


def _infer_reduce(call: Call) -> Facts:
    (x,) = call.args
    axis, keep = int(call.attrs["axis"]), bool(call.attrs["keepdims"])
    if not 0 <= axis < len(x.shape):
        raise call.fail(f"axis {axis} of a tensor of shape {x.shape}")
    frac = full_frac(x)
    top = frac.max(axis=axis, keepdims=True)
    shift = 1 << (top - frac).astype(object)
    lo, hi = _big(x.lo) * shift, _big(x.hi) * shift
    pick = (lambda v: v.sum(axis=axis, keepdims=keep)) if call.attrs["kind"] == "sum" else None
    pick = pick or (lambda v: v.max(axis=axis, keepdims=keep))
    return Facts.of_bounds(pick(lo), pick(hi), top if keep else top.squeeze(axis))


def _infer_normalise(call: Call) -> Facts:
    (x,) = call.args
    if x.type.signed or not x.type.is_uniform:
        raise call.fail(f"needs an unsigned operand with one frac, not {x.type}")
    high = np.full(x.shape, x.type.width - 1, np.int64)
    return Facts(x.shape, smallest_type(0, x.type.width - 1, 0), np.zeros(x.shape, np.int64), high)


def _infer_shift(call: Call) -> Facts:
    x, s = call.args
    if s.type.signed or s.type.frac != 0:
        raise call.fail(f"the shift amount is an unsigned integer, not {s.type}")
    amount = int(s.hi.max())
    frac = np.asarray(x.type.frac) + int(call.attrs["offset"])
    if call.attrs.get("normalised"):  # s is the normalise of x itself: the result stays within x's own width
        shape = np.broadcast_shapes(x.shape, s.shape)
        return Facts.of_bounds(np.full(shape, 0), np.full(shape, x.type.hi), frac)
    limit = call.attrs.get("limit")  # proven bound of |x << s|, e.g. |num| <= c * den and den << s < 2**K
    lo, hi = _big(np.minimum(x.lo, 0)) << amount, _big(np.maximum(x.hi, 0)) << amount
    if limit is not None:
        lo, hi = np.maximum(lo, -int(limit)), np.minimum(hi, int(limit))
    shape = np.broadcast_shapes(x.shape, s.shape)
    return Facts.of_bounds(np.broadcast_to(lo, shape), np.broadcast_to(hi, shape), frac)


def _moved(call: Call, move: Callable[[np.ndarray], np.ndarray]) -> Facts:
    (x,) = call.args
    lo, hi = move(x.lo), move(x.hi)
    type_ = FixedType(x.type.signed, x.type.width, collapse(move(full_frac(x))))
    return Facts(lo.shape, type_, lo, hi)


def _infer_slice(call: Call) -> Facts:
    axis, start, stop = (int(call.attrs[k]) for k in ("axis", "start", "stop"))
    shape = call.args[0].shape
    if not (0 <= axis < len(shape) and 0 <= start < stop <= shape[axis]):
        raise call.fail(f"[{start}:{stop}] on axis {axis} of shape {shape}")
    take = tuple(slice(start, stop) if i == axis else slice(None) for i in range(len(shape)))
    return _moved(call, lambda v: v[take])


def _infer_concat(call: Call) -> Facts:
    axis = int(call.attrs["axis"])
    signed = any(a.type.signed for a in call.args)
    width = max(a.type.width + int(signed and not a.type.signed) for a in call.args)
    join = lambda parts: np.concatenate(parts, axis=axis)  # noqa: E731
    frac = collapse(join([full_frac(a) for a in call.args]))
    lo, hi = join([a.lo for a in call.args]), join([a.hi for a in call.args])
    return Facts(lo.shape, FixedType(signed, width, frac), lo, hi)


_INFER: dict[str, Callable[[Call], Facts]] = {
    "input": _infer_given,
    "state": _infer_given,
    "constant": _infer_constant,
    "constmatmul": _infer_constmatmul,
    "matmul": _infer_matmul,
    "add": _infer_add,
    "sub": _infer_sub,
    "mul": _infer_mul,
    "maximum": _infer_maximum,
    "accumulate": _infer_accumulate,
    "table": _infer_table,
    "requantise": _infer_requantise,
    "reduce": _infer_reduce,
    "normalise": _infer_normalise,
    "shift": _infer_shift,
    "slice": _infer_slice,
    "concat": _infer_concat,
    "reshape": lambda call: _moved(call, lambda v: v.reshape(tuple(call.attrs["shape"]))),
}

OPERATIONS = tuple(_INFER)
