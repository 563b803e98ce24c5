"""Settings: names of runs, values and combinations that make no sense."""

import pytest

from rtf_models.train.config import TrainConfig
from rtf_models.train.errors import TrainError

NONSENSE = [
    ({"data_dir": None}, "--data-dir"),
    ({"alert_dir": "a"}, "--alert-dir"),
    ({"data_dir": None, "alert_dir": "a"}, "--splits"),
    ({"splits": "s"}, "--alert-dir"),
    ({"image_backbone": "zoobot"}, "--use-images"),
    ({"finetune_backbone": True, "use_images": True}, "--image-backbone zoobot"),
    ({"backbone_weights": "w", "use_images": True}, "--image-backbone zoobot"),
    ({"features": "file"}, "--use-gp"),
    ({"features": "file", "use_gp": True, "random_truncate": True}, "future"),
    ({"features": "file", "use_gp": True, "max_detections": 5}, "future"),
    ({"metadata_scaling": "per-sample"}, "--use-metadata"),
    ({"beta": 0.5, "mode": "ae"}, "--mode vae"),
    ({"kl": "mean", "mode": "vqvae"}, "--mode vae"),
    ({"num_codes": 64, "mode": "ae"}, "--mode vqvae"),
    ({"n_codebooks": 2}, "--mode vqvae"),
    ({"num_classes": 5}, "--cls-weight"),
    ({"class_weights": "balanced"}, "--cls-weight"),
    ({"min_detections": 5}, "--random-truncate"),
    ({"mode": "gan"}, "one of vae, ae, vqvae"),
    ({"epochs": 0}, "1 or more"),
    ({"lr": 0.0}, "more than 0"),
    ({"dropout": 1.0}, "less than 1"),
    ({"heads": 7}, "multiple"),
    ({"warmup": 200.0}, "fewer than the 200 epochs"),
    ({"max_detections": 0}, "1 or more"),
]


@pytest.mark.parametrize("changes, said", NONSENSE, ids=[next(reversed(c)) for c, _ in NONSENSE])
def test_nonsense_is_refused_by_name(changes, said):
    with pytest.raises(TrainError, match=said):
        TrainConfig(**({"data_dir": "."} | changes))


def test_names_of_runs_are_the_originals():
    names = {
        "vae_dim32": {},
        "ae_dim8_meta": {"mode": "ae", "latent_dim": 8, "use_metadata": True},
        "vae_dim32_meta_img_ft_gp_randtrunc_cls0.5": {
            "use_metadata": True, "use_images": True, "image_backbone": "zoobot", "finetune_backbone": True,
            "use_gp": True, "random_truncate": True, "cls_weight": 0.5,
        },
        "vae_dim32_img_n10": {"use_images": True, "max_detections": 10},
    }  # fmt: skip
    for name, settings in names.items():
        assert TrainConfig(**({"data_dir": ".", "latent_dim": 32} | settings)).run_name == name


def test_other_networks_have_other_names():
    """Whatever changes the tensors or what goes into them: two runs of a sweep never share a folder."""
    common = {"data_dir": ".", "mode": "vqvae", "use_images": True, "use_metadata": True, "use_gp": True,
              "cls_weight": 0.5}  # fmt: skip
    changes = [
        {}, {"image_backbone": "zoobot"}, {"image_backbone": "zoobot", "finetune_backbone": True},
        {"metadata_scaling": "per-sample"}, {"features": "file"}, {"class_weights": "balanced"},
        {"class_weights": "sqrt"}, {"d_model": 64}, {"heads": 4}, {"encoder_layers": 2}, {"decoder_layers": 1},
        {"d_ff": 64}, {"num_codes": 64}, {"n_codebooks": 4},
    ]  # fmt: skip
    names = [TrainConfig(**common | change).run_name for change in changes]
    assert len(set(names)) == len(names)
    assert names[1] == "vqvae_dim64_meta_img_zoobot_gp_cls0.5" and names[-1].endswith("_x4")


def test_settings_read_back():
    config = TrainConfig(data_dir=".", mode="ae", warmup=2.0)
    assert TrainConfig.from_dict(config.to_dict()) == config
    with pytest.raises(TrainError, match="here.json: unknown setting 'colour'"):
        TrainConfig.from_dict({"data_dir": ".", "colour": 1}, "here.json")
