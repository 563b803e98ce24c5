"""The stand-alone overlay: driver (NumPy part), DMA adapter (cocotb), Vivado script (stand-ins for Vivado)."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sim.toolchain import verilator_environment
from venom_hw.boards import BOARDS_FOLDER, available_boards, load_board

COMMON = BOARDS_FOLDER / "common"


def load_driver():
    """The driver stands alone and is no package: load it from its file."""
    spec = importlib.util.spec_from_file_location("venom_overlay", COMMON / "venom_overlay.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


driver = load_driver()
SHAPE = {"channel_bits": 4, "revisit": 8, "max_steps": 20}


def some_windows(seed=0):
    generator = np.random.default_rng(seed)

    def counts(steps):
        return generator.integers(-32768, 32768, (steps, 2)).astype(np.int16)

    return [(3, counts(20)), (0, counts(1)), (3, counts(5)), (15, counts(13)), (0, counts(7)), (0, counts(2))]


def test_packed_windows_come_apart_again():
    windows = some_windows()
    words = driver.pack_windows(windows, **SHAPE)
    positions = {}
    got = {}
    for position, word in enumerate(words.tolist()):
        if not word >> 63:
            continue
        user, last = word >> 32 & 0xFFFF, word >> 48 & 1
        channel, start = user & 15, user >> 4
        assert start in (0, 1)
        assert position - positions.get(channel, -8) >= SHAPE["revisit"]
        positions[channel] = position
        if start:
            got.setdefault(channel, []).append(([], []))
        got[channel][-1][0].append([word & 0xFFFF, word >> 16 & 0xFFFF])
        got[channel][-1][1].append(last)
    for channel in got:
        expected = [counts for number, counts in windows if number == channel]
        assert len(expected) == len(got[channel])
        for counts, (samples, lasts) in zip(expected, got[channel], strict=True):
            assert np.array_equal(np.array(samples, np.uint16).view(np.int16), counts)
            assert lasts == [0] * (len(counts) - 1) + [1]


def test_more_channels_than_the_revisit_distance_need_no_bubbles():
    windows = [(channel, np.ones((4, 2), np.int16)) for channel in range(16)]
    assert np.all(driver.pack_windows(windows, **SHAPE) >> np.uint64(63) == 1)


@pytest.mark.parametrize(
    "windows, message",
    [
        ([], "no windows"),
        ([(16, np.zeros((3, 2), np.int16))], "channel 16 does not fit in 4 bits"),
        ([(-1, np.zeros((3, 2), np.int16))], "channel -1"),
        ([(1, np.zeros((0, 2), np.int16))], "0 samples, expected 1 to 20"),
        ([(1, np.zeros((21, 2), np.int16))], "21 samples, expected 1 to 20"),
        ([(1, np.zeros((3, 2), np.int32))], "expected int16"),
        ([(1, np.zeros((3,), np.int16))], r"expected int16 \(steps, 2\)"),
    ],
)
def test_windows_that_the_core_cannot_take(windows, message):
    with pytest.raises(driver.OverlayError, match=message):
        driver.pack_windows(windows, **SHAPE)


def test_results_are_in_electronvolts():
    words = np.array([1 << 63 | 7 << 32 | (0x10000 - 2048) << 16 | 6144], dtype=np.uint64)
    (result,) = driver.unpack_results(words, 4)
    assert (result["channel"], result["energy_code"], result["log_variance_code"]) == (7, 6144, -2048)
    assert result["energy_eV"] == 1.5
    assert result["sigma_eV"] == pytest.approx(np.exp(-1.0))


def test_an_incomplete_transfer_is_noticed():
    with pytest.raises(driver.OverlayError, match="result 1 lacks its valid bit"):
        driver.unpack_results(np.array([1 << 63, 0], dtype=np.uint64), 4)


def test_shape_of_the_core_comes_from_the_manifest(tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(SHAPE | {"top": "venom"}))
    assert driver.core_shape(manifest) == SHAPE
    manifest.write_text(json.dumps(SHAPE | {"revisit": None}))
    with pytest.raises(driver.OverlayError, match="no revisit; expected the manifest.json"):
        driver.core_shape(manifest)


class StandInBoard:
    """pynq with a core that answers each window with energy code = its channel; `loses` results never come."""

    def __init__(self, loses=0):
        self.loses, self.registers, self.sent = loses, {}, []
        self.freed = 0

    def mmio(self, name):
        board = self

        class Mmio:
            def read(self, offset):
                return board.registers.get((name, offset), 0)

            def write(self, offset, value):
                board.registers[name, offset] = value

        return SimpleNamespace(mmio=Mmio())

    def overlay(self, bitfile):
        names = ("gpio_control", "gpio_counters", "gpio_windows", "gpio_core")
        send = SimpleNamespace(transfer=self.play, idle=True)
        self.receive = SimpleNamespace(transfer=self.expect, idle=True)
        dma = SimpleNamespace(sendchannel=send, recvchannel=self.receive)
        return SimpleNamespace(dma=dma, **{name: self.mmio(name) for name in names})

    def expect(self, buffer):
        self.buffer, self.receive.idle = buffer, False

    def play(self, words):
        last = [word for word in words.tolist() if word >> 63 and word >> 48 & 1]
        for index, word in enumerate(last[: len(last) - self.loses]):
            self.buffer[index] = 1 << 63 | (word >> 32 & 15) << 32 | word >> 32 & 15
        count = len(last) - self.loses
        self.registers["gpio_counters", 0] = self.registers.get(("gpio_counters", 0), 0) + count
        self.registers["gpio_core", 0] = self.loses
        self.receive.idle = count == self.registers["gpio_control", 0]

    def allocate(self, shape, dtype):
        board = self

        class Buffer(np.ndarray):
            def flush(self):
                pass

            invalidate = flush

            def freebuffer(self):
                board.freed += 1

        return np.zeros(shape, dtype).view(Buffer)


@pytest.mark.parametrize("loses", [0, 1])
def test_driver_plays_windows_and_notices_what_is_lost(loses, monkeypatch):
    board = StandInBoard(loses)
    monkeypatch.setitem(sys.modules, "pynq", SimpleNamespace(Overlay=board.overlay, allocate=board.allocate))
    venom = driver.VenomOverlay("venom.bit", **SHAPE)
    if loses:
        with pytest.raises(driver.OverlayError, match=r"5 of 6 results came.*'dropped_in_core': 1"):
            venom.run(some_windows())
    else:
        results = venom.run(some_windows())
        assert sorted(results["channel"]) == [0, 0, 0, 3, 3, 15]
        assert np.array_equal(results["energy_code"], results["channel"])
        assert venom.counters()["results"] == 6
    assert board.freed == 2


def test_adapter_in_simulation(tmp_path, monkeypatch):
    from cocotb_tools.runner import get_results, get_runner

    for name, value in verilator_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WAVES", raising=False)
    np.save(tmp_path / "words.npy", driver.pack_windows(some_windows(), **SHAPE))
    runner = get_runner("verilator")
    runner.build(
        sources=[COMMON / "venom_dma_adapter.v"],
        parameters={"USER_BITS_IN": 5, "USER_BITS_OUT": 4},
        build_args=["-Wall", "-CFLAGS", "-O1"],
        hdl_toplevel="venom_dma_adapter",
        build_dir=tmp_path / "build",
        log_file=tmp_path / "build.log",
        timescale=("1ns", "1ps"),
    )
    monkeypatch.syspath_prepend(str(BOARDS_FOLDER.parent / "tests" / "boards" / "adapter"))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    results = runner.test(
        test_module="adapter_bench",
        hdl_toplevel="venom_dma_adapter",
        hdl_toplevel_lang="verilog",
        test_dir=tmp_path,
        results_xml=str(tmp_path / "results.xml"),
        log_file=tmp_path / "simulation.log",
        extra_env={"ADAPTER_WORDS": str(tmp_path / "words.npy"), "ADAPTER_REVISIT": "8"},
    )
    assert get_results(results) == (2, 0), (tmp_path / "simulation.log").read_text()


# Vivado's commands, reduced to a record of their arguments. get_* give back what they were asked for.
STAND_INS = r"""
set record {}
proc note {args} { global record; lappend record $args }
foreach name {create_project set_property update_ip_catalog add_files update_compile_order create_bd_design
    create_bd_cell apply_bd_automation connect_bd_net connect_bd_intf_net assign_bd_address validate_bd_design
    save_bd_design make_wrapper launch_runs wait_on_run} {
    proc $name {args} "note $name {*}\$args"
}
foreach name {get_bd_cells get_bd_pins get_files get_runs get_board_parts} {
    proc $name {args} { return [lindex $args end] }
}
proc current_project {} { return project }
proc current_fileset {} { return fileset }
proc get_bd_intf_pins {args} {
    if {[llength $args] == 1} { return [lindex $args 0] }
    return [expr {[string match *Slave* $args] ? "core/s_axis" : "core/m_axis"}]
}
proc get_ipdefs {args} {
    if {"-filter" in $args} { return $::env(CORES) }
    return [list [string map {* 9.0} [lindex $args end]] [string map {* 10.0} [lindex $args end]]]
}
proc get_property {name object} {
    if {$name eq "CONFIG.TUSER_WIDTH"} { return [expr {$object eq "core/s_axis" ? 12 : 11}] }
    if {$name eq "PROGRESS"} { return 100% }
    if {$name eq "STATS.WNS"} { return $::env(SLACK) }
    error "get_property $name of $object"
}
rename file real_file
proc file {command args} { if {$command ni {copy mkdir}} { return [uplevel [list real_file $command {*}$args]] } }
rename exit real_exit
proc exit {{status 0}} { dump; real_exit $status }
proc dump {} { foreach line $::record { puts "RECORD $line" } }
set argv [list $::env(IP_FOLDER)]
source $::env(SCRIPT)
exit 0
"""


def run_overlay_script(board, tmp_path, cores="vendor:hls:venom_top:1.0", slack="0.01", ip_folder=None):
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("tclsh is not installed (Debian package tcl)")
    environment = {"CORES": cores, "SLACK": slack, "IP_FOLDER": str(ip_folder or tmp_path),
                   "SCRIPT": str(BOARDS_FOLDER / board / "overlay.tcl")}  # fmt: skip
    return subprocess.run([tclsh], input=STAND_INS, env=environment, capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize("board", available_boards())
def test_overlay_script_builds_a_connected_design(board, tmp_path):
    run = run_overlay_script(board, tmp_path)
    assert run.returncode == 0, run.stderr
    record = re.findall(r"^RECORD (.*)$", run.stdout, re.MULTILINE)
    assert "worst slack 0.01 ns at 512.0 MHz" in run.stdout
    project = next(line for line in record if line.startswith("create_project"))
    assert load_board(board).part in project
    assert f"set_property board_part {load_board(board).board_part} project" in record

    cells = {"ps"} | {line.split()[-1] for line in record if line.startswith("create_bd_cell")}
    assert {"core", "adapter", "dma", "fifo_in", "fifo_out"} <= cells
    assert all(":10.0" in line for line in record if line.startswith("create_bd_cell -type ip -vlnv xilinx"))
    wires = [line.split()[1:] for line in record if line.startswith(("connect_bd_net", "connect_bd_intf_net"))]
    assert all(pin.split("/")[0] in cells for pair in wires for pin in pair)
    driven = [to for _, to in wires]
    assert len(set(driven)) == len(driven), "a pin is driven twice"
    for pin in ("core/ap_clk", "core/ap_rst_n", "core/s_axis", "adapter/s_axis_core", "adapter/packet_words",
                "adapter/aclk", "adapter/aresetn", "dma/axi_resetn", "dma/S_AXIS_S2MM", "dma/S_AXI_LITE",
                "gpio_core/gpio_io_i"):  # fmt: skip
        assert pin in driven
    # Each side of the asynchronous FIFOs is in the clock of what it is connected to.
    clock = {to: source for source, to in wires}
    fast = ("fifo_in/m_axis_aclk", "adapter/aclk", "core/ap_clk", "fifo_out/s_axis_aclk")
    assert {clock[pin] for pin in fast} == {"clocks/clk_out1"}
    slow = ("fifo_in/s_axis_aclk", "dma/m_axi_mm2s_aclk", "dma/m_axi_s2mm_aclk", "fifo_out/m_axis_aclk")
    assert {clock[pin] for pin in slow} == {"clocks/clk_out2"}
    assert any("CONFIG.USER_BITS_IN 12 CONFIG.USER_BITS_OUT 11" in line for line in record)


def test_overlay_script_ports_exist_in_the_adapter(tmp_path):
    source = (COMMON / "venom_dma_adapter.v").read_text(encoding="utf-8")
    run = run_overlay_script("rfsoc4x2", tmp_path)
    for pin in sorted(set(re.findall(r"\badapter/(\w+)", run.stdout))):
        assert re.search(rf"\b{pin}(_tdata)?,", source), f"adapter has no port {pin}"


@pytest.mark.parametrize(
    "case, message",
    [
        ({"slack": "-0.2"}, "timing is not met: worst slack -0.2 ns"),
        ({"cores": ""}, "exactly one IP named venom"),
        ({"cores": "a:hls:venom:1 b:hls:venom:1"}, "exactly one IP named venom"),
        ({"ip_folder": "/nonexistent"}, "no folder /nonexistent; export the IP first"),
    ],
)
def test_overlay_script_says_what_is_wrong(case, message, tmp_path):
    run = run_overlay_script("zcu111", tmp_path, **case)
    assert run.returncode == 1
    assert message in run.stderr
