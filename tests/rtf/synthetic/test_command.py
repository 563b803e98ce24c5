"""`generate` end to end: files that the readers take, reproducible one by one, honest about what is there."""

import csv
import json

import numpy as np
import pytest

from rtf_models.classes import scheme_of
from rtf_models.data.folder import open_split
from rtf_models.features.light_curve_models import MODELS
from rtf_models.synthetic.command import main
from rtf_models.synthetic.folder import jobs


def generate(folder, *more, count=2):
    return main(["--output-dir", str(folder), "--n-per-model", str(count), "--no-plots", *more])


@pytest.fixture(scope="module")
def all_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "all"
    assert generate(folder, "--models", *MODELS, "--seed", "7") == 0
    return folder


def test_quiet_is_quiet(tmp_path, capsys):
    assert generate(tmp_path / "a", "--models", "Bazin", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert generate(tmp_path / "b", "--models", "Bazin") == 0
    assert "generate" in capsys.readouterr().err


def manifest(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return {row["object_id"]: row for row in csv.DictReader(file)}


def test_eight_models_in_the_originals_format(all_models):
    files = sorted((all_models / "train").glob("*.npz"))
    assert [f.stem for f in files] == sorted(f"SYN_{model}_{k:05d}" for model in MODELS for k in range(2))
    for path in files:
        with np.load(path, allow_pickle=False) as file:
            x = file["x"]
            assert x.dtype == np.float32 and x.shape[1] == 37 and (x[:, 7:] == 0).all()
            assert file["images"].shape == (len(x), 3, 63, 63) and not file["images"].any()
            assert not file["has_image"].any() and file["label"].dtype == np.int64
            assert (-x[:, 2] / 0.4 > 12).all() and (
                -x[:, 2] / 0.4 < 22.5
            ).all()  # -0.4 mag, as in preprocessing
            assert not any(key.startswith("gp_") for key in file.files)


def test_the_data_room_reads_them_with_the_right_classes(all_models):
    split = open_split(all_models, "train")
    assert not split.broken and len(split) == 16
    scheme = scheme_of(all_models)
    coarse = {"Bazin": "SN Ia", "Villar": "SN cc", "Tde": "TDE", "Arnett": "SN cc", "Magnetar": "SN cc",
              "ShockCooling": "SN cc", "Afterglow": "other", "MetzgerKN": "other"}  # fmt: skip
    for source in split:
        assert scheme.coarse_name(scheme.coarse_id(source.label)) == coarse[source.object_id.split("_")[1]]
        assert len(source) >= 3


def test_manifest_and_configuration(all_models):
    rows = manifest(all_models)
    assert len(rows) == 16
    row = rows["SYN_ShockCooling_00001"]
    assert row["population"] == "SN IIb" and "companion_ratio" in json.loads(row["shape"])
    assert 0 < float(row["redshift"]) < 0.2 and float(row["absolute_magnitude"]) < -14
    config = json.loads((all_models / "synthetic.json").read_text())
    assert config["seed"] == 7 and config["survey"]["limits"][1] > 19


def test_a_lost_file_comes_back_the_same_and_the_rest_is_kept(all_models, capsys):
    path = all_models / "train" / "SYN_Bazin_00001.npz"
    others = {f: f.stat().st_mtime_ns for f in path.parent.glob("*.npz") if f != path}
    before = path.read_bytes()
    path.unlink()
    assert generate(all_models, "--models", *MODELS, "--seed", "7") == 0
    assert path.read_bytes() == before
    assert all(f.stat().st_mtime_ns == t for f, t in others.items())
    assert "1 files written, 15 kept" in capsys.readouterr().out


def test_other_models_beside_do_not_change_a_file(all_models, tmp_path):
    assert generate(tmp_path / "alone", "--models", "Tde", "--seed", "7", count=1) == 0
    name = "train/SYN_Tde_00000.npz"
    assert (tmp_path / "alone" / name).read_bytes() == (all_models / name).read_bytes()


def test_another_seed_does_not_mix_into_a_folder(all_models, tmp_path, capsys):
    assert generate(all_models, "--models", "Tde", "--seed", "8") == 2
    assert "made with seed 7, not 8" in capsys.readouterr().err
    assert generate(tmp_path / "a", "--models", "Tde", "--seed", "8", count=1) == 0
    name = "train/SYN_Tde_00000.npz"
    assert (tmp_path / "a" / name).read_bytes() != (all_models / name).read_bytes()


def test_splits_are_shares_that_depend_on_nothing_else():
    many = jobs(["Bazin"], [], 3000, (0.7, 0.2, 0.1), 0)
    counts = {split: sum(job.split == split for job in many) / 3000 for split in ("train", "val", "test")}
    assert counts == pytest.approx({"train": 0.7, "val": 0.2, "test": 0.1}, abs=0.03)
    few = jobs(["Bazin", "Tde"], [], 50, (0.7, 0.2, 0.1), 0)
    assert [j.split for j in few[:50]] == [j.split for j in many[:50]]
    assert {j.split for j in jobs(["Bazin"], [], 200, (1.0, 0.0, 0.0), 0)} == {"train"}


def test_mix_has_the_shares_of_the_survey():
    mix = jobs([], [], 1, (1, 0, 0), 0, mix=3000)
    share = np.mean([job.population.name == "SN Ia" for job in mix])
    assert share == pytest.approx(1605 / 2173, abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "Bazzin"], "no model 'Bazzin'; expected one of Bazin"),
        (["--models", "Tde", "Tde"], "named twice"),
        (["--models", "--populations", "SN IX"], "no population 'SN IX'"),
        (["--models"], "nothing to make"),
        (["--n-per-model", "0"], "--n-per-model 0: expected 1 or more"),
        (["--scheme", "bts"], "'bts' has no class for 'afterglow'"),
        (["--splits", "0.5", "0.1", "0.1"], "three shares with a sum of 1"),
        (["--redshift", "0.3", "0.1"], "expected 0 <= low < high"),
        (["--fitting-dir", "/does/not/exist"], "no such folder"),
        (["--i-band", "2"], "--i-band 2: expected a share"),
    ],
)
def test_mistakes_end_with_status_2_and_say_what_is_expected(tmp_path, capsys, options, message):
    assert generate(tmp_path / "x", *options) == 2
    assert message in capsys.readouterr().err


def test_fitted_shapes_and_i_band_through_the_command(tmp_path):
    fits = tmp_path / "fits"
    fits.mkdir()
    for k in range(6):
        values = [0.0, 0.0, 0.0, 2.5 + 0.001 * k, 4.5, -3.0]
        (fits / f"{k}.json").write_text(
            json.dumps({"parametric": [{"model": "Bazin", "pso_params": values}]})
        )
    out = tmp_path / "out"
    assert generate(out, "--models", "Bazin", "--fitting-dir", str(fits), "--i-band", "1", count=4) == 0
    shapes = [json.loads(row["shape"]) for row in manifest(out).values()]
    assert all(2.45 < shape["ln_rise"] < 2.55 for shape in shapes)
    assert any((source.band == 2).any() for source in open_split(out, "train"))


def test_pictures(tmp_path):
    assert main(["--output-dir", str(tmp_path), "--models", "Tde", "--n-per-model", "1"]) == 0
    assert (tmp_path / "examples.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
