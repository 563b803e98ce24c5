"""The quantised checkpoint rebuilds the same network from the file alone; the recipe is checked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import APPLECIDER
from rtf_models.data.inputs import InputSpec
from rtf_models.embedding import embed_sources
from rtf_models.errors import CheckpointError
from rtf_models.quantize.calibrate import RECIPES, build_encoder
from rtf_models.quantize.checkpoint import QuantisedCheckpoint, load_quantised, save_quantised
from rtf_models.quantize.evaluate import fidelity, float_embeddings, nearest, quantised_embeddings
from rtf_models.quantize.shape import EncoderError
from rtf_models.quantize.sizes import sizes
from venom_hw.quantize.checkpoint import write_tensors
from venom_hw.quantize.recipe import RecipeError, load_recipe


@pytest.fixture
def checkpoint(quantised):
    network = build_encoder(quantised.shape, quantised.formats, quantised.parameters).eval()
    recipe, inputs = quantised.recipe.to_dict(), InputSpec(zero_point=18.0)
    return QuantisedCheckpoint("tiny", "ae", network, quantised.formats, recipe, inputs, APPLECIDER, {"seed": 1})


def test_round_trip(checkpoint, tmp_path, toy_sources):
    path = save_quantised(tmp_path / "model.safetensors", checkpoint)
    loaded = load_quantised(path)
    assert loaded.header() == checkpoint.header()
    ours, theirs = (quantised_embeddings(c, toy_sources) for c in (checkpoint, loaded))
    assert np.array_equal(ours.embeddings, theirs.embeddings)
    codes = loaded.codes(theirs.embeddings)
    assert codes.dtype == np.int8 and np.array_equal(codes * loaded.scale, theirs.embeddings)
    assert save_quantised(tmp_path / "again.safetensors", loaded).read_bytes() == path.read_bytes()


def test_embedding_of_batches_is_that_of_each_alone(checkpoint, toy_sources):
    together = quantised_embeddings(checkpoint, toy_sources).embeddings
    alone = [quantised_embeddings(checkpoint, [s]).embeddings[0] for s in toy_sources[:6]]
    assert np.array_equal(together[:6], alone)
    prefix = quantised_embeddings(checkpoint, toy_sources[:6], 3).embeddings
    assert np.array_equal(prefix, quantised_embeddings(checkpoint, [s.prefix(3) for s in toy_sources[:6]]).embeddings)
    assert embed_sources(checkpoint, toy_sources[:2], reconstruct=False).embeddings.shape == (2, 8)


def test_features_of_a_prefix_are_those_of_the_prefix(tiny, make_source):
    """Vectors of whole light curves (the original's files) must not reach the first n detections."""
    rng = np.random.default_rng(7)
    model = tiny.model(gp_dim=114, n_encoder_layers=1, d_model=16, d_ff=16)
    made = tiny.quantised(model, tiny.curves(features=114, longest=20))
    inputs = InputSpec(zero_point=18.0, features="file")
    quantised = QuantisedCheckpoint("tiny", "ae", made.network, made.formats, made.recipe.to_dict(), inputs, APPLECIDER)
    floats = Checkpoint(model, inputs, APPLECIDER)
    sources = [make_source(rng, int(n), object_id=f"s{n}") for n in rng.integers(8, 30, 6)]
    whole = [replace(s, features=rng.normal(0, 2, (1, 114)), feature_counts=[len(s)]) for s in sources]
    other = [replace(s, features=rng.normal(0, 2, (1, 114)), feature_counts=[len(s)]) for s in sources]
    for embed, checkpoint in ((float_embeddings, floats), (quantised_embeddings, quantised)):
        of_whole, of_other, of_prefix = (
            embed(checkpoint, some, counts).embeddings
            for some, counts in ((whole, 5), (other, 5), ([s.prefix(5) for s in whole], None))
        )
        assert np.array_equal(of_whole, of_other) and np.array_equal(of_whole, of_prefix)
        assert (embed(checkpoint, whole).embeddings != embed(checkpoint, other).embeddings).any(1).all()


def test_a_light_curve_longer_than_the_sums_hold_is_refused(checkpoint, make_source):
    """Proven for 257 detections: 257 pass, 258 do not, padded or not, and the source is named."""
    rng = np.random.default_rng(1)
    encoder = checkpoint.model
    encoder.embed(torch.zeros(1, 257, 7))
    with pytest.raises(EncoderError, match="light curve 1 of the batch: 258 detections in 258 .* at most 257"):
        encoder.embed(torch.zeros(2, 258, 7), torch.tensor([[False] * 200 + [True] * 58, [False] * 258]))
    for call in (encoder.arguments, encoder.embed, lambda x: encoder(x, torch.zeros(x.shape[:2]))):
        with pytest.raises(EncoderError, match="at most 257"):
            call(torch.zeros(1, 258, 7))
    short, longest, long = (make_source(rng, n, object_id=f"ZTF{n}") for n in (20, 257, 258))
    every = replace(checkpoint, inputs=replace(checkpoint.inputs, horizon=None))
    assert len(quantised_embeddings(every, [short, longest])) == 2
    with pytest.raises(EncoderError, match="source ZTF258: 258 detections; expected at most 257, .*counts=257"):
        quantised_embeddings(every, [short, long])
    first = quantised_embeddings(every, [long.prefix(257)]).embeddings
    assert np.array_equal(quantised_embeddings(every, [long], 257).embeddings, first)
    cut = replace(every, inputs=replace(every.inputs, max_len=257))
    assert np.array_equal(quantised_embeddings(cut, [long]).embeddings, first)


def test_damaged_files_are_refused(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="none.safetensors: no such file"):
        load_quantised(tmp_path / "none.safetensors")
    path = tmp_path / "model.safetensors"
    tensors = checkpoint.model.state_dict()
    write_tensors(path, tensors, checkpoint.header() | {"format": "other/1"})
    with pytest.raises(CheckpointError, match="expected 'rtf/quantised/1'"):
        load_quantised(path)
    header = checkpoint.header()
    del header["formats"]["layers.1.q_a"]
    write_tensors(path, tensors, header)
    with pytest.raises(CheckpointError, match="no number format for tensor 'layers.1.q_a'"):
        load_quantised(path)
    write_tensors(path, {k: v for k, v in tensors.items() if k != "cls.value"}, checkpoint.header())
    with pytest.raises(CheckpointError, match="missing .'cls.value'"):
        load_quantised(path)


def test_recipe_book_is_the_encoders_own():
    recipe = load_recipe(None, ["tensors.res.bits=9", "training.steps=7"], RECIPES)
    assert recipe.tensors["res"]["bits"] == 9 and recipe.training["steps"] == 7
    assert all(entry["bits"] == 8 for name, entry in recipe.weights.items() if name not in ("w_time", "w_cls", "bias"))
    for override, message in (
        ("tensors.h.bits=9", "has no 'h'"),
        ("tensors.e.bits=7", "e: frac must equal bits"),
        ("tensors.n.scale='channel'", "no class of this network can have it"),
        ("training.calibrated=1", "has no 'calibrated'"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(None, [override], RECIPES)
    assert "h" in load_recipe().tensors and "mu" in load_recipe().tensors  # VENOM's is another


def test_fidelity_of_known_answers():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (50, 8))
    same = fidelity(z, z)
    assert same["cosine_least"] == pytest.approx(1) and same["relative_error"] == 0 and same["neighbours"] == 1
    scaled = fidelity(2 * z, z)
    assert scaled["cosine_mean"] == pytest.approx(1) and scaled["relative_error"] == pytest.approx(1, rel=0.05)
    other = fidelity(rng.normal(0, 1, (50, 8)), z)
    assert abs(other["cosine_mean"]) < 0.2 and other["neighbours"] < 0.5
    circle = np.stack([np.cos(np.arange(6)), np.sin(np.arange(6))], 1)
    assert nearest(circle, 1)[:, 0].tolist() == [0, 0, 1, 2, 3, 4] or nearest(circle, 1)[0, 0] in (1, 5)


def test_sizes(quantised):
    found = sizes(quantised.network, quantised.formats)
    d, ff, layers, latent = 32, 64, 2, 8
    linear = d * (7 + 1) + 2 * d + layers * (d * (4 * d) + 2 * d + 2 * d * ff + ff + d) + latent * (d + 1)
    assert found["parameters"] == linear + 2 * d
    assert found["parameters"] < found["parameter_bytes"] < 1.5 * found["parameters"]
    assert found["float_bytes"] == 4 * found["parameters"]
    assert found["tables"]["exp"] == layers * 256 and found["tables"]["sine"] == 1024
    assert found["fingerprint_bytes"] == 8
    assert torch.tensor(found["table_bytes"]) > 0
