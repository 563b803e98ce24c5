"""Embedding of sources: order, batches, prefixes, files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import BTS
from rtf_models.data.dataset import collate_fn
from rtf_models.data.inputs import InputSpec
from rtf_models.embedding import FIELDS, EmbeddingError, Embeddings, embed_sources, sorted_batches
from rtf_models.model import LightCurveCompressor

SIZES = {
    "d_model": 16,
    "n_heads": 2,
    "d_ff": 32,
    "n_encoder_layers": 2,
    "n_decoder_layers": 1,
    "latent_dim": 5,
}


@pytest.fixture
def checkpoint(toy_sources):
    torch.manual_seed(0)
    return Checkpoint(LightCurveCompressor(mode="vae", **SIZES).eval(), InputSpec.fit(toy_sources), BTS)


def test_results_in_the_order_of_the_sources_whatever_the_batches(checkpoint, toy_sources):
    whole = embed_sources(checkpoint, toy_sources, batch_size=7)
    assert whole.obj_ids.tolist() == [s.object_id for s in toy_sources]
    assert whole.lengths.tolist() == [checkpoint.inputs.length(s) for s in toy_sources]
    assert whole.labels_coarse.tolist() == [BTS.coarse_id(s.label) for s in toy_sources]
    for k in (0, 5, 39):
        item = checkpoint.inputs.prepare(toy_sources[k])
        x = torch.from_numpy(item["x"])[None]
        np.testing.assert_allclose(whole.embeddings[k], checkpoint.model.embed(x)[0], atol=1e-5)
        np.testing.assert_allclose(
            whole.recon_errors[k], checkpoint.model.reconstruction_error(x)[0], rtol=1e-4
        )


def test_counts_are_first_detections_and_later_ones_do_not_matter(checkpoint, toy_sources):
    first = embed_sources(checkpoint, toy_sources, counts=5)
    assert first.lengths.max() == 5
    cut = embed_sources(checkpoint, [s.prefix(5) for s in toy_sources])
    np.testing.assert_array_equal(first.embeddings, cut.embeddings)
    changed = []
    for s in toy_sources:
        mag, band = s.mag.copy(), s.band.copy()
        mag[5:], band[5:] = 14.0, 2
        changed.append(replace(s, mag=mag, band=band))
    np.testing.assert_array_equal(first.embeddings, embed_sources(checkpoint, changed, counts=5).embeddings)
    assert not np.allclose(first.embeddings, embed_sources(checkpoint, toy_sources).embeddings)


def test_whole_curve_features_do_not_reach_a_prefix(toy_sources):
    """A network of the original with features: the first five detections give what they give alone."""
    import dataclasses

    torch.manual_seed(0)
    inputs = InputSpec.original("compact", metadata=False, features=True)
    model = LightCurveCompressor("ae", 4, d_model=16, n_heads=2, d_ff=32, n_encoder_layers=1, n_decoder_layers=1,
                                 gp_dim=114, decode_all=True, embed_absent=True).eval()  # fmt: skip
    checkpoint = Checkpoint(model, inputs, BTS)
    long = [s for s in toy_sources if len(s) > 5]
    told = [
        dataclasses.replace(s, features=np.ones((1, 114), np.float32), feature_counts=np.array([len(s)])) for s in long
    ]
    whole = embed_sources(checkpoint, told).embeddings
    cut = embed_sources(checkpoint, told, counts=5).embeddings
    alone = embed_sources(checkpoint, [s.prefix(5) for s in long]).embeddings
    np.testing.assert_allclose(cut, alone, atol=1e-6)
    leaking = embed_sources(checkpoint, told, counts=5, allow_future_features=True).embeddings
    without = embed_sources(checkpoint, long).embeddings
    assert np.abs(leaking - cut).max() > 0.01 and np.abs(whole - without).max() > 0.01


def test_the_model_is_left_in_its_mode_and_unchanged(checkpoint, toy_sources):
    checkpoint.model.train()
    before = {k: v.clone() for k, v in checkpoint.model.state_dict().items()}
    a = embed_sources(checkpoint, toy_sources)
    b = embed_sources(checkpoint, toy_sources)
    assert checkpoint.model.training
    np.testing.assert_array_equal(a.embeddings, b.embeddings)
    assert all(torch.equal(v, before[k]) for k, v in checkpoint.model.state_dict().items())


def test_unknown_labels_stay_unknown(checkpoint, toy_sources):
    sources = [replace(toy_sources[0], label=-1), replace(toy_sources[1], label=99)]
    found = embed_sources(checkpoint, sources, reconstruct=False)
    assert found.labels_fine.tolist() == [-1, -1] and found.labels_coarse.tolist() == [-1, -1]
    assert np.isnan(found.recon_errors).all()


def test_chunks_give_the_same(checkpoint, toy_sources, monkeypatch):
    whole = embed_sources(checkpoint, toy_sources)
    monkeypatch.setattr("rtf_models.embedding.CHUNK", 2)
    pieces = embed_sources(checkpoint, iter(toy_sources), batch_size=3)  # an iterator: no length is asked for
    np.testing.assert_allclose(whole.embeddings, pieces.embeddings, atol=1e-5)


def test_file_round_trip_and_the_originals(tmp_path, checkpoint, toy_sources):
    found = embed_sources(checkpoint, toy_sources)
    found.save(tmp_path / "e.npz")
    again = Embeddings.load(tmp_path / "e.npz")
    for name in ("embeddings", "recon_errors", "labels_fine", "labels_coarse", "obj_ids", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert {"embeddings", "recon_errors", "labels_fine", "labels_coarse", "obj_ids"} <= set(file.files)
        original = {k: file[k] for k in file.files if k != "lengths"}
    np.savez(tmp_path / "original.npz", **original)
    assert (Embeddings.load(tmp_path / "original.npz").lengths == -1).all()
    del original["labels_fine"]
    np.savez(tmp_path / "lacking.npz", **original)
    with pytest.raises(EmbeddingError, match="lacking.npz: no field 'labels_fine'"):
        Embeddings.load(tmp_path / "lacking.npz")
    original["labels_fine"] = np.zeros(3, np.int64)
    np.savez(tmp_path / "short.npz", **original)
    with pytest.raises(EmbeddingError, match="'labels_fine' has 3 rows, expected 40"):
        Embeddings.load(tmp_path / "short.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(EmbeddingError, match="text.npz"):
        Embeddings.load(tmp_path / "text.npz")


def test_damaged_files_are_said_to_be_damaged(tmp_path, checkpoint, toy_sources):
    path = embed_sources(checkpoint, toy_sources).save(tmp_path / "e.npz")
    whole = path.read_bytes()
    middle = bytearray(whole)
    middle[60:200] = bytes(140)
    for content in (b"", whole[: len(whole) // 2], whole[:-30], bytes(middle), b"PK\3\4" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(EmbeddingError, match="e.npz: .*expected an npz of embeddings"):
            Embeddings.load(path)
    np.save(tmp_path / "e.npy", np.zeros((3, 3)))
    with pytest.raises(EmbeddingError, match="e.npy"):
        Embeddings.load(tmp_path / "e.npy")
    for values, said in ((np.zeros(3), "shape"), (np.zeros((3, 2), int), "int64"), (np.float64(3), "shape")):
        np.savez(path, embeddings=values, **dict.fromkeys(FIELDS[1:5], np.zeros(3)))
        with pytest.raises(EmbeddingError, match=said):
            Embeddings.load(path)
    np.savez(path, embeddings=np.zeros((3, 2)), **dict.fromkeys(FIELDS[1:5], np.float64(1)))
    with pytest.raises(EmbeddingError, match="'recon_errors' has no rows"):
        Embeddings.load(path)


def test_nothing_to_embed(checkpoint):
    with pytest.raises(EmbeddingError, match="no sources"):
        embed_sources(checkpoint, [])
    with pytest.raises(EmbeddingError, match="counts = 0"):
        embed_sources(checkpoint, [], counts=0)


def test_batches_are_sorted_and_bounded():
    lengths = np.random.default_rng(0).integers(1, 300, 100)
    batches = list(sorted_batches(lengths, 16, positions=1000))
    assert sorted(k for batch in batches for k in batch) == list(range(100))
    assert all(len(b) <= 16 and (len(b) == 1 or len(b) * lengths[b].max() <= 1000) for b in batches)
    longest = [lengths[b].max() for b in batches]
    assert longest == sorted(longest)


def test_collated_rows_are_independent(checkpoint, toy_sources):
    """A long neighbour in the batch changes nothing."""
    items = []
    for s in (min(toy_sources, key=len), max(toy_sources, key=len)):
        item = checkpoint.inputs.prepare(s)
        items.append(
            item | {"x": torch.from_numpy(item["x"]), "label_fine": 0, "label_coarse": 0, "obj_id": "a"}
        )
    both, alone = collate_fn(items), collate_fn(items[:1])
    embed = checkpoint.model.embed
    torch.testing.assert_close(embed(both["x"], both["pad_mask"])[:1], embed(alone["x"], alone["pad_mask"]))
