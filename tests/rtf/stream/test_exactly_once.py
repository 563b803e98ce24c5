"""Killed at any line, cut off from power, torn in the journal: afterwards every alert has exactly one fingerprint."""

import json
import os
import shutil

import numpy as np
import pytest

from rtf_models.stream.errors import JournalError, StreamError
from rtf_models.stream.journal import Journal
from tests.rtf.stream.power import Disk
from tests.rtf.stream.toy import encode, killed_after, letters, rows, survey, visible, write_avro

COMMIT_FILES = ("journal.py", "durable.py")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Three files of 40 alerts, two of them repeats, one file cut off; and what one run makes of them."""
    folder = tmp_path_factory.mktemp("night")
    packets = survey(np.random.default_rng(3), 38)
    write_avro(folder / "alerts" / "a.avro", packets[:15])
    write_avro(folder / "alerts" / "b.avro", packets[10:12] + packets[15:27])
    write_avro(folder / "alerts" / "c.avro", packets[27:])
    cut = (folder / "alerts" / "c.avro").read_bytes()[:-40]
    (folder / "alerts" / "c.avro").write_bytes(cut)
    totals = encode([folder / "alerts"], folder / "whole")
    return folder / "alerts", rows(folder / "whole"), letters(folder / "whole"), totals


@pytest.fixture
def no_waiting(monkeypatch):
    """A killed process loses nothing that it has written: flushing to the disk is for power cuts, and slow."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def finish_and_compare(night, out):
    alerts, wanted, wanted_letters, wanted_totals = night
    totals = encode([alerts], out)
    assert rows(out) == wanted
    assert letters(out) == wanted_letters
    assert totals == wanted_totals
    assert not list(out.rglob("*.pending"))


def test_one_run_counts_every_alert(night):
    _, wanted, wanted_letters, totals = night
    assert totals["duplicates"] == 2 and totals["no_detection"] >= 1 and totals["broken"] == len(wanted_letters) == 1
    assert totals["alerts"] == sum(totals[k] for k in ("fingerprints", "duplicates", "no_detection", "broken"))
    assert len(wanted) == totals["fingerprints"] == len({candid for _, candid, *_ in wanted})


def test_killed_at_any_line_then_started_again(night, tmp_path, no_waiting):
    count = killed_after(None, lambda: encode([night[0]], tmp_path / "count"))
    draw = np.random.default_rng(0)
    for line in sorted({1, 2, count, *draw.integers(1, count, 30).tolist()}):
        out = tmp_path / f"out{line}"
        killed_after(line, lambda out=out: encode([night[0]], out))
        seen = visible(out) if out.exists() else []
        finish_and_compare(night, out)
        assert set(seen) <= set(visible(out))  # what a reader may have seen is never taken back


@pytest.mark.parametrize("step", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_line_of_the_journal(night, tmp_path, no_waiting, step):
    count = killed_after(None, lambda: encode([night[0]], tmp_path / "count"), COMMIT_FILES)
    for line in range(1, count + 1, step):
        out = tmp_path / f"out{line}"
        assert killed_after(line, lambda out=out: encode([night[0]], out), COMMIT_FILES) is None
        finish_and_compare(night, out)


def test_killed_again_and_again_in_one_folder(night, tmp_path, no_waiting):
    """The restart is killed too, in the middle of its recovery or just after."""
    for seed in range(3):
        draw, out, kills = np.random.default_rng(seed), tmp_path / f"out{seed}", 0
        while killed_after(int(draw.integers(1, 4000)), lambda out=out: encode([night[0]], out)) is None:
            kills += 1
        assert kills > 1
        finish_and_compare(night, out)


def test_parts_may_be_taken_away_as_they_come(night, tmp_path, no_waiting):
    out, taken = tmp_path / "out", tmp_path / "taken"
    taken.mkdir()
    found = []
    draw = np.random.default_rng(5)
    while True:
        ended = killed_after(int(draw.integers(500, 6000)), lambda: encode([night[0]], out)) is not None
        for name in visible(out) if out.exists() else []:
            found.append(name)
            shutil.move(out / name, taken / name)
        if ended:
            break
    assert len(found) == len(set(found))
    shutil.copytree(out / "state", taken / "state")
    assert rows(taken) == night[1]


def test_power_cut(night, tmp_path):
    """Whatever was not flushed is gone or torn, names that were not flushed too."""
    assert all(not cut_is_wrong(night, tmp_path / f"cut{seed}", seed) for seed in range(15))


@pytest.mark.parametrize("forgotten", ["content", "folder"])
def test_the_power_cut_would_notice_a_forgotten_flush(night, tmp_path, forgotten):
    def forget(path):
        return os.path.isdir(path) == (forgotten == "folder")

    assert any(cut_is_wrong(night, tmp_path / f"cut{seed}", seed, forget) for seed in range(40))


def cut_is_wrong(night, out, seed, forget=None) -> bool:
    """One power cut at a line drawn by the seed, and a restart: does the result differ?"""
    draw = np.random.default_rng(seed)
    disk = Disk(out.with_suffix(".log"), forget)
    killed_after(int(draw.integers(800, 6000)), lambda: encode([night[0]], out), before=disk.watch)
    disk.cut(out, draw)
    try:
        encode([night[0]], out)
    except (JournalError, StreamError):
        return True
    return rows(out) != night[1] or letters(out) != night[2]


@pytest.fixture
def done(night, tmp_path):
    out = tmp_path / "out"
    encode([night[0]], out)
    return out, out / "state" / "journal.jsonl"


def test_torn_last_line_of_the_journal(night, done):
    """Every length of the last line: its commit has not happened, and is made again."""
    out, journal = done
    content = journal.read_bytes()
    start = content[:-1].rfind(b"\n") + 1
    for end in range(start, len(content), 37):
        journal.write_bytes(content[:end])
        finish_and_compare(night, out)


def test_a_damaged_line_within_the_journal_is_an_error(night, done):
    out, journal = done
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"alerts": ', b'"alerts": 1')
    journal.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match="line 3: damaged"):
        encode([night[0]], out)


def test_a_missing_state_file_is_an_error(night, done):
    out, _ = done
    sorted((out / "state").glob("state-*.npz"))[-1].unlink()
    with pytest.raises(JournalError, match="state"):
        encode([night[0]], out)


def test_another_model_may_not_write_into_the_folder(done):
    with pytest.raises(JournalError, match=r"model 'abab.*another output folder"):
        Journal(done[0], {"model": "cd" * 32})


def test_only_one_process_at_a_time(done):
    with Journal(done[0], {"model": "ab" * 32}), pytest.raises(StreamError, match="another process"):
        Journal(done[0], {"model": "ab" * 32})


def test_journal_lines_are_plain_json(done):
    lines = [json.loads(line) for line in done[1].read_text().splitlines()]
    assert [line["commit"] for line in lines[1:]] == list(range(1, len(lines)))
