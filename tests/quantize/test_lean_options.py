"""The options that make the gateware smaller: shared and limited scales, balanced states, no zero decay, half units."""

import numpy as np
import pytest
import torch

from tests.quantize.sample import NORMALISATION, float_weights, pulses, quantised
from venom_hw.interchange.importer import import_venom
from venom_hw.quantize.calibrate import balance, load_parameters, observe
from venom_hw.quantize.checkpoint import QuantisedCheckpoint, load_quantised, save_quantised
from venom_hw.quantize.files import write_qonnx
from venom_hw.quantize.fold import fold_weights, network_shape
from venom_hw.quantize.formats import FormatError, TensorFormat
from venom_hw.quantize.network import QuantVenom
from venom_hw.quantize.quantisers import observer_factory
from venom_hw.quantize.recipe import RecipeError, load_recipe, shipped_recipes
from venom_hw.quantize.verify import verify_files

LEAN = ("tensors.g.minimum=1", 'tensors.dx.scale="channel"', "tensors.h.spread=1", "tensors.h.balance=true")
DECAY, STATE, DRIVE = (f"step.layers.0.q_{t}" for t in ("g", "h", "dx"))
SIZES = {"d_model": 16, "d_state": 8, "n_layers": 1, "d_conv": 4, "expand": 1, "d_head_hidden": 32}


@pytest.fixture(scope="module")
def lean():
    return quantised(overrides=(*LEAN, 'tensors.h.rounding="floor"', 'tensors.u.rounding="floor"'))


def test_files_of_a_lean_network_are_exact_and_survive_the_checkpoint(lean, tmp_path):
    network, formats, _, recipe = lean
    window = {"length": 24}
    path = save_quantised(
        tmp_path / "m.safetensors",
        QuantisedCheckpoint("lean", network, formats, recipe.to_dict(), window, NORMALISATION),
    )
    loaded = load_quantised(path)
    assert loaded.formats == formats and loaded.formats[DECAY].minimum == 1
    files = write_qonnx(loaded.network, loaded.formats, tmp_path, model="lean", window=window)
    check = verify_files(network, formats, *files, pulses(12, seed=4))
    assert check.mismatches == check.window_form_mismatches == 0, check.first
    decay = import_venom(*files).step["g"]
    entries = import_venom(*files).step.constants[decay.attrs["entries"]]
    assert entries.min() == 1 and entries.max() <= decay.type.hi


def test_without_a_minimum_the_decay_tables_reach_zero(tmp_path):
    network, formats, _, _ = quantised()
    step = import_venom(*write_qonnx(network, formats, tmp_path, model="m", window={"length": 24})).step
    assert step.constants[step["g"].attrs["entries"]].min() == 0


def test_scales_are_shared_and_limited_as_asked(lean):
    formats, default = lean[1], quantised()[1]
    frac = formats[STATE].frac[0]
    assert (np.ptp(frac, axis=1) <= 1).all() and np.ptp(frac) > 1
    assert (np.ptp(default[STATE].frac[0], axis=1) > 1).any()
    assert formats[DRIVE].frac.shape == (1, 16) and isinstance(default[DRIVE].frac, int)
    assert formats[DRIVE].frac.min() == default[DRIVE].frac  # the widest channel decides what all would share
    shared = quantised(overrides=["tensors.h.spread=0"])[1][STATE].frac[0]
    assert (np.ptp(shared, axis=1) == 0).all()
    assert np.array_equal(shared[:, 0], default[STATE].frac[0].min(axis=1))


def test_a_percentile_still_works_for_one_scale_of_dx():
    tight = quantised(overrides=["tensors.dx.percentile=90"])[1][DRIVE].frac
    assert tight > quantised()[1][DRIVE].frac


def test_balance_keeps_the_function_and_evens_the_states():
    shape = network_shape(SIZES, 24, 12)
    weights = float_weights()
    scale = torch.tensor([1.0, 16, 1, 1, 1, 0.125, 1, 1])[:, None]  # two states of another size
    weights["backbone.layers.0.B_proj.weight"] = weights["backbone.layers.0.B_proj.weight"] * scale
    parameters = fold_weights(weights, shape, NORMALISATION)
    counts = torch.from_numpy(pulses(32))
    before = observe(parameters, shape, counts)
    balanced = balance(parameters, shape, before)
    after = observe(balanced, shape, counts)

    def energies(values):
        network = QuantVenom(shape, observer_factory({})).double()
        load_parameters(network, values)
        with torch.no_grad():
            return network.window(network.embed(counts))

    for one, other in zip(energies(parameters), energies(balanced), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    spread = [np.ptp(np.log2(seen[STATE].limit[0]), axis=1).mean() for seen in (before, after)]
    assert spread[1] < spread[0] - 2
    key = "step.layers.0.b_proj.weight.value"
    octaves = torch.log2(parameters[key] / balanced[key])
    assert torch.equal(octaves, octaves.round()) and octaves.abs().max() >= 2


def test_floor_behind_a_bias_rounds_half_up():
    """The bias carries the half unit: floor then differs from rounding to nearest at ties only."""
    nearest, floor = quantised()[0].double(), quantised(overrides=['tensors.xi.rounding="floor"'])[0].double()
    layers = [network.step.layers[0] for network in (nearest, floor)]
    gap = layers[1].x_proj.bias.value - layers[0].x_proj.bias.value
    half = 0.5 * quantised()[1]["step.layers.0.q_xi"].lsb
    assert torch.allclose(gap, torch.full_like(gap, half))
    r = layers[0].q_r(torch.randn(500, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        a, b = (layer.project(r)[0] for layer in layers)
    exact = layers[0].x_proj(layers[0].norm(r)) / (2 * half)
    ties = exact - exact.floor() == 0.5
    assert torch.equal(a[~ties], b[~ties]) and (~ties).float().mean() > 0.9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tensors.y.minimum=1", r"y.minimum: only g can have it"),
        ("tensors.g.minimum=256", "g.minimum = 256: expected 0 to 255"),
        ("tensors.h.minimum=1", "only g"),
        ('tensors.y.scale="channel"', r"y.scale: only dx can have it"),
        ('tensors.dx.scale="row"', "dx.scale = 'row': expected 'tensor' or 'channel'"),
        ("tensors.h.spread=-1", "h.spread = -1: expected 0 to 20"),
        ("tensors.xa.spread=1", "xa.spread: only h, g can have it"),
        ("tensors.h.balance=1", "h.balance = 1: expected bool"),
        ("tensors.B.balance=true", "B.balance: only h can have it"),
    ],
)
def test_errors_name_the_key(text, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe(overrides=[text])


def test_a_minimum_outside_the_codes_is_refused():
    with pytest.raises(FormatError, match="minimum = 300"):
        TensorFormat(8, 8, signed=False, minimum=300)


def test_shipped_recipes_are_found_by_name():
    assert "default" in shipped_recipes()
    assert load_recipe("default") == load_recipe()
    with pytest.raises(RecipeError, match="shipped recipes: .*default"):
        load_recipe("nonexistent")
