"""The linear recurrence as an associative scan in MLX: all samples at once, no division, no loop over samples.

Blelloch 1990, Hillis and Steele 1986: two steps (a1, b1), (a2, b2) of h -> a h + b are one step (a2 a1, a2 b1 + b2).
Doubling within segments, then a carry from segment to segment, which is exact for decays that underflow.
"""

from __future__ import annotations

import mlx.core as mx

SEGMENT = 64  # samples; six doublings, whatever the window's length


def _shifted(x: mx.array, by: int, fill: float) -> mx.array:
    """x (..., S, segment, E, N) moved `by` samples later along the segment, `fill` before the first."""
    pad = mx.full((*x.shape[:2], by, *x.shape[3:]), fill, dtype=x.dtype)
    return mx.concatenate([pad, x[:, :, :-by]], axis=2)


def linear_scan(a: mx.array, b: mx.array, segment: int = SEGMENT) -> mx.array:
    """h[t] = a[t] h[t-1] + b[t] from h = 0; a, b and the result (batch, length, E, N)."""
    batch, length, *rest = a.shape
    segment = min(segment, length)
    missing = -length % segment
    if missing:
        a = mx.concatenate([a, mx.ones((batch, missing, *rest), dtype=a.dtype)], axis=1)
        b = mx.concatenate([b, mx.zeros((batch, missing, *rest), dtype=b.dtype)], axis=1)
    a, b = (v.reshape(batch, -1, segment, *rest) for v in (a, b))
    by = 1
    while by < segment:
        b = b + a * _shifted(b, by, 0.0)
        a = a * _shifted(a, by, 1.0)
        by *= 2
    segments, carry = [b[:, 0]], b[:, 0, -1]
    for k in range(1, b.shape[1]):
        segments.append(b[:, k] + a[:, k] * carry[:, None])
        carry = segments[-1][:, -1]
    return mx.concatenate(segments, axis=1)[:, :length]
