"""A user's files of the original, checkpoint and data, give the fingerprints that the original gave: 1e-5.

The tensors on the original's side are made here, by hand, after the description of its formats.
"""

import numpy as np
import torch

from benchmarks.plain_rtf import PlainCompressor
from rtf_models import embed_sources, load_checkpoint, open_split

LENGTHS = (4, 30, 11)


def photometry(rng, n):
    """(L, 7): log1p dt, log1p dt_prev, -0.4 mag, 0.4 error, one-hot band."""
    time = np.concatenate([[0], np.cumsum(rng.exponential(1.5, n - 1))])
    bands = np.eye(3)[rng.integers(0, 3, n)]
    columns = (np.log1p(time), np.log1p(np.diff(time, prepend=0)), -0.4 * rng.normal(18.5, 1, n),
               0.4 * rng.uniform(0.02, 0.3, n))  # fmt: skip
    return np.concatenate([np.stack(columns, 1), bands], 1).astype(np.float32)


def scaled_per_sample(values):
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    spread = high - low
    return np.clip((values - middle) / np.where(spread > 1e-6, spread, 1), -10, 10)


def scaled_stamp(stamp):
    out = np.zeros_like(stamp)
    for k, channel in enumerate(stamp):
        cut = np.clip(channel, *np.percentile(channel, [1, 99]))
        if cut.std() > 1e-6:
            out[k] = (cut - cut.mean()) / cut.std()
    return out


def plain_embeddings(network, items):
    network.eval()
    found = []
    with torch.no_grad():
        for item in items:
            x, *extra = (torch.as_tensor(np.asarray(part, np.float32))[None] for part in item)
            found.append(network.bottleneck(x, torch.zeros(x.shape[:2], dtype=torch.bool), *extra)["z"][0].numpy())
    return np.stack(found)


def test_compact_files_with_images_and_features(tmp_path):
    rng, items = np.random.default_rng(0), []
    (tmp_path / "data" / "test").mkdir(parents=True)
    names = np.array([f"feature_{k:03d}" for k in range(114)])
    for k, n in enumerate(LENGTHS):
        x = np.concatenate([photometry(rng, n), rng.normal(0, 20, (n, 30))], 1).astype(np.float32)
        x[:, 10] = 3.0  # a constant field
        images = rng.normal(100, 20, (n, 3, 63, 63)).astype(np.float32)
        has_image = (rng.random(n) < 0.5).astype(np.float32) * (k != 1)
        features = rng.normal(0, 8, 114).astype(np.float32)
        np.savez_compressed(tmp_path / "data" / "test" / f"ZTF{k}.npz", x=x, images=images, has_image=has_image,
                            label=np.int64(k), gp_features=features, gp_keys=names)  # fmt: skip
        last = np.flatnonzero(has_image)
        stamp = scaled_stamp(images[last[-1]]) if len(last) else np.zeros((3, 63, 63))
        rows = np.concatenate([x[:, :7], scaled_per_sample(x[:, 7:])], 1)
        items.append((rows, stamp, np.clip(features, -10, 10)))
    torch.manual_seed(0)
    network = PlainCompressor("ae", 16, in_channels=37, use_images=True, gp_dim=114)
    torch.save(network.state_dict(), tmp_path / "best_model.pt")
    sources = open_split(tmp_path / "data", "test")
    found = embed_sources(load_checkpoint(tmp_path), sources)
    assert list(found.obj_ids) == ["ZTF0", "ZTF1", "ZTF2"] and list(found.lengths) == list(LENGTHS)
    np.testing.assert_allclose(found.embeddings, plain_embeddings(network, items), atol=1e-5)
    first = embed_sources(load_checkpoint(tmp_path), sources, counts=4)
    assert list(first.lengths) == [4, 4, 4]
    np.testing.assert_allclose(first.embeddings[0], found.embeddings[0], atol=1e-5)  # 4 are all of the first


def test_photo_events_with_statistics(tmp_path):
    rng, items = np.random.default_rng(1), []
    (tmp_path / "data" / "test").mkdir(parents=True)
    mean, std = np.array([2.1, 0.6, -1.2, 0.05], np.float32), np.array([1.1, 0.5, 0.4, 0.03], np.float32)
    np.savez(tmp_path / "data" / "feature_stats_day100.npz", mean=mean, std=std)
    for k, n in enumerate(LENGTHS):
        x = photometry(rng, n)
        data = np.zeros((n, 15), np.float32)
        data[:, 0], data[:, 1] = np.expm1(x[:, 0]), np.expm1(x[:, 1])
        data[:, 2], data[:, 3], data[:, 4] = x[:, 4:].argmax(1), x[:, 2] + 0.4 * 23.9, x[:, 3]
        data[:, 5:8] = x[:, 4:]
        columns = np.array(["dt", "dt_prev", "band_id", "logflux", "logflux_err", "g", "r", "i", "g_r", "g_r_err",
                            "r_i", "r_i_err", "has_g_r", "has_r_i", "label"])  # fmt: skip
        np.savez(tmp_path / "data" / "test" / f"ZTF{k}.npz", data=data, columns=columns, label=np.int64(k))
        base = np.stack([x[:, 0], x[:, 1], data[:, 3], data[:, 4]], 1)
        items.append((np.concatenate([(base - mean) / (std + 1e-8), x[:, 4:]], 1)[data[:, 0] <= 100],))
    torch.manual_seed(0)
    network = PlainCompressor("vqvae", 16)
    torch.save(network.state_dict(), tmp_path / "best_model.pt")
    checkpoint = load_checkpoint(tmp_path, stats=tmp_path / "data" / "feature_stats_day100.npz")
    found = embed_sources(checkpoint, open_split(tmp_path / "data", "test"))
    np.testing.assert_allclose(found.embeddings, plain_embeddings(network, items), atol=1e-5)
