"""The tightest interval, and so the type, that the result of each operation can take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from venom_hw.datapath.evaluate import evaluate
from venom_hw.datapath.fixed import FixedPointError, FixedType, smallest_type
from venom_hw.datapath.ops import Call, DatapathError, Facts, alignment, collapse, full_frac


def big(x: np.ndarray) -> np.ndarray:
    """Python integers, so that bounds cannot overflow before they are checked."""
    return x.astype(object)


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
    weights = big(call.constants[call.attrs["weights"]])
    weights_type = FixedType.from_dict(call.attrs["weights_type"])
    if weights.ndim != 2 or not x.shape or x.shape[-1] != weights.shape[1]:
        raise call.fail(f"weights of shape {weights.shape} do not multiply a tensor of shape {x.shape}")
    if not np.ndim(weights_type.frac) <= 1:
        raise call.fail("the weights' frac is one int, or one a row")
    lo, hi = big(x.lo), big(x.hi)
    if not isinstance(x.type.frac, int):
        shift = x.type.max_frac - full_frac(x).astype(object)
        lo, hi = lo * (1 << shift), hi * (1 << shift)
    positive, negative = np.maximum(weights, 0).T, np.minimum(weights, 0).T
    frac = x.type.max_frac + np.asarray(weights_type.frac)
    return Facts.of_bounds(lo @ positive + hi @ negative, hi @ positive + lo @ negative, frac)


def _products(a: Facts, b: Facts):
    return [big(p) * big(q) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]


def _infer_mul(call: Call) -> Facts:
    a, b = call.args
    if call.attrs.get("square"):
        ends = [big(a.lo) ** 2, big(a.hi) ** 2]
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
        (big(a.lo) * (1 << np.asarray(s, object)), big(a.hi) * (1 << np.asarray(s, object)))
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
    lo = np.asarray(call.max_steps * np.minimum(big(term.lo), 0), object)
    hi = np.asarray(call.max_steps * np.maximum(big(term.hi), 0), object)
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
    lo = evaluate(call, [np.broadcast_to(x.lo, x.shape)[None]])[0]
    hi = evaluate(call, [np.broadcast_to(x.hi, x.shape)[None]])[0]
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
    lo, hi = big(x.lo) * shift, big(x.hi) * shift
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
    lo, hi = big(np.minimum(x.lo, 0)) << amount, big(np.maximum(x.hi, 0)) << amount
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
