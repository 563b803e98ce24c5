"""Whole runs: what is written, going on after a stop, bit for bit."""

import json

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import load_checkpoint
from rtf_models.data.folder import open_split
from rtf_models.embedding import Embeddings, embed_sources
from rtf_models.train.data import load_data
from rtf_models.train.errors import TrainError
from rtf_models.train.lock import locked
from rtf_models.train.run import train_run
from rtf_models.train.state import read_state
from rtf_models.train.sweep import sweep

VARIANTS = {
    "ae": {"mode": "ae"},
    "vae": {"mode": "vae", "beta": 0.1, "kl": "mean"},
    "vqvae": {"mode": "vqvae", "num_codes": 16, "n_codebooks": 2},
    "classes": {"mode": "ae", "cls_weight": 0.5, "class_weights": "balanced"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_resume_gives_the_same_bits(name, tmp_path, small_config, toy_data):
    config = small_config(random_truncate=True, warmup=1.0, **VARIANTS[name])
    whole = train_run(config, tmp_path / "whole", data=toy_data, quiet=True)
    assert train_run(config, tmp_path / "parts", data=toy_data, quiet=True, stop_after=1) is None
    assert train_run(config, tmp_path / "parts", data=toy_data, quiet=True, resume=True, stop_after=1) is None
    parts = train_run(config, tmp_path / "parts", data=toy_data, quiet=True, resume=True)
    files = [tmp_path / k / "state-0003.safetensors" for k in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [len(list((tmp_path / k).glob("state-*.safetensors"))) for k in ("whole", "parts")] == [1, 1]
    a, b = (Embeddings.load(tmp_path / k / "test_embeddings.npz") for k in ("whole", "parts"))
    np.testing.assert_array_equal(a.embeddings, b.embeddings)
    assert whole["test_metrics"] == parts["test_metrics"] and whole["best_epoch"] == parts["best_epoch"]


def test_what_a_run_writes(tmp_path, small_config, toy_folder):
    config = small_config(
        data_dir=str(toy_folder), mode="ae", random_truncate=True, cls_weight=0.5, batch_size=4
    )
    summary = train_run(config, tmp_path / "run", command="the command", quiet=True)
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    originals = ("mode", "latent_dim", "in_channels", "d_model", "use_metadata", "use_images", "use_gp", "gp_dim",
                 "max_detections", "n_params", "best_epoch", "target_beta", "num_codes", "test_metrics",
                 "compression_info")  # fmt: skip
    assert set(originals) <= set(summary) and summary["num_classes"] == 3 and summary["target_beta"] is None
    assert summary["test_metrics"]["cls_loss"] > 0  # the original had 0 here
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3] and {
        "lr",
        "train_recon_cont",
        "val_criterion",
    } <= set(history[0])
    best = min(history, key=lambda row: row["val_criterion"])
    assert summary["best_epoch"] == best["epoch"] and summary["criterion"] == best["val_criterion"]

    checkpoint = load_checkpoint(tmp_path / "run")  # no flags
    assert checkpoint.scheme.coarse == ("SN Ia", "core collapse", "other")
    assert checkpoint.header["training"]["command"] == "the command"
    for split in ("train", "test"):  # whole curves, in the folder's order, with the best weights
        sources = open_split(toy_folder, split)
        stored = Embeddings.load(tmp_path / "run" / f"{split}_embeddings.npz")
        assert stored.obj_ids.tolist() == sources.object_ids
        assert stored.lengths.tolist() == [checkpoint.inputs.length(s) for s in sources]
        np.testing.assert_allclose(
            stored.embeddings, embed_sources(checkpoint, sources).embeddings, atol=1e-6
        )


def test_max_detections_are_the_same_everywhere(tmp_path, small_config, toy_folder):
    config = small_config(data_dir=str(toy_folder), mode="ae", max_detections=5, epochs=1)
    train_run(config, tmp_path / "run", quiet=True)
    assert Embeddings.load(tmp_path / "run" / "train_embeddings.npz").lengths.max() == 5


def test_early_stopping(tmp_path, small_config, toy_data):
    config = small_config(mode="ae", epochs=50, lr=0.5, early_stopping=3, clip=0.0)
    summary = train_run(config, tmp_path / "run", data=toy_data, quiet=True)
    assert summary["epochs"] < 50 and summary["epochs"] - summary["best_epoch"] == 3
    again = train_run(config, tmp_path / "run", data=toy_data, quiet=True, resume=True)
    assert again["epochs"] == summary["epochs"]


def test_a_folder_with_a_run_is_kept(tmp_path, small_config, toy_data):
    config = small_config(mode="ae")
    train_run(config, tmp_path / "run", data=toy_data, quiet=True, stop_after=1)
    with pytest.raises(TrainError, match="holds a run already"):
        train_run(config, tmp_path / "run", data=toy_data, quiet=True)
    with pytest.raises(TrainError, match="started with lr = 0.003, now it is 0.01"):
        train_run(small_config(mode="ae", lr=0.01), tmp_path / "run", data=toy_data, quiet=True, resume=True)


def test_a_damaged_state_is_not_gone_on_with(tmp_path, small_config, toy_data):
    config = small_config(mode="ae")
    train_run(config, tmp_path / "run", data=toy_data, quiet=True, stop_after=1)
    path = tmp_path / "run" / "state-0001.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainError, match="state-0001.safetensors: missing or changed"):
        train_run(config, tmp_path / "run", data=toy_data, quiet=True, resume=True)
    (tmp_path / "run" / "state.json").write_text("{}")
    with pytest.raises(TrainError, match="expected format"):
        read_state(tmp_path / "run")


def test_a_sweep_reads_the_data_once_and_does_not_repeat(tmp_path, small_config, toy_folder, monkeypatch):
    calls = []
    monkeypatch.setattr("rtf_models.train.sweep.load_data", lambda *a: calls.append(1) or load_data(*a))
    configs = [small_config(data_dir=str(toy_folder), mode="ae", latent_dim=d, epochs=1) for d in (2, 4)]
    summaries = sweep(configs, tmp_path, quiet=True)
    assert [s["latent_dim"] for s in json.loads((tmp_path / "sweep_ae.json").read_text())] == [2, 4] and len(
        calls
    ) == 1
    model = tmp_path / configs[0].run_name / "model.safetensors"
    stamp = model.stat().st_mtime_ns
    assert sweep(configs, tmp_path, quiet=True, resume=True) == summaries
    assert model.stat().st_mtime_ns == stamp and len(calls) == 2  # read, to see that they are the same


def fewer(folder):
    for name in ("toy00.npz", "toy05.npz"):
        (folder / "train" / name).unlink()


def relabelled(folder):
    path = folder / "val" / "toy30.npz"
    with np.load(path) as file:
        content = {name: file[name] for name in file}
    np.savez(path, **{**content, "label": np.int64(1 - int(content["label"] == 1))})


def brighter(folder):
    path = folder / "train" / "toy03.npz"
    with np.load(path) as file:
        content = {name: file[name] for name in file}
    x = content["x"].copy()
    x[-1, 2] += 0.01
    np.savez(path, **{**content, "x": x})


@pytest.mark.parametrize(
    "change, said",
    [
        (fewer, "train: 24 sources, now 22, 2 gone: toy00, toy05"),
        (relabelled, "val: 8 sources, now 8, 1 with another label: toy30"),
        (brighter, "train: 24 sources, now 24, with other numbers"),
    ],
)
def test_other_data_are_not_gone_on_with(change, said, tmp_path, small_config, toy_folder):
    """Neither by a run that stopped half-way, nor taken for the result of a finished one."""
    stopped, ended = (small_config(data_dir=str(toy_folder), mode="ae", latent_dim=d, epochs=2) for d in (2, 4))
    train_run(stopped, tmp_path / stopped.run_name, quiet=True, stop_after=1)
    sweep([ended], tmp_path, quiet=True)
    change(toy_folder)
    for config in (stopped, ended):
        with pytest.raises(TrainError, match="the data are not those") as caught:
            sweep([config], tmp_path, quiet=True, resume=True)
        assert said in str(caught.value) and "another --output-dir" in str(caught.value)


def test_a_run_of_before_data_were_recorded(tmp_path, small_config, toy_folder):
    config = small_config(data_dir=str(toy_folder), mode="ae", epochs=1)
    sweep([config], tmp_path, quiet=True)
    path = tmp_path / config.run_name / "summary.json"
    summary = json.loads(path.read_text())
    del summary["data_sha256"]
    path.write_text(json.dumps(summary))
    assert sweep([config], tmp_path, quiet=True, resume=True) == [summary]


def test_one_process_a_folder(tmp_path, small_config, toy_data):
    config = small_config(mode="ae", epochs=1)
    with locked(tmp_path / "run"), pytest.raises(TrainError, match="another process is training in this folder"):
        train_run(config, tmp_path / "run", data=toy_data, quiet=True)
    assert train_run(config, tmp_path / "run", data=toy_data, quiet=True)["epochs"] == 1


def test_the_summary_has_an_honest_ratio(tmp_path, small_config, toy_data):
    summary = train_run(small_config(mode="ae", epochs=1), tmp_path / "run", data=toy_data, quiet=True)
    median = float(np.median([toy_data.inputs.length(s) for s in toy_data.train]))
    assert summary["compression_info"]["photometry_ratio"] == pytest.approx(median * 13 / 16)


def test_broken_files_are_left_out_and_counted(small_config, toy_folder):
    (toy_folder / "train" / "toy00.npz").write_bytes(b"broken" * 100)
    data = load_data(small_config(data_dir=str(toy_folder)), quiet=True)
    assert len(data.train) == 23 and len(data.broken) == 1 and "toy00.npz" in data.broken[0]
    assert data.description()["left_out"] == 1


def test_synthetic_sources_join_training_alone(tmp_path, small_config, toy_folder, toy_sources):
    from rtf_models.classes import BTS
    from rtf_models.data.compact import write_compact

    (tmp_path / "syn" / "train").mkdir(parents=True)
    for k in range(3):
        write_compact(tmp_path / "syn" / "train" / f"SYN_{k}.npz", toy_sources[k])
    config = small_config(data_dir=str(toy_folder), synthetic_dir=str(tmp_path / "syn"), mode="ae", epochs=1)
    with pytest.raises(TrainError, match="expected one scheme"):  # no classes.json: the original's classes
        load_data(config, quiet=True)
    BTS.save(tmp_path / "syn")
    data = load_data(config, quiet=True)
    assert (len(data.train), data.real, len(data.val)) == (27, 24, 8)
    assert data.inputs == load_data(small_config(data_dir=str(toy_folder)), quiet=True).inputs
    train_run(config, tmp_path / "run", data=data, quiet=True)
    assert len(Embeddings.load(tmp_path / "run" / "train_embeddings.npz")) == 24
    with pytest.raises(TrainError, match="expected a folder 'train'"):
        load_data(small_config(data_dir=str(toy_folder), synthetic_dir=str(tmp_path)), quiet=True)


@pytest.mark.parametrize("flag, said", [("use_metadata", "--use-metadata"), ("use_images", "--use-images"),
                                        ("use_gp", "--use-gp")])  # fmt: skip
def test_inputs_that_the_data_lack_are_said(flag, said, small_config, toy_folder):
    with pytest.raises(TrainError, match=said):
        load_data(small_config(data_dir=str(toy_folder), **{flag: True}), quiet=True)


def test_number_of_classes_is_the_datas(small_config, toy_folder):
    with pytest.raises(TrainError, match="--num-classes 5: the data have 3 coarse classes"):
        load_data(small_config(data_dir=str(toy_folder), cls_weight=1.0, num_classes=5), quiet=True)


def test_all_inputs_at_once(tmp_path, small_config, make_source):
    """Metadata, image and features, with their masks, through training and back."""
    from rtf_models.classes import BTS
    from rtf_models.data.inputs import InputSpec
    from rtf_models.train.data import TrainingData

    rng = np.random.default_rng(0)
    sources = [
        make_source(rng, int(n), f"s{k}", k % 2 * 3, True, True, True)
        for k, n in enumerate(rng.integers(3, 9, 12))
    ]
    inputs = InputSpec.fit(sources[:8], metadata="global", images=True, features="causal")
    data = TrainingData(sources[:8], sources[8:10], sources[10:], BTS, inputs, 8)
    config = small_config(
        mode="ae", use_metadata=True, use_images=True, use_gp=True, epochs=1, random_truncate=True
    )
    summary = train_run(config, tmp_path / "run", data=data, quiet=True)
    assert (summary["in_channels"], summary["gp_dim"], summary["image_backbone"]) == (67, 228, "simple")
    checkpoint = load_checkpoint(tmp_path / "run")
    found = embed_sources(checkpoint, sources[10:])
    np.testing.assert_allclose(
        found.embeddings, Embeddings.load(tmp_path / "run" / "test_embeddings.npz").embeddings, atol=1e-6
    )
    assert torch.isfinite(torch.from_numpy(found.embeddings)).all()
