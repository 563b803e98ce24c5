"""The command line of training: the original's flags and defaults, errors, a run from end to end."""

import json

import numpy as np
import pytest

from rtf_models.checkpoint import load_checkpoint
from rtf_models.train.command import configs_of, main, parser
from rtf_models.train.settings_file import with_settings_file

ORIGINAL = {
    "data_dir": None, "mode": "vae", "latent_dims": [32, 64, 128, 256], "epochs": 200, "batch_size": 128, "lr": 1e-4,
    "beta": 1.0, "d_model": 128, "horizon": 100.0, "num_codes": 512, "commitment_cost": 0.25, "alert_dir": None,
    "splits": None, "labels_dir": None, "use_metadata": False, "use_images": False, "image_backbone": "simple",
    "finetune_backbone": False, "use_gp": False, "max_detections": None, "cls_weight": 0.0, "synthetic_dir": None,
    "random_truncate": False, "min_detections": 3,
}  # fmt: skip
SMALL = ["--d-model", "16", "--heads", "2", "--d-ff", "32", "--encoder-layers", "1", "--decoder-layers", "1"]


def test_flags_and_defaults_of_the_original():
    args = vars(parser().parse_args(["--output-dir", "o"]))
    assert {k: args[k] for k in ORIGINAL} == ORIGINAL
    for flag in ("--device", "--num-workers", "--gp-dim", "--num-classes"):
        assert flag in parser().format_help()


def test_defaults_of_the_original_may_be_spelt_out(capsys, tmp_path):
    """--num-classes and --gp-dim without what they belong to: said, and left out."""
    line = ["--data-dir", str(tmp_path / "no"), "--output-dir", "o", "--num-classes", "5", "--gp-dim", "114", "--quiet",
            "--num-workers", "4"]  # fmt: skip
    plain = configs_of(parser().parse_args([*line[:4], "--num-workers", "4"]))
    assert configs_of(parser().parse_args(line)) == plain
    assert main(line) == 2  # for want of the folder alone
    shown = capsys.readouterr().err.splitlines()
    assert [text for text in shown if text.startswith("note: ")] == [
        "note: --gp-dim 114 does nothing without --use-gp",
        "note: --num-classes 5 does nothing without --cls-weight above 0",
    ]
    assert len(shown) == 3 and shown[-1].startswith("error: ") and "no" in shown[-1]


def test_help_says_where_defaults_differ():
    differ = {"--num-workers": (0, 4), "--gp-dim": (None, 114), "--num-classes": (None, 5)}
    text, args = parser().format_help(), vars(parser().parse_args(["--output-dir", "o"]))
    for flag, (ours, theirs) in differ.items():
        assert args[flag[2:].replace("-", "_")] == ours
        assert f"{flag} {'none' if ours is None else ours} ({theirs})" in " ".join(text.split())


TOML = """\
data-dir = "d"
output_dir = "o"
mode = "ae"
latent-dims = [8, 16]
lr = 1
use-gp = true
buckets = false
quiet = false
"""


def with_file(path, *flags):
    flags_of = parser()
    return flags_of.parse_args(with_settings_file(flags_of, ["--config", str(path), *flags]))


def test_settings_file_and_command_line(tmp_path):
    path = tmp_path / "ae.toml"
    path.write_text(TOML)
    first, second = configs_of(with_file(path))
    assert (first.latent_dim, second.latent_dim, first.lr) == (8, 16, 1.0)
    assert first.use_gp and not first.buckets and first.mode == "ae"
    (only,) = configs_of(with_file(path, "--latent-dims", "4", "--lr", "0.01", "--no-use-gp", "--buckets"))
    assert (only.latent_dim, only.lr, only.use_gp, only.buckets) == (4, 0.01, False, True)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(first.to_dict()))
    assert configs_of(with_file(path, "--output-dir", "o")) == [first]


@pytest.mark.parametrize(
    "text, said",
    [
        ("latent-dim = 3\nmod = 'ae'", "unknown key 'mod'; did you mean 'mode'?"),
        ("colour = 3", "unknown key 'colour'; expected the name of a flag"),
        ("lr = 'fast'", "lr = 'fast'; expected a number"),
        ("epochs = 1.5", "epochs = 1.5; expected a whole number"),
        ("epochs = true", "epochs = True; expected a whole number"),
        ("epochs = [1, 2]", "epochs = [1, 2]; expected one value"),
        ("use-gp = 1", "use-gp = 1; expected true or false"),
        ("mode = 'gan'", "mode = 'gan'; expected one of vae, ae, vqvae"),
        ("data-dir = 3", "data-dir = 3; expected text"),
        ("lr = ", "cannot be read as TOML"),
    ],
)
def test_wrong_settings_files(text, said, tmp_path, capsys):
    path = tmp_path / "x.toml"
    path.write_text(text)
    assert main(["--config", str(path), "--output-dir", str(tmp_path / "o")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: ") and said in message


def test_settings_file_that_is_not_there(tmp_path, capsys):
    assert main(["--config", str(tmp_path / "x.toml"), "--output-dir", "o"]) == 2
    assert "x.toml: cannot be read" in capsys.readouterr().err


def test_a_run_from_a_file_keeps_its_settings(tmp_path, toy_folder):
    path = tmp_path / "ae.toml"
    sizes = "d-model = 16\nheads = 2\nd-ff = 32\nencoder-layers = 1\ndecoder-layers = 1\nthreads = 1\nquiet = true"
    path.write_text(f"data-dir = '{toy_folder}'\nmode = 'ae'\nlatent-dims = [4]\nepochs = 9\n{sizes}")
    assert main(["--config", str(path), "--output-dir", str(tmp_path / "runs"), "--epochs", "1"]) == 0
    (folder,) = (tmp_path / "runs").glob("ae_*")
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["epochs"] == 1 and settings["d_model"] == 16 and settings["data_dir"] == str(toy_folder)
    again = ["--config", str(folder / "settings.json"), "--output-dir", str(tmp_path / "runs"), "--quiet", "--resume"]
    assert main(again) == 0 and len(list((tmp_path / "runs").glob("ae_*"))) == 1


def test_its_job_scripts_are_understood():
    line = (
        "--data-dir d --output-dir o --mode ae --latent-dims 2 64 --epochs 200 --batch-size 64 --lr 5e-5 --device cuda "
        "--num-workers 4 --use-metadata --use-images --image-backbone zoobot --finetune-backbone --use-gp "
        "--gp-dim 114 --cls-weight 0.5 --num-classes 6 --random-truncate --min-detections 3 --synthetic-dir s"
    )
    configs = configs_of(parser().parse_args(line.split()))
    assert [c.latent_dim for c in configs] == [2, 64] and configs[0].num_classes == 6
    assert configs[0].run_name == "ae_dim2_meta_img_ft_gp_randtrunc_cls0.5"


@pytest.mark.parametrize(
    "flags, said",
    [
        ([], "--data-dir"),
        (["--data-dir", "d", "--use-gp", "--gp-dim", "50"], "114"),
        (["--data-dir", "d", "--latent-dims", "8", "8"], "each once"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--data-dir", "d", "--mode", "ae", "--beta", "2"], "--mode vae"),
    ],
)
def test_errors_end_with_2_and_say_what_was_expected(flags, said, tmp_path, capsys):
    assert main(["--output-dir", str(tmp_path / "out"), "--quiet", *flags]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and said in message and "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_from_folder_to_checkpoint_and_resume(tmp_path, toy_folder, capsys):
    command = [
        "--data-dir",
        str(toy_folder),
        "--output-dir",
        str(tmp_path / "runs"),
        "--quiet",
        "--threads",
        "1",
    ]
    command += ["--mode", "vqvae", "--latent-dims", "4", "--epochs", "2", "--num-codes", "16", *SMALL]
    assert main(command) == 0
    shown = capsys.readouterr().out
    name = "vqvae_dim4_d16_h2_el1_dl1_ff32_k16"
    assert name in shown and f"Written to {tmp_path / 'runs'}" in shown
    checkpoint = load_checkpoint(tmp_path / "runs" / name)
    assert checkpoint.header["training"]["command"].startswith("python -m rtf_models train --data-dir")
    assert main(command) == 2 and "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0


def test_device_that_is_not_there(tmp_path, toy_folder, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    flags = [
        "--data-dir",
        str(toy_folder),
        "--output-dir",
        str(tmp_path / "o"),
        "--device",
        "cuda",
        "--quiet",
    ]
    assert main([*flags, "--latent-dims", "4"]) == 2
    assert "cuda" in capsys.readouterr().err


COLUMNS = ["dt", "dt_prev", "band_id", "logflux", "logflux_err", "band_g", "band_r", "band_i", "g_r", "g_r_err", "r_i",
           "r_i_err", "has_g_r", "has_r_i", "label"]  # fmt: skip


def test_photo_events_of_the_original(tmp_path, toy_sources, capsys):
    """Its photometry folders train with no other flag; what they do not hold is refused."""
    for k, source in enumerate(toy_sources):
        data = np.zeros((len(source), 15), np.float32)
        data[:, 0] = source.time - source.time[0]
        data[:, 1] = np.diff(source.time, prepend=source.time[0])
        data[:, 2], data[:, 14] = source.band, source.label
        data[:, 3], data[:, 4] = -0.4 * (source.mag - 23.9), 0.4 * source.mag_err
        data[np.arange(len(source)), 5 + source.band] = 1
        folder = tmp_path / "photo" / ("train" if k < 24 else "val" if k < 32 else "test")
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / f"{source.object_id}.npz",
            data=data,
            columns=np.array(COLUMNS),
            label=np.int64(source.label),
        )
    command = [
        "--data-dir",
        str(tmp_path / "photo"),
        "--output-dir",
        str(tmp_path / "runs"),
        "--quiet",
        "--threads",
        "1",
    ]
    command += [
        "--mode",
        "ae",
        "--latent-dims",
        "4",
        "--epochs",
        "1",
        "--cls-weight",
        "1",
        "--num-classes",
        "5",
        *SMALL,
    ]
    assert main(command) == 0, capsys.readouterr().err
    checkpoint = load_checkpoint(tmp_path / "runs" / "ae_dim4_cls1.0_d16_h2_el1_dl1_ff32")
    assert checkpoint.scheme.name == "applecider" and checkpoint.model.num_classes == 5
    mag = np.concatenate([s.mag for s in toy_sources[:24]])
    decoded = checkpoint.inputs.to_physical(np.zeros((1, 4)))["mag"]  # the mean of the channel
    assert decoded == pytest.approx(mag.mean(), abs=0.1)
    capsys.readouterr()
    for flag in ("--use-metadata", "--use-images", "--use-gp"):
        assert main([*command, flag]) == 2 and flag in capsys.readouterr().err
