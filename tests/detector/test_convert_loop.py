"""mkidcalculator's pickles to data folders: the arrays arrive, and no file can make anything run."""

import json
import pickle

import numpy as np
import pytest

from venom_hw.detector import DataError, filter_resolving_power, load_pulse_set
from venom_hw.detector.convert_loop import convert_loop
from venom_hw.detector.inert_pickle import UnsafePickle
from venom_hw.detector.object_npz import ObjectNpz

from .lab_pickles import build, fake_package, lab_traces, write_loop
from .test_inert_pickle import payloads


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_loop_becomes_a_folder(tmp_path, raw, protocol):
    path = write_loop(tmp_path, raw=raw, protocol=protocol)
    files = convert_loop(path, tmp_path / "out")
    assert [f.name for f in files] == ["813.7nm.npz", "1310nm.npz", "noise.npz", "sweep.npz", "metadata.json"]
    for k, name in enumerate(("813.7nm", "1310nm")):
        with np.load(tmp_path / "out" / f"{name}.npz") as line:
            i, q = lab_traces(40, float(name[:-2]), k)
            np.testing.assert_array_equal(line["i_trace"], i)
            np.testing.assert_array_equal(line["q_trace"], q)
            assert not line["mask"][0] and line["mask"][1:].all()
            np.testing.assert_array_equal(line["peak_heights"], -np.linspace(0.5, 0.6, 40))
    with np.load(tmp_path / "out" / "noise.npz") as noise, np.load(tmp_path / "out" / "sweep.npz") as sweep:
        assert noise["i_trace"].shape == (20, 500) and abs(noise["i_trace"].mean() + 0.1) < 1e-3
        assert sweep["f"].tolist() == [10, 11, 12, 13, 14]
        np.testing.assert_array_equal(sweep["z"], np.exp(1j * np.arange(5.0, 10.0)))
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["sample_rate_hz"] == 0.8e6 and "/" not in metadata["converted_from"]
    assert metadata["opt_filt_R"]["813.7nm"] == pytest.approx(1239.842 / 813.7 / 0.05, rel=1e-6)


def test_the_folder_loads_and_its_filter_resolving_power_wins(tmp_path):
    convert_loop(write_loop(tmp_path), tmp_path / "out")
    pulses = load_pulse_set(tmp_path / "out", peak_sigma=0)
    assert pulses.wl_labels == ["813.7nm", "1310nm"] and len(pulses) == 78
    assert filter_resolving_power(pulses) == pytest.approx({"813.7nm": 1239.842 / 813.7 / 0.05,
                                                            "1310nm": 1239.842 / 1310 / 0.1}, rel=1e-6)


def test_heights_are_recomputed_where_the_file_has_none(tmp_path):
    path = write_loop(tmp_path, responses=False, spectrum=False, n=100)
    convert_loop(path, tmp_path / "out")
    heights = [np.load(tmp_path / "out" / f"{w}nm.npz")["peak_heights"] for w in ("813.7", "1310")]
    assert (np.concatenate(heights) < 0).all()
    ratio = heights[0][1:].mean() / heights[1][1:].mean()
    assert abs(ratio / (1310 / 813.7) ** 0.5 - 1) < 0.03
    true = np.random.default_rng(1).normal(1, 0.01, 100)  # what lab_traces drew for this line
    assert np.corrcoef(true, -heights[1])[0, 1] > 0.98
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert "recomputed" in metadata["peak_heights"] and "opt_filt_R" not in metadata
    with pytest.raises(DataError, match="_responses.*compute_responses"):
        convert_loop(path, tmp_path / "again", heights="responses")


def test_a_second_run_does_nothing_and_other_files_are_safe(tmp_path):
    path, out = write_loop(tmp_path), tmp_path / "out"
    assert convert_loop(path, out) and convert_loop(path, out) == []
    assert convert_loop(path, out, force=True)
    with pytest.raises(DataError, match="other files.*--force"):
        convert_loop(path, out, wavelengths=[800, 900])
    assert [f.name for f in convert_loop(path, out, wavelengths=[800, 900], force=True)][0] == "800nm.npz"
    assert not (out / "813.7nm.npz").exists()
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    for force in (False, True):
        with pytest.raises(DataError, match="thesis.txt"):
            convert_loop(path, other, force=force)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.__import__"])
@pytest.mark.parametrize("place", ["pickle", "metadata"])
def test_code_in_any_of_the_files_is_refused(tmp_path, name, place):
    marker = tmp_path / "ran"
    path = write_loop(tmp_path)
    evil = payloads(marker)[name]
    if place == "pickle":
        with fake_package() as classes:
            path.write_bytes(pickle.dumps(build(classes["Loop"], pulses=[build(classes["Pulse"], x=evil)])))
    else:
        np.savez(tmp_path / "raw_0.npz", metadata=np.array({"parameters": evil}, object))
    with pytest.raises(UnsafePickle, match="allow-list"):
        convert_loop(path, tmp_path / "out")
    assert not marker.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("change", "says"), [
    ({"wavelengths": [800]}, "2, one a pulse set"), ({"wavelengths": [800, 800]}, "800nm in two"),
    ({"loop": 3}, "0 to 0"), ({"heights": "guess"}, "recompute")])
def test_wrong_options_are_named(tmp_path, change, says):
    with pytest.raises(DataError, match=says):
        convert_loop(write_loop(tmp_path), tmp_path / "out", **change)


@pytest.mark.parametrize(("file", "says"), [
    ("pulse_data_1.npz", "pulse_data_1.npz.*not in its folder"), ("noise_0.npz", "noise_0.npz"),
    ("sweep_0.npz", "sweep_0.npz"), ("raw_0.npz", "raw_0.npz")])
def test_a_missing_file_is_named(tmp_path, file, says):
    path = write_loop(tmp_path, raw=file.startswith("raw"))
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=says):
        convert_loop(path, tmp_path / "out")


def test_files_are_only_looked_for_beside_the_pickle(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    path = write_loop(folder, elsewhere=f"{tmp_path}/secret/..")
    (folder / "pulse_data_0.npz").rename(tmp_path / "pulse_data_0.npz")
    with pytest.raises(DataError, match="not in its folder"):
        convert_loop(path, tmp_path / "out")


def test_what_the_file_does_not_say_must_be_given(tmp_path):
    path = write_loop(tmp_path)
    for k in (0, 1):
        np.savez(tmp_path / f"raw_{k}.npz", freqs=np.zeros(2))
    with pytest.raises(DataError, match="sample rates.*--sample-rate"):
        convert_loop(path, tmp_path / "out")
    convert_loop(path, tmp_path / "out", sample_rate_hz=2e6)
    assert json.loads((tmp_path / "out" / "metadata.json").read_text())["sample_rate_hz"] == 2e6


def test_several_loops_one_pulse_and_none(tmp_path):
    with fake_package() as classes:
        loops = []
        for k in range(2):
            i, q = lab_traces(30, 900, k)
            data = {"i_trace": i, "q_trace": q, "sample_rate": 1e6, "energies": (1.3 + k,), "metadata": None}
            pulse = build(classes["Pulse"], _data=data, _mask=None, _i_trace=None, _q_trace=None)
            loops.append(build(classes["Loop"], pulses=[pulse], _data=None))
        both, alone, none = (tmp_path / name for name in ("both.p", "alone.p", "none.p"))
        both.write_bytes(pickle.dumps(build(classes["Resonator"], loops=loops)))
        alone.write_bytes(pickle.dumps(loops[0].pulses[0]))
        none.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="2 loops.*--loop"):
        convert_loop(both, tmp_path / "out")
    assert convert_loop(both, tmp_path / "out", loop=1)[0].name == "539.062nm.npz"
    assert convert_loop(alone, tmp_path / "out1")[0].name == "953.725nm.npz"
    with pytest.raises(DataError, match="no Loop"):
        convert_loop(none, tmp_path / "out2")


@pytest.mark.parametrize("change", [
    {"_mask": 3}, {"_mask": np.ones(5, bool)}, {"_i_trace": "nothing"}, {"_i_trace": np.zeros(40)},
    {"_npz": 7, "_i_trace": "_i_trace"}, {"_data": 5}, {"_responses": "none"},
    {"_spectrum": {"fwhm": "wide", "calibrated": True}}])
def test_forged_attributes_are_data_errors(tmp_path, change):
    with fake_package() as classes:
        i, q = lab_traces(40, 900, 0)
        data = {"i_trace": i, "q_trace": q, "sample_rate": 1e6, "energies": (1.3,), "metadata": None}
        attributes = {"_data": data, "_mask": None, "_i_trace": None, "_q_trace": None} | change
        loop = build(classes["Loop"], pulses=[build(classes["Pulse"], **attributes)], _data=None)
        (tmp_path / "l.p").write_bytes(pickle.dumps(loop))
    with pytest.raises(DataError, match="l.p, pulse set 0"):
        convert_loop(tmp_path / "l.p", tmp_path / "out")


def test_object_npz_reads_plain_and_object_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.array({"x": [1]}, object), c=np.array([1, "z"], object))
    file = ObjectNpz(tmp_path / "a.npz")
    assert file.files == ["a", "b", "c"] and file.read("a").tolist() == [0, 1, 2] and file.read("b") == {"x": [1]}
    assert file.read("c").tolist() == [1, "z"]
    with pytest.raises(DataError, match="missing key"):
        file.read("d")
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="cannot be read"):
        ObjectNpz(tmp_path / "bad.npz")
