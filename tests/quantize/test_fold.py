"""Folded parameters compute what the float model computes, before any rounding."""

import numpy as np
import pytest
import torch

from tests.quantize.sample import NORMALISATION, WINDOW, float_weights, pulses
from venom_hw.model.checkpoint import VenomCheckpoint
from venom_hw.model.network import MKIDEnergySSM
from venom_hw.quantize.calibrate import load_parameters
from venom_hw.quantize.fold import fold_weights, network_shape
from venom_hw.quantize.network import QuantVenom
from venom_hw.quantize.quantisers import observer_factory


@pytest.mark.parametrize("sizes", [{}, {"n_layers": 2, "expand": 2, "d_model": 8, "d_state": 4, "d_conv": 3}])
def test_unrounded_network_equals_the_float_model(sizes):
    model = MKIDEnergySSM(**sizes)
    model.load_state_dict(float_weights(**sizes))
    checkpoint = VenomCheckpoint(model.double(), WINDOW, NORMALISATION)
    counts = pulses(20, seed=2)
    energy, logvar = checkpoint.predict(counts)

    shape = network_shape(model.config, 24, 12)
    network = QuantVenom(shape, observer_factory({})).double()
    load_parameters(network, fold_weights(model.state_dict(), shape, NORMALISATION))
    with torch.no_grad():
        ours = network.window(network.embed(torch.from_numpy(counts)))
    assert np.abs(ours[0][:, 0].numpy() - energy).max() < 1e-6 * energy.std()
    assert np.abs(ours[1][:, 0].numpy() - logvar).max() < 1e-6
