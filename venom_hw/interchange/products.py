"""Products of two variables: the datapath multiplies matrices, attention as many pairs of them as it has heads."""

from __future__ import annotations

import math

import onnx

from venom_hw.interchange.lowering import Lowering


def products(im: Lowering, node: onnx.NodeProto, a: str, b: str) -> str:
    """a @ b of two variables: matrices, or as many matrices on both sides (heads), each with its own."""
    one, other = im.shape(a), im.shape(b)
    if len(one) == len(other) == 2:
        return im.builder.matmul(a, b, name=im.name("matmul"))
    if len(one) != len(other) or len(one) < 2 or one[:-2] != other[:-2]:
        raise im.file.refuse(node, f"of {one} and {other}: expected the same axes in front of the matrices")
    heads = math.prod(one[:-2])
    a = im.builder.reshape(a, (heads, *one[-2:]), name=im.name("heads"))
    b = im.builder.reshape(b, (heads, *other[-2:]), name=im.name("heads"))
    parts = []
    for k in range(heads):
        left, right = (
            im.builder.reshape(im.builder.slice(x, 0, k, k + 1, name=im.name("head")), shape[-2:], name=im.name("head"))
            for x, shape in ((a, one), (b, other))
        )
        part = im.builder.matmul(left, right, name=im.name("head_product"))
        parts.append(im.builder.reshape(part, (1, *im.shape(part)), name=im.name("head")))
    every = im.builder.concat(parts, 0, name=im.name("head_products"))
    return im.builder.reshape(every, (*one[:-1], other[-1]), name=im.name("matmul"))
