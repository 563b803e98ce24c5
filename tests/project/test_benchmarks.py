"""The runner of the benchmarks (not the benchmarks)."""

import json

import pytest

from benchmarks import run as runner
from benchmarks.measurement import Measurement, best_seconds_each


def test_table_shows_met_missed_and_failed():
    def row(faster, aim):
        m = Measurement("scan", 2.0, "mambapy", 2.0 * faster, aim)
        return {"name": m.name, "seconds": m.seconds, "reference": m.reference, "note": "",
                "reference_seconds": m.reference_seconds, "aim": aim, "times_faster": m.times_faster}

    results = [
        {"benchmark": "a", "measurements": [row(6.0, 5.0), row(4.0, 5.0)], "peak_memory_mb": 1},
        {"benchmark": "b", "error": "Traceback\nValueError: no such thing"},
    ]
    lines = runner.table(results).splitlines()
    assert "5 met" in lines[2] and "mambapy 12 s" in lines[2]
    assert "5 MISSED" in lines[3]
    assert "FAILED" in lines[4] and "ValueError: no such thing" in lines[4]
    assert len({len(line) for line in lines}) == 1


def test_results_are_written_and_an_error_turns_the_status(tmp_path, monkeypatch, capsys):
    good = {"benchmark": "a", "peak_memory_mb": 7, "measurements": []}
    monkeypatch.setattr(runner, "names", lambda: ["a", "b"])
    monkeypatch.setattr(runner, "run_apart", lambda name: good if name == "a" else {"benchmark": name, "error": "no"})
    assert runner.main(["--only", "a", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["results"] == [good] and report["machine"]["cores"] >= 1
    assert runner.main(["--out", str(tmp_path)]) == 1
    assert "peak memory 7 MB" in capsys.readouterr().out


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        runner.main(["--only", "nonsense"])
    assert "no benchmark named nonsense" in capsys.readouterr().err


def test_child_that_fails_is_reported():
    result = runner.run_apart("not_there")
    assert result["benchmark"] == "not_there" and "bench_not_there" in result["error"]


@pytest.mark.parametrize("seconds, text", [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 us"), (3e-9, "3 ns")])
def test_duration(seconds, text):
    assert runner.duration(seconds) == text


def test_best_seconds_calls_each_in_turns():
    calls = []
    times = best_seconds_each([lambda: calls.append("a"), lambda: calls.append("b")], repeats=2, warm_up=1)
    assert calls == ["a", "b", "a", "b", "a", "b"] and all(t >= 0 for t in times)
