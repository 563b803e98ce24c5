"""The quantised network: whole window = sample by sample, and near the float network when bits are plentiful."""

import numpy as np
import pytest
import torch

from tests.quantize.sample import NORMALISATION, float_weights, pulses, quantised
from venom_hw.quantize.calibrate import observe
from venom_hw.quantize.fold import fold_weights, network_shape
from venom_hw.quantize.layers import QuantParameter
from venom_hw.quantize.shape import NetworkError, NetworkShape


@pytest.mark.parametrize(
    "sizes", [{}, {"n_layers": 2, "expand": 2, "d_model": 8, "d_state": 4, "d_conv": 3, "hidden": 16}]
)
def test_window_equals_recurrent_exactly(sizes):
    network = quantised(**sizes)[0].double()
    counts = torch.from_numpy(pulses(40, seed=5))
    with torch.no_grad():
        whole, steps = network.window(network.embed(counts)), network.recurrent(counts)
    assert all(torch.equal(a, b) for a, b in zip(whole, steps, strict=True))
    assert whole[0].std() > 0


def test_saturating_inputs_stay_exact():
    network = quantised()[0].double()
    counts = torch.from_numpy(np.random.default_rng(0).integers(-32768, 32768, (32, 24, 2)).astype(np.int16))
    with torch.no_grad():
        whole, steps = network.window(network.embed(counts)), network.recurrent(counts)
    assert all(torch.equal(a, b) for a, b in zip(whole, steps, strict=True))


def test_valid_mask_equals_short_windows(small):
    network = small[0].double()
    counts = torch.from_numpy(pulses(12, seed=7))
    length = 9
    valid = (torch.arange(24) < length).double()[:, None, None].expand(24, 12, 1)
    with torch.no_grad():
        masked, short = network.window(network.embed(counts), valid), network.recurrent(counts[:, :length])
    network.float()
    assert all(torch.equal(a, b) for a, b in zip(masked, short, strict=True))


def test_gradients_reach_every_trained_parameter(small):
    network = quantised()[0]
    energy, logvar = network.window(network.embed(torch.from_numpy(pulses(32))))
    (energy.sum() + logvar.sum()).backward()
    lost = [
        n
        for n, p in network.named_parameters()
        if "affine" not in n and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    assert lost == []


def test_more_bits_come_closer_to_the_unrounded_network():
    """Unrounded (observers) against quantised: few bits are far, many bits near.  Guards every fold and every
    table.
    """
    from venom_hw.quantize.calibrate import load_parameters
    from venom_hw.quantize.network import QuantVenom
    from venom_hw.quantize.quantisers import observer_factory

    counts = torch.from_numpy(pulses(64, seed=3))
    errors = []
    wide = [
        f"tensors.{k}.bits=18"
        for k in (
            "res",
            "c",
            "rs",
            "n",
            "xi",
            "z",
            "u",
            "xa",
            "B",
            "C",
            "delta",
            "g",
            "dx",
            "h",
            "y",
            "gz",
            "o",
            "fc",
            "frs",
            "f",
            "s",
            "inv",
            "nn",
            "p",
            "a1",
            "g1",
            "a2",
            "g2",
            "out",
            "in",
            "v",
            "fv",
        )
    ]
    wide += [
        f"weights.{k}.bits=18"
        for k in (
            "w_input",
            "w_x",
            "w_z",
            "w_conv",
            "w_B",
            "w_C",
            "w_dt",
            "w_A",
            "w_D",
            "w_out",
            "w_score",
            "w_fc1",
            "w_fc2",
            "w_fc3",
            "w_calibration",
            "bias",
            "w_affine",
        )
    ]
    wide += ["tensors.zt={bits=18, frac=14}", "tensors.e={bits=18, frac=18}", "tensors.m={bits=18, frac=18}"]
    for overrides in (wide, ()):
        network, _, parameters, _ = quantised(overrides=overrides)
        exact = QuantVenom(network.shape, observer_factory({})).double()
        load_parameters(exact, dict(parameters))
        with torch.no_grad():
            reference = exact.window(exact.embed(counts))[0]
            errors.append(float((network.double().recurrent(counts)[0] - reference).std() / reference.std()))
    assert errors[0] < 0.005 and 1.5 * errors[0] < errors[1] < 0.5, errors


def test_snap_changes_no_output(small):
    network = small[0].double()
    counts = torch.from_numpy(pulses(8))
    with torch.no_grad():
        before = network.recurrent(counts)
        network.snap()
        after = network.recurrent(counts)
        for module in network.modules():
            if isinstance(module, QuantParameter):
                assert torch.equal(module.value, module())
                assert not ((module.value == 0) & torch.signbit(module.value)).any()
    network.float()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_d_model_must_be_a_power_of_two():
    with pytest.raises(NetworkError, match="d_model = 12.*power of two"):
        NetworkShape(d_model=12)


def test_missing_and_misshapen_tensors_are_named():
    weights = float_weights()
    shape = network_shape(
        {"d_model": 16, "d_state": 8, "n_layers": 1, "d_conv": 4, "expand": 1, "d_head_hidden": 32}, 24, 12
    )
    without = {k: v for k, v in weights.items() if k != "head.query"}
    with pytest.raises(NetworkError, match="head.query"):
        fold_weights(without, shape, NORMALISATION)
    with pytest.raises(NetworkError, match="log_neg_A"):
        fold_weights(weights | {"backbone.layers.0.log_neg_A": torch.zeros(4, 8)}, shape, NORMALISATION)
    with pytest.raises(NetworkError, match="iq_std"):
        fold_weights(weights, shape, NORMALISATION | {"iq_std": [1.0, 0.0]})


def test_calibrated_ranges_hold_what_was_seen(small):
    _, formats, parameters, _ = small
    seen = observe(parameters, small[0].shape, torch.from_numpy(pulses(64)))
    for name, observer in seen.items():
        fmt = formats[name]
        top = fmt.code_range[1] * np.asarray(fmt.lsb)
        if observer.tensor_class not in ("zt", "e", "m", "mu", "g"):
            assert (observer.limit <= top + np.asarray(fmt.lsb) / 2).all(), name
        if observer.tensor_class == "h":  # one guard bit
            assert (2 * observer.limit <= top + 2 * np.asarray(fmt.lsb)).all()
