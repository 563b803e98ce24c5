"""The adapter of survey_sim, against a stand-in with the interface that the package documents."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rtf_models.classes import APPLECIDER6
from rtf_models.data.folder import open_split
from rtf_models.synthetic import surveysim
from rtf_models.synthetic.errors import SyntheticError
from rtf_models.synthetic.surveysim import as_source, find_populations, main, months


class Recorder:
    """A class of the stand-in: remembers how it was made."""

    def __init__(self, *args, **keywords):
        self.args, self.keywords = args, keywords


def made_up_curve(rng, points=6):
    bands = [("g", "ztfr", "i", "z")[k] for k in rng.integers(0, 4, points)]
    return (
        rng.uniform(58_300, 58_340, points),
        rng.uniform(17, 20, points),
        rng.uniform(0.05, 0.2, points),
        bands,
    )


@pytest.fixture
def package(monkeypatch):
    """survey_sim's documented classes; its pipeline detects 5 objects, the first with too few points in g, r, i."""
    calls = []

    class Pipeline(Recorder):
        def run(self):
            calls.append(self)
            rng = np.random.default_rng(0)
            curves = [SimpleNamespace(photometry=([58_300.0], [19.0], [0.1], ["z"]))]
            curves += [SimpleNamespace(photometry=made_up_curve(rng, 12)) for _ in range(4)]
            return SimpleNamespace(sources=lambda: curves)

    names = (
        "KilonovaPopulation",
        "OnAxisGrbPopulation",
        "OffAxisGrbPopulation",
        "TdePopulation",
        "ParametricModel",
        "SupernovaIaPopulation",
        "SupernovaIIPopulation",
        "MetzgerKNModel",
        "BlastwaveModel",
        "DetectionCriteria",
    )
    module = SimpleNamespace(
        **{name: type(name, (Recorder,), {}) for name in names},
        SimulationPipeline=Pipeline,
        SurveyStore=SimpleNamespace(from_ztf_boom=lambda files, nside: (tuple(files), nside)),
    )
    monkeypatch.setitem(sys.modules, "survey_sim", module)
    module.calls = calls
    return module


@pytest.fixture
def pointings(tmp_path):
    folder = tmp_path / "ztf"
    folder.mkdir()
    for month in ("201803", "201805", "202104"):
        (folder / f"ztf_{month}.h5").write_bytes(b"")
    (tmp_path / "grb.csv").write_text("z\n")
    return folder


def generate(tmp_path, pointings, *more):
    return main(["--ztf-dir", str(pointings), "--output-dir", str(tmp_path / "out"), *more])


def test_every_population_of_the_table(package, tmp_path, pointings, capsys):
    everything = ["kilonova", "afterglow", "afterglow_offaxis", "tde", "snia", "snii"]
    options = ["--populations", *everything, "--n-per-pop", "3", "--grb-catalogue", str(tmp_path / "grb.csv")]
    assert generate(tmp_path, pointings, *options) == 0
    assert "3 kilonova, 3 afterglow_onaxis" in capsys.readouterr().out
    split = open_split(tmp_path / "out", "train")
    classes = {s.object_id: APPLECIDER6.fine_name(s.label) for s in split}
    assert len(classes) == 18 and not split.broken
    assert {name.split("_")[1]: c for name, c in classes.items()} == {
        "Kilonova": "other",
        "AfterglowOn": "other",
        "AfterglowOff": "other",
        "Tde": "TDE",
        "SNIa": "SN Ia",
        "SNII": "SN II",
    }
    assert [list(call.args[2]) for call in package.calls] == [
        ["Kilonova"],
        ["Afterglow"],
        ["Afterglow"],
        ["TDE"],
        ["SNIa"],
        ["SNII"],
    ]
    assert all(
        model is not None for call in package.calls for model in call.args[2].values()
    )  # the original's None
    assert [call.keywords["n_transients"] for call in package.calls] == [
        100_000,
        100_000,
        500_000,
        50_000,
        10_000,
        10_000,
    ]
    assert {call.keywords["seed"] for call in package.calls} == {42}
    offaxis = package.calls[2].args[1][0]
    assert offaxis.keywords == {"rate": 800.0, "z_max": 1.0} and offaxis.args == (str(tmp_path / "grb.csv"),)
    assert [f.rsplit("_", 1)[1] for f in package.calls[0].args[0][0]] == [
        "201803.h5",
        "201805.h5",
    ]  # not 202104


def test_injects_a_hundred_times_what_is_wanted(package, tmp_path, pointings):
    assert generate(tmp_path, pointings, "--populations", "snia", "--n-per-pop", "2000") == 0
    assert package.calls[0].keywords["n_transients"] == 200_000


def test_names_of_the_original_work():
    assert list(find_populations(["kilonova", "afterglow"])) == ["kilonova", "afterglow_onaxis"]
    with pytest.raises(SyntheticError, match="no population 'agn'; expected of kilonova, afterglow_onaxis"):
        find_populations(["agn"])
    with pytest.raises(SyntheticError, match="named twice"):
        find_populations(["afterglow", "afterglow_onaxis"])


def test_photometry_becomes_a_source():
    photometry = (
        [3.0, 1.0, 2.0, 4.0, 5.0],
        [18, 19, np.nan, 17, 20],
        [0.1] * 4 + [0.0],
        ["ztfr", "g", "g", "i", "r"],
    )
    source = as_source("x", photometry, 10)
    assert source.time.tolist() == [1, 3, 4] and source.band.tolist() == [0, 1, 2] and source.label == 10
    assert as_source("x", ([1.0], [19.0], [0.1], ["g"]), 0) is None
    with pytest.raises(SyntheticError, match="expected .times, magnitudes, errors, bands"):
        as_source("x", None, 0)


def test_months():
    assert months("201811", "201902") == ["201811", "201812", "201901", "201902"]
    for start, end in (("2018-1", "201902"), ("201813", "201902"), ("201903", "201902")):
        with pytest.raises(SyntheticError, match="expected"):
            months(start, end)


def test_without_the_package_it_says_what_to_do(monkeypatch, tmp_path, pointings, capsys):
    monkeypatch.setitem(sys.modules, "survey_sim", None)
    monkeypatch.delitem(sys.modules, "survey_sim")
    if surveysim.__dict__.get("find_spec"):
        pytest.skip("survey_sim is installed")
    assert generate(tmp_path, pointings, "--populations", "kilonova") == 2
    message = capsys.readouterr().err
    assert "survey_sim" in message and "rtf_models generate" in message and "Traceback" not in message


def test_mistakes_are_named(package, tmp_path, pointings, capsys):
    for options, message in (
        (["--populations", "afterglow"], "needs --grb-catalogue"),
        (["--populations", "afterglow", "--grb-catalogue", "absent.csv"], "absent.csv: no such file"),
        (["--populations", "tde", "--n-per-pop", "0"], "--n-per-pop 0"),
        (
            ["--populations", "tde", "--ztf-start", "202001", "--ztf-end", "202002"],
            "none of ztf_202001.h5 to ztf_202002",
        ),
    ):
        assert generate(tmp_path, pointings, *options) == 2
        assert message in capsys.readouterr().err
    del package.ParametricModel
    assert generate(tmp_path, pointings, "--populations", "tde") == 2
    assert "has no ParametricModel" in capsys.readouterr().err
