"""Formats and the Brevitas quantiser: the same integers as NumPy, saturation and ties included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from venom_hw.quantize.formats import FormatError, TensorFormat, frac_for, quantise
from venom_hw.quantize.quantisers import brevitas_factory, brevitas_quantiser


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(2, 16),
    frac=st.integers(-8, 20),
    signed=st.booleans(),
    rounding=st.sampled_from(["half_even", "floor"]),
    seed=st.integers(0, 999),
)
def test_brevitas_equals_numpy(bits, frac, signed, rounding, seed):
    fmt = TensorFormat(bits, frac, signed, rounding)
    rng = np.random.default_rng(seed)
    span = 2.0 ** (bits + 1)  # half of the values saturate
    halves = np.rint(rng.uniform(-span, span, 500) * 2) / 2  # half of them ties
    codes = np.concatenate([halves, rng.uniform(-span, span, 500)])
    x = codes * fmt.lsb
    got = brevitas_quantiser(fmt).double()(torch.from_numpy(x)).detach().numpy()
    assert np.array_equal(got, quantise(x, fmt) * fmt.lsb)
    low, high = fmt.code_range
    assert got.min() == low * fmt.lsb and got.max() == high * fmt.lsb


def test_half_to_even_then_saturate():
    fmt = TensorFormat(4, 0)
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 7.4, 7.6, -8.4, -8.6])
    assert quantise(x, fmt).tolist() == [0, 2, 2, 0, -2, 7, 7, -8, -8]
    assert brevitas_quantiser(fmt)(torch.from_numpy(x).float()).tolist() == [0, 2, 2, 0, -2, 7, 7, -8, -8]


def test_array_scales_broadcast():
    frac = np.arange(6).reshape(1, 3, 2)
    fmt = TensorFormat(8, frac)
    x = np.random.default_rng(0).normal(0, 40, (5, 3, 2))
    got = brevitas_quantiser(fmt).double()(torch.from_numpy(x)).numpy()
    assert np.array_equal(got, quantise(x, fmt) * fmt.lsb)


def test_gradient_is_straight_through_inside_the_range():
    x = torch.tensor([7.4, 7.6, -8.4, -8.6, 0.3], requires_grad=True)
    brevitas_quantiser(TensorFormat(4, 0))(x).sum().backward()
    assert x.grad.tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("limit", [1.0, 0.999, 0.996, 1e-6, 127.0, 127.6, 3.14159])
def test_frac_is_the_largest_that_holds_the_limit(limit, signed):
    frac = frac_for(limit, 8, signed)
    low, top = TensorFormat(8, frac, signed).code_range
    assert np.rint(limit * 2.0**frac) <= top < np.rint(limit * 2.0 ** (frac + 1))
    assert frac_for(limit, 8, signed, guard=2) == frac - 2


def test_round_trip_and_equality():
    for fmt in (TensorFormat(8, 3), TensorFormat(16, np.arange(6).reshape(1, 3, 2), False, "floor")):
        assert TensorFormat.from_dict(fmt.to_dict()) == fmt
    assert TensorFormat(8, 3) != TensorFormat(8, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, 0), "bits"),
        ((30, 0), "bits"),
        ((8, 0.5), "frac"),
        ((8, 99), "frac"),
        ((8, 0, True, "nearest"), "rounding"),
    ],
)
def test_impossible_formats_are_refused(arguments, words):
    with pytest.raises(FormatError, match=words):
        TensorFormat(*arguments)


def test_factory_names_the_tensor():
    make = brevitas_factory({"a.q_x": TensorFormat(8, 0)})
    with pytest.raises(FormatError, match="a.q_y"):
        make("a.q_y", "x", (), True)
    with pytest.raises(FormatError, match="a.q_x.*unsigned"):
        make("a.q_x", "x", (), False)
