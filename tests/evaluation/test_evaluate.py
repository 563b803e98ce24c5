"""The table of estimators on a detector whose answers are known, and its ways of saying that a number lies."""

import dataclasses
import json

import numpy as np
import pytest

from venom_hw.detector import PRESETS, photon_energy
from venom_hw.detector.cramer_rao import resolving_power_bound
from venom_hw.evaluation import EvaluationError, evaluate_estimators, read_report, write_report
from venom_hw.evaluation.estimators import BOUND, FILTERS, FLOAT, STORED
from venom_hw.evaluation.markdown import headline_markdown, report_markdown
from venom_hw.evaluation.sample import load_sample, simulated_preset
from venom_hw.evaluation.text import text_report

from .conftest import LENGTH, LINES, at_energies, known_pulses

QUICK = dict(n_boot=25, filters=["shared"])


def test_known_resolving_power_with_its_interval(known_model):
    report = evaluate_estimators(known_model, known_pulses(20.0), **QUICK)
    for metric in ("kde", "scott", "gaussian"):
        found = report.tables[metric].mean(FLOAT)
        assert found.low < 20 < found.high and abs(found.value / 20 - 1) < 0.08
    for name in (FLOAT, FILTERS["shared"]):
        for label in report.tables["kde"].labels:
            bias = report.tables["kde"].bias_of_line(name, label)
            assert abs(bias.value) < 0.004 and bias.high - bias.low < 0.01
    assert report.between is None and report.integers is None and report.bound is None and report.warnings() == []


def test_a_worse_estimator_is_found_worse_by_the_right_amount(known_model):
    known_model.scatter = 0.03
    report = evaluate_estimators(known_model, known_pulses(20.0), **QUICK)
    expected = 1 / (2.3548 * np.hypot(0.03, 1 / 20 / 2.3548))
    assert abs(report.tables["gaussian"].mean(FLOAT).value / expected - 1) < 0.04
    difference = report.tables["kde"].difference(FLOAT, FILTERS["shared"])
    assert difference.high < 0 and difference.low < expected - 20 < difference.high


def test_calibrations_come_from_training_pulses_alone(known_model):
    """Held-out pulses that all lie 10 % high move their own energies, and no calibration or template."""
    pulses = known_pulses(20.0)
    first = evaluate_estimators(known_model, pulses, **QUICK)
    held = load_sample(known_model, pulses).held_out
    half = held[::2]
    counts = pulses.counts.copy()
    high = known_pulses(20.0, seed=9, wavelengths=at_energies(1.1 * photon_energy(w) for w in LINES))
    counts[half] = high.counts[half]
    second = evaluate_estimators(known_model, dataclasses.replace(pulses, counts=counts), **QUICK)
    kept = ~np.isin(held, half)
    for name in first.names:
        np.testing.assert_array_equal(first.estimates[name][kept], second.estimates[name][kept])
        shift = np.median(second.estimates[name][~kept] / first.energies[~kept])
        assert abs(shift - 1.1) < 0.02


def test_a_gain_is_calibrated_away(known_model):
    known_model.gain = 1.15
    report = evaluate_estimators(known_model, known_pulses(20.0), **QUICK)
    assert abs(report.tables["gaussian"].mean(FLOAT).value / 20 - 1) < 0.06
    assert report.slopes[FLOAT] == pytest.approx((1 / 1.15, 1 / 1.15), rel=0.1)
    assert not report.warnings()


def test_snapping_to_lines_is_seen_between_them(known_model):
    between = known_pulses(20.0, 300, 5, at_energies([0.99, 1.08, 1.18]))
    honest = evaluate_estimators(known_model, known_pulses(20.0), between=between, **QUICK)
    assert 0.8 < honest.snapping()[FLOAT] < 1.5 and not honest.warnings()
    assert abs(honest.between["gaussian"].mean(FLOAT).value / 20 - 1) < 0.1
    assert FILTERS["per_wavelength"] not in honest.between["kde"].value
    known_model.snap = 0.8
    snapped = evaluate_estimators(known_model, known_pulses(20.0), between=between, **QUICK)
    assert snapped.tables["kde"].mean(FLOAT).value > 40  # what a table of the lines alone would boast of
    assert any("snaps to the lines" in warning for warning in snapped.warnings())


def test_a_network_that_shrinks_energies_is_seen(known_model):
    class Shrinking(type(known_model)):
        def predict(self, counts, **_):
            energy, variance = super().predict(counts)
            return 1.1 + 0.2 * (energy - 1.1), variance

    model = Shrinking(*(getattr(known_model, f.name) for f in dataclasses.fields(known_model)))
    report = evaluate_estimators(model, known_pulses(20.0), **QUICK)
    assert report.slopes[FLOAT][1] > 3 and any("slopes" in warning for warning in report.warnings())


def test_all_estimators_see_the_held_out_pulses_of_the_model_s_own_split(known_model):
    pulses = known_pulses(20.0, 100)
    sample = load_sample(known_model, pulses, calibration_pulses=20)
    np.testing.assert_array_equal(np.bincount(pulses.wl_ids[sample.held_out]), [50] * 4)
    np.testing.assert_array_equal(np.bincount(pulses.wl_ids[sample.calibration]), [20] * 4)
    assert not set(sample.held_out) & set(sample.train) and set(sample.calibration) <= set(sample.train)
    known_model.training["settings"]["split_seed"] = 4
    assert set(load_sample(known_model, pulses).held_out) != set(sample.held_out)


def test_windows_that_end_early_are_left_out_and_said(known_model):
    pulses = known_pulses(20.0, 100)
    lengths = pulses.lengths.copy()
    lengths[:7] = LENGTH - 3
    sample = load_sample(known_model, dataclasses.replace(pulses, lengths=lengths))
    assert not set(range(7)) & (set(sample.train) | set(sample.held_out))
    assert sample.notes == ["7 of 400 windows end early and were left out."]


def test_a_folder_of_short_windows_is_judged_at_their_length(known_model):
    """As of postage stamps: most windows of each line end at sample 24 or 25, and none of what is there is used."""
    pulses = known_pulses(20.0, 400)
    lengths = np.where(np.arange(len(pulses)) % 2 == 0, 24, 25)
    lengths[::100] = 12
    counts = np.where(np.arange(LENGTH)[None, :, None] < lengths[:, None, None], pulses.counts, -999).astype(np.int16)
    short = dataclasses.replace(pulses, counts=counts, lengths=lengths)
    sample = load_sample(known_model, short)
    assert sample.judged.counts.shape[1:] == (24, 2) and (sample.judged.lengths == 24).all()
    assert "first 24 of the model's 32" in sample.notes[0] and "16 of 1600" in sample.notes[1]
    assert not (sample.judged.counts == -999).any()
    between = known_pulses(20.0, 300, 5, at_energies([0.99, 1.18]))
    report = evaluate_estimators(known_model, sample, between=between, n_boot=5)
    assert report.names == [*FILTERS.values(), FLOAT] and report.provenance["window"]["length"] == 24
    for name in report.names:
        assert abs(report.tables["gaussian"].mean(name).value / 20 - 1) < 0.12
    with pytest.raises(EvaluationError, match="most windows end after 6 samples, before their pulse"):
        load_sample(known_model, dataclasses.replace(pulses, lengths=np.full(len(pulses), 6)))


def test_all_kinds_of_filter(known_model):
    report = evaluate_estimators(known_model, known_pulses(20.0, 400), n_boot=5)
    assert report.names == [*FILTERS.values(), FLOAT]
    for name in report.names:  # the pulse is the same but for its height: they all find it
        assert abs(report.tables["gaussian"].mean(name).value / 20 - 1) < 0.1


def test_without_noise_windows_the_filters_are_left_out_and_that_is_said(known_model):
    quiet = dataclasses.replace(known_pulses(20.0, 400), noise=None)
    report = evaluate_estimators(known_model, quiet, n_boot=5)
    assert report.names == [FLOAT] and report.pairs() == []
    assert "No optimal filters: the folder has no noise windows" in report.notes[0]
    assert "No optimal filters" in text_report(report) and "No optimal filters" in report_markdown(report.to_dict())
    assert evaluate_estimators(known_model, quiet, n_boot=5, filters=[]).notes == []
    with pytest.raises(EvaluationError, match="filter 'wiener'"):
        evaluate_estimators(known_model, quiet, filters=["wiener"])


def test_what_cannot_be_judged_is_refused(known_model):
    with pytest.raises(EvaluationError, match="filter 'wiener': expected one of shared"):
        evaluate_estimators(known_model, known_pulses(20.0, 100), filters=["wiener"])
    with pytest.raises(EvaluationError, match="one line only"):
        evaluate_estimators(known_model, known_pulses(20.0, 100, wavelengths=LINES[:1]), **QUICK)
    with pytest.raises(EvaluationError, match="5 held-out windows"):
        evaluate_estimators(known_model, known_pulses(20.0, 10), **QUICK)
    known_model.window["length"] = LENGTH + 1
    with pytest.raises(EvaluationError, match="expected windows of the model, 33"):
        evaluate_estimators(known_model, known_pulses(20.0, 100), **QUICK)


def test_relations_of_data_to_training_are_said(known_model):
    known_model.data.update(simulated=True, preset="ptsi", version=2, seed=2, pulses=50)
    pulses = known_pulses(20.0, 100)

    def notes(**source):
        source = {"simulated": True, "preset": "ptsi", "version": 2, "seed": 1, "pulses": 50} | source
        return load_sample(known_model, dataclasses.replace(pulses, source=source)).notes

    assert notes() == [] == notes(seed=2) and notes(simulated=False, seed=2, pulses=3) == []
    assert "foreign detector" in notes(version=1)[0] and "foreign detector" in notes(preset="inhf")[0]
    assert "same simulation" in notes(seed=2, pulses=60)[0]


def test_bound_of_a_simulated_folder(known_model):
    preset = PRESETS["ptsi"]
    pulses = known_pulses(20.0, 100, wavelengths=preset.wavelengths_nm)
    assert simulated_preset(pulses) is None
    parameters = json.loads(json.dumps(preset.to_dict()))
    simulated = dataclasses.replace(pulses, source={"simulated": True, "parameters": parameters})
    assert simulated_preset(simulated) == preset
    old = {k: v for k, v in parameters.items() if k != "tau_s"}
    assert simulated_preset(dataclasses.replace(pulses, source={"simulated": True, "parameters": old})) is None
    report = evaluate_estimators(known_model, simulated, **QUICK)
    assert report.bound[0] == resolving_power_bound(preset, photon_energy(preset.wavelengths_nm[0]), pulses.window)
    assert BOUND in text_report(report) and BOUND in report_markdown(report.to_dict())
    assert evaluate_estimators(known_model, simulated, bound=False, **QUICK).bound is None


def test_an_estimator_above_the_bound_is_said(known_model):
    report = evaluate_estimators(known_model, known_pulses(20.0), **QUICK)
    assert not dataclasses.replace(report, bound=np.full(4, 25.0)).warnings()
    low = dataclasses.replace(report, bound=np.array([25, 25, 8, 25.0]))
    above = [w for w in low.warnings() if FLOAT in w]
    assert len(above) == len(report.tables) == 3
    for warning in above:
        assert "at 1200nm (R " in warning and "bound 8.0" in warning and "1100nm" not in warning
    assert ["prior" in w for w in above] == [True, True, False] and "clipped at 2 sigma" in above[2]
    unclipped = dataclasses.replace(low, provenance=report.provenance | {"peak_sigma": 0.0})
    assert ["a prior, a bias" in w for w in unclipped.warnings() if FLOAT in w] == [True] * 3
    mean = dataclasses.replace(report, bound=np.full(4, report.tables["gaussian"].mean(FLOAT).low - 0.1))
    assert any("all lines (mean R" in w for w in mean.warnings())


def test_the_bound_is_not_shown_for_clipped_rms_errors(known_model):
    report = evaluate_estimators(known_model, known_pulses(20.0, 400), **QUICK)
    bounded = dataclasses.replace(report, bound=np.full(4, 25.0))
    row = next(x for x in text_report(bounded).splitlines() if x.startswith(BOUND))
    assert row.split()[-4:] == ["25.00", "25.00", "(clipped)", "25.00"]
    stored = bounded.to_dict()
    assert stored["bound"]["holds_for"] == ["kde", "scott"]
    markdown = report_markdown(stored)
    assert f"| {BOUND} | 25.0 | 25.0 | (clipped) |" in markdown and "No bound holds for R Gaussian" in markdown
    free = dataclasses.replace(bounded, provenance=report.provenance | {"peak_sigma": 0.0})
    row = next(x for x in text_report(free).splitlines() if x.startswith(BOUND))
    assert row.split()[-4:] == ["25.00"] * 4 and "(clipped)" not in report_markdown(free.to_dict())
    assert free.to_dict()["bound"]["holds_for"] == ["kde", "scott", "gaussian"]


def test_widened_intervals_are_said(known_model):
    report = evaluate_estimators(known_model, known_pulses(20.0, 400), **QUICK)
    assert "widened by 1.3, as measured" in text_report(report)
    assert report.to_dict()["interval_widening"] == {"kde": 1.3, "scott": 1.0, "gaussian": 1.0}
    assert "widened by 1.3, as measured" in report_markdown(report.to_dict())


def test_stored_resolving_power_of_a_filter_stands_beside(known_model):
    pulses = known_pulses(20.0, 400)
    plain = evaluate_estimators(known_model, pulses, **QUICK)
    assert STORED not in text_report(plain) + report_markdown(plain.to_dict())
    report = evaluate_estimators(
        known_model, dataclasses.replace(pulses, opt_R={"1000nm": 11.5, "1200nm": 13.5}), **QUICK
    )
    text, markdown = text_report(report), report_markdown(report.to_dict())
    assert any(x.startswith(STORED) and x.split()[-1] == "12.50" for x in text.splitlines())
    cells = {x.split()[0]: x.split()[-1] for x in text.splitlines() if x.startswith("1") and "nm " in x}
    assert cells == {"1000nm": "11.50", "1100nm": "-", "1200nm": "13.50", "1300nm": "-"}
    assert report.to_dict()["stored_filter_R"] == {"1000nm": 11.5, "1200nm": 13.5}
    assert f"| {STORED} | 12.5 |" in markdown
    row = next(x for x in markdown.splitlines() if x.startswith("| 1200nm"))
    assert row.endswith("| 13.5 |")


def test_a_filter_does_not_snap_its_calibration_is_off(known_model):
    between = known_pulses(20.0, 300, 5, at_energies([0.99, 1.08, 1.18]))
    report = evaluate_estimators(known_model, known_pulses(20.0, 400), between=between, **QUICK)
    name = FILTERS["shared"]
    off = report.between["gaussian"]
    bad = dataclasses.replace(off, value=off.value | {name: off.value[name] / 3})
    kde = report.between["kde"]
    k = kde.labels.index(max(kde.labels))
    shifted = kde.bias[name].copy()
    shifted[k] = 0.25
    kde = dataclasses.replace(kde, bias=kde.bias | {name: shifted})
    (said,) = dataclasses.replace(report, between={"kde": kde, "gaussian": bad}).warnings()
    assert said.startswith(name) and f"{kde.labels[k]} (+250 meV)" in said and "spline" in said
    assert "snaps to" not in said and "train it" not in said


def test_files_and_tables(tmp_path, known_model):
    between = known_pulses(20.0, 200, 5, at_energies([0.99, 1.18]))
    report = evaluate_estimators(known_model, known_pulses(20.0, 400), between=between, **QUICK)
    written = write_report(tmp_path / "a", report, "python -m venom_hw.evaluation ...", {"numpy": "2"})
    assert [p.name for p in written] == ["report.txt", "report.json", "report.md", "report.png"]
    assert written[3].read_bytes()[:4] == b"\x89PNG"
    stored = read_report(tmp_path / "a")
    assert stored == read_report(tmp_path / "a" / "report.json")
    mean = report.tables["kde"].mean(FLOAT)
    assert stored["tables"]["kde"]["estimators"][FLOAT]["mean"]["value"] == mean.value
    assert stored["differences"][0]["of"] == FLOAT and stored["versions"] == {"numpy": "2"}
    assert stored["provenance"]["between_untrained"]
    text, markdown = written[0].read_text(), written[2].read_text()
    assert str(mean) in text and f"{mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}]" in markdown
    assert "on none of which the float model was trained" in markdown and "1200nm" in markdown
    head = headline_markdown({"one": stored, "two": stored})
    rows = head.splitlines()
    assert rows[0].count("4 lines, windows of 32 at 500 kHz | its 2 inner lines") == 2
    assert len(rows) == 2 + len(report.names)
    assert len({row.count("|") for row in rows}) == 1


def test_reports_of_others_are_refused(tmp_path):
    for content in ("{}", "[1]", "no"):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(EvaluationError, match="report.json"):
            read_report(tmp_path)


def test_same_seed_same_numbers(known_model):
    pulses = known_pulses(20.0, 200)
    first, again, other = (evaluate_estimators(known_model, pulses, seed=s, **QUICK).to_dict() for s in (1, 1, 2))
    assert first == again and first["tables"] != other["tables"]
