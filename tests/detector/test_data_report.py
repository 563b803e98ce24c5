"""The data report's numbers against known answers, and its files."""

import json

import numpy as np
import pytest

from venom_hw import data_report as command
from venom_hw import explore as explore_command
from venom_hw.detector import DataError
from venom_hw.detector.data_report import make_report
from venom_hw.detector.dataset import clip_peaks
from venom_hw.detector.explore import PLOTS, explore
from venom_hw.detector.folder import write_line, write_metadata
from venom_hw.detector.folder_summary import summarise_folder

from .conftest import user_arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab") / "mine"
    for name, seed, height in (("900nm", 1, 2.0), ("1200.5nm", 2, 1.7)):
        arrays = user_arrays(n=150, seed=seed, height=height)
        arrays["mask"][:7] = False
        arrays["peak_heights"][20] = -9.0
        write_line(folder / f"{name}.npz", **arrays)
    write_metadata(folder, {"sample_rate_hz": 2e6, "opt_filt_R": {"900": 11.5}})
    return folder


@pytest.fixture(scope="module")
def summary(folder):
    return summarise_folder(folder)


def test_counts_of_each_line(folder, summary):
    for line in summary.lines:
        with np.load(folder / f"{line.label}.npz") as data:
            kept = clip_peaks(data["peak_heights"], data["mask"], 2.0)
            np.testing.assert_array_equal(line.kept, kept)
            z = data["i_trace"][kept] + 1j * data["q_trace"][kept]
            np.testing.assert_allclose(line.mean, z.mean(axis=0), rtol=1e-12)
        assert (line.pulses, line.masked, line.used) == (150, 7, kept.sum())
        assert line.masked + line.clipped + line.used == 150 and line.clipped >= 1 and not line.kept[20]
        assert line.height_range[0] < np.median(line.heights) < line.height_range[1]
    loose = summarise_folder(folder, peak_sigma=0)
    assert all(x.clipped == 0 and x.used == 143 for x in loose.lines)


def test_physics_of_each_line(summary):
    assert summary.unit == "V" and summary.rate_hz == 2e6 and summary.samples == 600
    assert abs(summary.centre - complex(-0.3, 0.07)) < 0.005 and abs(summary.radius - 0.2) < 0.005
    for line, height in zip(summary.lines, (2.0, 1.7), strict=True):
        assert abs(line.tau_s / 40e-6 - 1) < 0.03
        assert abs(line.phase.max() - height) < 0.06
        assert np.allclose(line.noise_rms, 0.002, rtol=0.03)


def test_noise_spectrum_holds_the_noise_power(summary):
    assert summary.noise_source == "samples before the pulses"
    step = summary.frequency[1] - summary.frequency[0]
    for name, expected in (("I", 0.002**2), ("Q", 0.002**2), ("phase", (0.002 / 0.2) ** 2)):
        assert abs(summary.noise[name].sum() * step / expected - 1) < 0.1  # Parseval, white noise
        half = len(summary.frequency) // 2
        assert abs(summary.noise[name][half:].mean() / summary.noise[name][:half].mean() - 1) < 0.1


def test_noise_file_and_stored_centre_are_used(folder, tmp_path):
    for path in folder.glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rng = np.random.default_rng(0)
    i, q = 0.005 * rng.standard_normal((2, 30, 800)) + np.array([-0.3 + 0.18, 0.07])[:, None, None]
    write_line(tmp_path / "noise.npz", i_trace=i, q_trace=q)
    write_metadata(tmp_path, {"sample_rate_hz": 2e6, "centre": [-0.31, 0.08]})
    found = summarise_folder(tmp_path)
    assert found.noise_source == "noise.npz" and found.centre == complex(-0.31, 0.08)
    step = found.frequency[1] - found.frequency[0]
    assert abs(found.noise["I"].sum() * step / 0.005**2 - 1) < 0.05


def test_saturated_integers_are_counted(tmp_path):
    arrays = user_arrays(n=40, scale=8000, centre=(0, 0))
    i, q = (np.rint(arrays[k]).astype(np.int16) for k in ("i_trace", "q_trace"))
    i[3, 10:15], q[4, 7] = 32767, -32768
    write_line(tmp_path / "900nm.npz", **{**arrays, "i_trace": i, "q_trace": q})
    found = summarise_folder(tmp_path, sample_rate_hz=2e6)
    assert found.unit == "counts" and found.lines[0].saturated == 6


def test_the_pdf_has_its_pages_and_the_json_its_numbers(folder, tmp_path):
    pdf, numbers = make_report(folder, tmp_path / "r.pdf")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF") and content.count(b"/Type /Page ") == 5  # 3 and one a line
    told = json.loads(numbers.read_text())
    assert [x["line"] for x in told["lines"]] == ["900nm", "1200.5nm"]
    assert told["metadata"]["opt_filt_R"] == {"900": 11.5}
    assert told["lines"][0]["masked"] == 7


def test_the_same_folder_gives_the_same_bytes(folder, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "900nm.npz").write_bytes((folder / "900nm.npz").read_bytes())
    one, two = (make_report(tmp_path / "one", tmp_path / f"{k}.pdf", sample_rate_hz=2e6) for k in "ab")
    assert [f.read_bytes() for f in one] == [f.read_bytes() for f in two]


def test_explore_writes_what_it_is_asked_for(summary, tmp_path):
    from matplotlib.image import imread

    files = explore(summary, tmp_path / "plots", line="900nm")
    assert [f.stem for f in files] == [*PLOTS, "900nm"]
    for file in files:
        assert imread(file)[..., :3].std() > 0.02  # something is drawn
    assert [f.name for f in explore(summary, tmp_path / "one", ["noise"])] == ["noise.png"]
    with pytest.raises(DataError, match="plots.*spectrum"):
        explore(summary, tmp_path, ["spectrum"])
    with pytest.raises(DataError, match="808nm.*900nm"):
        explore(summary, tmp_path, line="808nm")


def test_the_commands(folder, tmp_path, capsys):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "900nm.npz").write_bytes((folder / "900nm.npz").read_bytes())
    assert command.main([str(tmp_path / "one"), "--sample-rate", "2e6"]) == 0
    assert "4 pages, laser lines: 1" in capsys.readouterr().out
    assert (tmp_path / "one-report.pdf").is_file() and (tmp_path / "one-report.json").is_file()
    assert explore_command.main([str(folder), "--plots", "heights", "--out", str(tmp_path / "p")]) == 0
    assert sorted(f.name for f in (tmp_path / "p").iterdir()) == ["heights.png"]
    for run, arguments in ((command, ["--out", "x.png"]), (command, ["--peak-sigma", "-1"]),
                           (explore_command, ["--out", "x", "--plots", "no"])):
        assert run.main([str(folder), *arguments]) == 2
        assert capsys.readouterr().err.rpartition("error: ")[2].strip()
    assert command.main([str(tmp_path / "none")]) == 2 and "no such folder" in capsys.readouterr().err
    for run in (command, explore_command):
        with pytest.raises(SystemExit):
            run.main(["--help"])
        assert "examples:" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_named(folder, tmp_path):
    write_line(tmp_path / "900nm.npz", **user_arrays())
    write_line(tmp_path / "1000nm.npz", **user_arrays(samples=500))
    with pytest.raises(DataError, match="500 samples.*600"):
        summarise_folder(tmp_path, sample_rate_hz=2e6)
    with pytest.raises(DataError, match="sample_rate_hz"):
        summarise_folder(tmp_path)
