"""The shipped models through the whole chain: golden vectors and real PtSi pulses, QONNX, reference and HLS C++."""

import json

import numpy as np
import pytest

from sim.hls_bench import run_bench
from venom_hw.boards import load_board
from venom_hw.codegen.csim import build_csim, run_csim
from venom_hw.codegen.hls_project import render_project
from venom_hw.codegen.stimulus import Pulse, schedule
from venom_hw.codegen.vectors import Expected, write_vectors
from venom_hw.datapath.golden import Golden
from venom_hw.detector import Window, load_real_ptsi
from venom_hw.flow.checks import check_qonnx, check_reference
from venom_hw.flow.golden_vectors import load_vectors
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom

CHANNELS, REVISIT = 12, 6


class Chain:
    """A shipped model: files, datapath, golden model and the compiled C simulation."""

    def __init__(self, name, folder):
        self.files = find_model(name)
        self.datapath = import_venom(self.files.step, self.files.head)
        self.golden = Golden(self.datapath.step, self.datapath.head)
        self.folder = folder
        board = load_board("rfsoc4x2")
        self.project = render_project(self.datapath, board, folder / "hls", channels=CHANNELS, revisit=REVISIT)
        self.binary = build_csim(self.project)

    def check(self, samples, lengths):
        """All renderings on these windows; how many were compared."""
        trace = self.golden.run(samples, lengths, trace=True)
        for check in (
            check_qonnx(self.files, self.datapath, trace, samples, lengths, iter),
            check_reference(self.datapath, trace, samples, lengths, iter),
        ):
            assert check.mismatches == 0, check.first
            assert check.integers >= int(lengths.sum()) * self.datapath.state_words
        pulses = [Pulse(i % CHANNELS, s[:n]) for i, (s, n) in enumerate(zip(samples, lengths, strict=True))]
        stimulus = schedule(pulses, channels=CHANNELS, revisit=REVISIT, seed=1)
        expected = self.golden.run(*stimulus.windows(self.datapath.step.max_steps), trace=True)
        path = write_vectors(
            self.folder / "vectors.bin",
            stimulus,
            Expected.of(self.datapath, expected),
            max_steps=self.datapath.step.max_steps,
        )
        result = run_csim(self.project, path, binary=self.binary)
        assert result.mismatches == 0, str(result)
        assert result.windows == len(samples)
        return result.windows


@pytest.fixture(scope="module", params=["ptsi", "inhf"])
def chain(request, tmp_path_factory):
    return Chain(request.param, tmp_path_factory.mktemp(request.param))


def test_golden_vectors_through_every_rendering(chain):
    arrays = load_vectors(chain.files.name).arrays
    assert chain.check(arrays["samples"], arrays["lengths"]) == len(arrays["samples"])


@pytest.fixture
def real(chain, shared_data):
    """(counts, lengths) of the real PtSi pulses at the model's window."""
    path = shared_data / "mkid" / "ptsi_real_2MHz.npz"
    if not path.is_file():
        pytest.skip(f"no real pulses: {path} is not there")
    if chain.files.name != "ptsi":
        pytest.skip("the real pulses are those of a PtSi detector")
    pulses = load_real_ptsi(path, Window.from_dict(dict(chain.datapath.meta["window"])))
    assert len(pulses.counts) > 30 and pulses.lengths.max() <= chain.datapath.step.max_steps
    return pulses.counts, np.asarray(pulses.lengths)


def test_real_ptsi_pulses_through_every_rendering(chain, real):
    assert chain.check(*real) == len(real[0])


def test_real_ptsi_pulses_under_cocotb(chain, real):
    counts, lengths = real
    result = run_bench(
        chain.project, chain.datapath, chain.folder / "bench", pulses=counts, pulse_lengths=lengths,
        scenarios=["pulses"], progress=False,
    )  # fmt: skip
    assert result.mismatches == 0, result.table()
    assert result.results == len(counts) and result.state_words == int(lengths.sum()) * chain.datapath.state_words


def test_the_quantised_model_keeps_the_resolving_power(chain):
    """What the shipped report says of held-out pulses: mean R within 1 % of float."""
    report = json.loads(chain.files.report.read_text())
    for metric in ("kde", "gaussian"):
        change = report["change_of_resolving_power"][metric]
        assert abs(change["value"]) <= 0.01 and change["low"] <= change["value"] <= change["high"], metric
    assert 0 < report["fidelity"]["per_cent"] < 5
    assert report["verification"]["mismatches"] == 0 and report["verification"]["windows"] >= 1000
