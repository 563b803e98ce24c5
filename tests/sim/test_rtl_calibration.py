"""Calibration of every channel, loaded through AXI4-Lite: the engine does what golden does with each channel's own."""

import json
from dataclasses import replace

import numpy as np
import pytest
from calibrated import MAX_STEPS, calibrated_network, golden_with

from sim.build import build, simulate
from sim.case import Case, Segment, expect, save_case
from sim.rtl_device import rtl_device
from venom_hw.boards import load_board
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.calibration import MAGIC, CalibrationTensor, calibration_of
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.stimulus import Pulse, schedule
from venom_hw.datapath.passes.loadable import loadable_head, loadable_step

CHANNELS = 5
WORDS = {"affine_weights": 4, "affine_bias": 2, "gain": 1, "offset": 1}


@pytest.fixture(scope="module")
def network():
    return calibrated_network()


@pytest.fixture(scope="module")
def project(network, tmp_path_factory):
    return render_rtl(network, load_board("rfsoc4x2"), tmp_path_factory.mktemp("rtl"), channels=CHANNELS,
                      head="parallel", fifo_depth=64, calibration="loadable")  # fmt: skip


@pytest.fixture(scope="module")
def built(project, tmp_path_factory):
    device = rtl_device(project, tmp_path_factory.mktemp("trace") / "trace", optimise="-O0")
    return device, build(device, tmp_path_factory.mktemp("built"))


@pytest.fixture
def play(built, tmp_path, monkeypatch):
    """Function (segments, expected, before, reads, partial) -> report."""
    device, folder = built

    def run(segments, expected, before, reads=(), partial=()):
        path = tmp_path / "case.npz"
        save_case(Case("case", "", segments, 1, expected=expected), path)
        accesses = {"before": before, "reads": list(reads), "partial": list(partial)}
        monkeypatch.setenv("VENOM_CALIBRATION", json.dumps(accesses))
        (report,) = simulate(device, folder, [path], tmp_path / "run", test_module="calibration_bench")
        return report

    return run


def address(project, channel: int, name: str, index: int = 0) -> int:
    c = project.manifest["calibration"]
    (tensor,) = [t for t in c["tensors"] if t["name"] == name]
    return c["base"] + c["channel_stride"] * channel + tensor["offset"] + 4 * index


def windows(rng, rounds: int = 2):
    pulses = [
        Pulse(c, rng.integers(-32768, 32768, (int(rng.integers(1, MAX_STEPS + 1)), 2)))
        for c in range(CHANNELS)
        for _ in range(rounds)
    ]
    return pulses


def random_calibration(rng):
    """(channels, *shape) by tensor, over the whole range of its type."""
    full = lambda width, shape: rng.integers(-(1 << width - 1), 1 << width - 1, (CHANNELS, *shape))  # noqa: E731
    shapes = {"affine_weights": (13, (2, 2)), "affine_bias": (12, (2,)), "gain": (12, ()), "offset": (12, ())}
    return {name: full(*shape) for name, shape in shapes.items()}


def writes(project, calibration):
    return [
        (address(project, c, name, k), int(word), True)
        for name, values in calibration.items()
        for c in range(CHANNELS)
        for k, word in enumerate(values[c].reshape(-1))
    ]


def of_windows(stimulus, calibration):
    owner = stimulus.runs(MAX_STEPS).channel
    return {name: values[owner] for name, values in calibration.items()}


def test_defaults_are_the_models_constants(network, play, project, built):
    """Nothing written: as the datapath with its constants. And the registers read what the engine is."""
    rng = np.random.default_rng(1)
    stimulus = schedule(windows(rng), channels=CHANNELS, revisit=project.revisit, seed=1)
    expected = expect(stimulus, MAX_STEPS, golden_with(network, {}), built[0].tensors)
    values = [MAGIC, CHANNELS, MAX_STEPS, project.revisit, project.fifo_depth, 0, 0, 0, 0, 0]
    reads = [*zip(range(0, 40, 4), values, strict=True), (address(project, 0, "gain"), 0)]
    report = play([Segment(stimulus)], [expected], [], reads)
    assert report["mismatches"] == 0, report["differences"]
    assert report["results"] == 2 * CHANNELS


def test_the_graph_with_inputs_is_the_graph_with_constants(network):
    from venom_hw.datapath.golden import Golden

    rng = np.random.default_rng(2)
    samples, lengths = rng.integers(-32768, 32768, (40, MAX_STEPS, 2)), rng.integers(1, MAX_STEPS + 1, 40)
    outputs, trace = golden_with(network, {})(samples, lengths)
    result = Golden(network.step, network.head).run(samples, lengths, trace=True)
    for name in ("energy", "log_variance"):
        np.testing.assert_array_equal(outputs[name].reshape(-1), result.outputs[name].reshape(-1))
    valid = np.arange(MAX_STEPS) < lengths[:, None]
    for name, values in trace.items():
        np.testing.assert_array_equal(values[valid], result.trace[name][valid])


@pytest.mark.parametrize("swapped", [False, True])
def test_every_channel_uses_its_own_words(network, play, project, built, swapped):
    """All words of all channels random; a reset in between leaves them. Two channels swapped must be found."""
    rng = np.random.default_rng(3)
    calibration = random_calibration(rng)
    segments = [Segment(schedule(windows(rng), channels=CHANNELS, revisit=project.revisit, seed=k)) for k in range(2)]
    expected = [
        expect(s.stimulus, MAX_STEPS, golden_with(network, of_windows(s.stimulus, calibration)), built[0].tensors)
        for s in segments
    ]
    if swapped:
        calibration = {name: values[[1, 0, *range(2, CHANNELS)]] for name, values in calibration.items()}
    report = play(segments, expected, writes(project, calibration))
    assert (report["mismatches"] > 0) == swapped, report["differences"]


def test_refused_writes_change_nothing(network, play, project, built):
    rng = np.random.default_rng(4)
    stimulus = schedule(windows(rng), channels=CHANNELS, revisit=project.revisit, seed=4)
    expected = expect(stimulus, MAX_STEPS, golden_with(network, {}), built[0].tensors)
    c = project.manifest["calibration"]
    beyond = c["base"] + c["channel_stride"] * CHANNELS  # a channel that does not exist
    refused = [(a, 77, False) for a in (0, 4, 0x3C, beyond, beyond + 8)]
    report = play([Segment(stimulus)], [expected], refused, [(0, MAGIC)], [(address(project, 1, "gain"), 5)])
    assert report["mismatches"] == 0, report["differences"]


def test_address_map(network, project):
    c = project.manifest["calibration"]
    assert {t["name"]: len(t["default"]) for t in c["tensors"]} == WORDS
    assert c["channel_stride"] == 32 and c["base"] == 1 << (3 + 3 + 2)
    readme = (project.folder / "README.md").read_text()
    assert "| 0x18 | gain[0] | s12.9 | 700 | -2048 to 2047 | -2.925 to +2.924 |" in readme
    assert "| 0x14 | affine_bias[1] | s12.9 | -300 | -2048 to 2047 | -6.823 to +6.826 |" in readme
    assert "0x100 + 32 * channel" in readme
    loaded = [*loadable_step(network.step)[1], *loadable_head(network.head)[1]]
    from venom_hw.codegen.names import Names

    made = calibration_of(loaded, dict.fromkeys(WORDS, 9), CHANNELS, Names())
    assert made.address(3, "offset") == address(project, 3, "offset")


def test_what_can_be_loaded_as_multiples_of_the_models_own():
    tensor = CalibrationTensor("gain", "gain", (3,), 8, True, (100, 0, -3), 0, 0, "s8.0")
    assert tensor.limits == (-128, 127)
    assert tensor.factors == ((-1.28, 1.27), None, (-42.333, 42.666))  # never more than there is
    assert replace(tensor, signed=False, default=(100,)).limits == (0, 255)
    assert replace(tensor, signed=False, default=(100,)).factors == ((0.0, 2.55),)


def test_a_network_without_an_affine_has_nothing_to_load(tmp_path):
    from small_network import small_datapath

    network, board = small_datapath(), load_board("rfsoc4x2")
    plain = render_rtl(network, board, tmp_path, channels=4, calibration="auto", head="parallel")
    assert plain.manifest["calibration"] is None and "s_axi_" not in (tmp_path / "venom.sv").read_text()
    with pytest.raises(CodegenError, match="no affine in front"):
        render_rtl(network, board, tmp_path, channels=4, calibration="loadable", head="parallel")
