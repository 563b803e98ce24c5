"""boards/*/board.toml and its reader."""

import re

import pytest

from venom_hw.boards import BOARDS_FOLDER, BoardError, available_boards, load_board


def test_the_two_boards_are_there():
    assert available_boards() == ["rfsoc4x2", "zcu111"]


@pytest.mark.parametrize("name", available_boards())
def test_board_is_complete(name):
    board = load_board(name)
    assert re.fullmatch(r"xczu(48|28)dr-ffvg1517-2-e", board.part)
    assert board.board_part.split(":")[1] == name
    assert board.total.lut == 425280 and board.total.dsp == 4272
    assert board.hls_period_ns == pytest.approx(1.818, abs=1e-3)
    assert {point.preset for point in board.rates} == {"ptsi", "inhf", "gen3"}
    for part in ("overlay.tcl", "constraints.xdc"):
        assert (board.folder / part).is_file()


@pytest.mark.parametrize(
    "rate, channels, engines, revisit",
    [(500e3, 1024, 2, 1024), (200e3, 2048, 1, 2560), (1e6, 512, 4, 512), (800e3, 640, 4, 640), (1e3, 2048, 1, 512000)],
)
def test_operating_points_of_the_contract(rate, channels, engines, revisit):
    point = load_board("rfsoc4x2").operating_point(rate)
    assert (point.channels, point.engines, point.revisit_clocks) == (channels, engines, revisit)


@pytest.mark.parametrize("rate", [0, -1.0, 600e6, float("nan")])
def test_impossible_rate_is_refused(rate):
    with pytest.raises(BoardError, match="no operating point"):
        load_board("zcu111").operating_point(rate)


@pytest.mark.parametrize("name", ["zcu208", "", "../boards/zcu111", "common"])
def test_unknown_board_lists_those_there_are(name):
    with pytest.raises(BoardError, match="rfsoc4x2, zcu111"):
        load_board(name)


GOOD = (BOARDS_FOLDER / "rfsoc4x2" / "board.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('part = "xczu48dr-ffvg1517-2-e"\n', "", r"board\.toml: part: missing, expected text"),
        ("design_mhz = 512.0", 'design_mhz = "fast"', r"clock\.design_mhz: expected a number above 0, got 'fast'"),
        ("design_mhz = 512.0", "design_mhz = 600.0", r"clock\.hls_target_mhz: 550 is slower than design_mhz = 600"),
        ("pixels = 2048", "pixels = 0", r"readout\.pixels: expected a whole number, at least 1, got 0"),
        ("uram = 20", "uram = 81", r"resources\.free\.uram: 81 is more than the device has \(80\)"),
        ("dsp = 4272", "dsp = 4272\ndps = 1", r"resources\.total\.dps: unknown key"),
        ("channels = 1024", "channels = 1025", r"rates\[0\]\.channels: 1025 channels at 500000 Hz"),
        ("engines = 2", "engines = 1", r"rates\[0\]\.engines: 1 engines of 1024 channels do not cover 2048"),
        ('preset = "inhf"', 'preset = "ptsi"', r"rates: the same preset twice"),
        ('name = "rfsoc4x2"', 'name = "zcu111"', r"name: is 'zcu111', but the folder is 'rfsoc4x2'"),
        ("[readout]", "[readout", r"not valid TOML"),
    ],
)
def test_a_wrong_file_is_told_by_key(tmp_path, old, new, message):
    folder = tmp_path / "rfsoc4x2"
    folder.mkdir()
    assert old in GOOD
    (folder / "board.toml").write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BoardError, match=message):
        load_board("rfsoc4x2", tmp_path)
