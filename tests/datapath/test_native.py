"""The compiled engine of the golden model against the reference executor and the NumPy engine, integer for integer."""

import numpy as np
import pytest

from tests.datapath.networks import random_graph, small_recurrent
from venom_hw import compiled
from venom_hw.datapath import DatapathError, FixedType, GraphBuilder, native
from venom_hw.datapath import golden as golden_module
from venom_hw.datapath.golden import Golden, run_by_step
from venom_hw.datapath.native_code import generate
from venom_hw.datapath.reference import initial_states, run_step
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom


def has_compiler():
    try:
        return bool(compiled.compiler())
    except compiled.KernelUnavailable:
        return False


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VENOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("VENOM_GOLDEN", raising=False)
        yield


def windows(rng, step, count, length):
    node = step.inputs[0]
    return rng.integers(node.type.lo, node.type.hi + 1, (count, length, *node.shape))


def assert_same(found, expected, lengths=None):
    for part in ("states", "outputs"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype and np.array_equal(ours[name], theirs[name]), name
    assert found.saturations == expected.saturations
    assert found.trace.keys() == expected.trace.keys()
    for name, theirs in expected.trace.items():
        ours = found.trace[name]
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, name
        for i, length in enumerate(lengths if lengths is not None else [theirs.shape[1]] * len(theirs)):
            assert np.array_equal(ours[i, :length], theirs[i, :length]), (name, i)


@needs_compiler
@pytest.mark.parametrize("seed, narrow_state", [(0, False), (1, True), (2, True), (3, False)])
class TestSmallNetworks:
    def test_every_integer_is_the_reference(self, seed, narrow_state):
        rng = np.random.default_rng(seed)
        step, head = small_recurrent(rng, narrow_state=narrow_state)
        golden = Golden(step, head, engine="native")
        for count, length in ((1, 1), (7, 24), (33, 5)):  # fewer than the lanes, not a multiple, many
            samples = windows(rng, step, count, length)
            result = golden.run(samples, trace=True)
            assert result.engine == "native"
            expected = run_by_step(step, samples)
            for name in (*dict(step.states), *dict(step.outputs)):
                assert np.array_equal(result.trace[name], np.stack(expected[name], axis=1)), name
            for name in dict(step.states):
                assert np.array_equal(result.states[name], expected[name][-1]), name
            finals = {n.name: expected[n.name][-1] for n in head.inputs}
            for name, value in run_step(head, finals, {}).outputs.items():
                assert np.array_equal(result.outputs[name], value), name

    def test_lengths_saturations_and_threads(self, seed, narrow_state):
        rng = np.random.default_rng(seed)
        step, head = small_recurrent(rng, narrow_state=narrow_state)
        samples, lengths = windows(rng, step, 61, 24), rng.integers(1, 25, 61)
        expected = Golden(step, head, engine="numpy").run(samples, lengths, trace=True)
        if narrow_state:
            assert expected.saturations.get("h_out"), "the state is made narrow so that it saturates"
        for threads in (1, 2, 3, 100):
            golden = Golden(step, head, engine="native", threads=threads)
            assert_same(golden.run(samples, lengths, trace=True), expected, lengths)
            assert_same(golden.run(samples, lengths), Golden(step, head, engine="numpy").run(samples, lengths))


@needs_compiler
@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_of_every_operation(seed):
    graph = random_graph(np.random.default_rng(seed), operations=24, max_width=33)
    samples = windows(np.random.default_rng(seed), graph, 67, 1)
    result = Golden(graph, engine="native").run(samples, trace=True)
    expected = run_step(graph, {"x": samples[:, 0]}, {})
    for name, value in expected.outputs.items():
        assert np.array_equal(result.trace[name][:, 0], value), name
    assert result.saturations == {name: n for name, n in expected.saturations.items() if n}


def test_the_random_graphs_have_every_operation():
    graphs = [random_graph(np.random.default_rng(seed), operations=24, max_width=33) for seed in range(8)]
    met = {node.op for graph in graphs for node in graph.nodes}
    assert met >= {
        "add", "sub", "mul", "maximum", "requantise", "table", "constmatmul", "reduce", "reshape", "slice", "concat",
        "normalise", "shift", "matmul", "constant",
    }  # fmt: skip


@needs_compiler
def test_states_of_states_are_read_before_they_are_written():
    b = GraphBuilder("line", max_steps=9)
    type_ = FixedType(True, 6, 0)
    x = b.input("x", (3,), type_)
    for name in ("first", "second", "third"):
        b.state(name, (3,), type_)
    b.next_state("third", "second")
    b.next_state("first", x)
    b.next_state("second", "first")
    sums, _ = b.accumulator("total", b.mul("third", "second"), out="total_out")
    step = b.build({"twice": b.add("third", x)})
    samples = windows(np.random.default_rng(0), step, 5, 9)
    trace = Golden(step, engine="native").run(samples, trace=True).trace
    expected = run_by_step(step, samples)
    for name in ("first", "second", "third", sums, "twice"):
        assert np.array_equal(trace[name], np.stack(expected[name], axis=1)), name


@pytest.fixture(scope="module")
def ptsi():
    files = find_model("ptsi")
    return import_venom(files.step, files.head)


@needs_compiler
class TestShippedModel:
    def test_is_the_numpy_engine(self, ptsi):
        rng = np.random.default_rng(5)
        length = ptsi.step.max_steps
        samples = windows(rng, ptsi.step, 300, length)  # the whole range of the input: nearly everything saturates
        samples[100:] = np.clip(samples[100:] // 8 + rng.integers(-8000, 8000, (200, 1, 2)), -32768, 32767)
        lengths = rng.integers(1, length + 1, 300)
        lengths[::3] = length
        native, numpy = (Golden(ptsi.step, ptsi.head, engine=e) for e in ("native", "numpy"))
        found, expected = (g.run(samples, lengths, trace=True) for g in (native, numpy))
        assert (found.engine, expected.engine) == ("native", "numpy")
        assert_same(found, expected, lengths)
        assert len(found.saturations) > 8
        assert_same(native.run(samples), numpy.run(samples))

    def test_is_the_reference(self, ptsi):
        samples = windows(np.random.default_rng(6), ptsi.step, 40, 12)
        result = Golden(ptsi.step, ptsi.head, engine="native").run(samples, trace=True)
        states, saturations = initial_states(ptsi.step, 40), {}
        for t in range(12):
            one = run_step(ptsi.step, {ptsi.step.inputs[0].name: samples[:, t]}, states)
            states = one.states
            for name, value in {**one.outputs, **states}.items():
                assert np.array_equal(result.trace[name][:, t], value), (name, t)
            for name, count in one.saturations.items():
                saturations[name] = saturations.get(name, 0) + count
        step = {name: n for name, n in result.saturations.items() if not name.startswith("head.")}
        assert step == {name: n for name, n in saturations.items() if n}

    @pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
    def test_narrower_vectors_give_the_same(self, ptsi, flag, monkeypatch):
        samples = windows(np.random.default_rng(7), ptsi.step, 13, 20)
        expected = Golden(ptsi.step, ptsi.head, engine="numpy").run(samples, trace=True)
        monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, flag))
        golden = Golden(ptsi.step, ptsi.head, engine="native")
        try:
            assert_same(golden.run(samples, trace=True), expected)
        except compiled.KernelUnavailable as error:
            pytest.skip(f"this processor's compiler has no {flag}: {error}")

    def test_compiles_without_a_warning(self, ptsi, tmp_path):
        source = generate(ptsi.step).source
        compiled.compile_library(source, "golden", (*native.FLAGS, "-Werror"), what="step", folder=tmp_path)

    def test_weights_are_not_in_the_source(self, ptsi):
        """Retrained weights of the same formats need no other library."""
        code = generate(ptsi.step)
        assert len(code.source) < 40_000 and len(code.tables) > 100_000


class TestChoiceOfEngine:
    step, head = small_recurrent(np.random.default_rng(0))

    def samples(self, count):
        return windows(np.random.default_rng(1), self.step, count, 24)

    @needs_compiler
    def test_auto_compiles_for_large_calls_and_stays_with_it(self):
        golden = Golden(self.step, self.head)
        assert golden.run(self.samples(3)).engine == "numpy"
        assert golden.run(self.samples(200)).engine == "native"
        assert golden.run(self.samples(3)).engine == "native"

    @needs_compiler
    def test_environment_says_what_auto_is(self, monkeypatch):
        monkeypatch.setenv("VENOM_GOLDEN", "native")
        assert Golden(self.step).run(self.samples(3)).engine == "native"
        monkeypatch.setenv("VENOM_GOLDEN", "numpy")
        assert Golden(self.step).run(self.samples(200)).engine == "numpy"
        assert Golden(self.step, engine="native").run(self.samples(3)).engine == "native"

    def test_without_a_compiler_there_is_one_warning_and_the_same_result(self, monkeypatch):
        monkeypatch.setenv("CXX", "no-such-compiler")
        golden_module.warn_once.cache_clear()
        samples = self.samples(200)
        with pytest.warns(RuntimeWarning, match="no-such-compiler") as warned:
            results = [Golden(self.step, self.head).run(samples) for _ in range(2)]
        assert len(warned) == 1
        expected = Golden(self.step, self.head, engine="numpy").run(samples)
        for result in results:
            assert result.engine == "numpy"
            assert_same(result, expected)
        with pytest.raises(compiled.KernelUnavailable, match="no-such-compiler"):
            Golden(self.step, engine="native").run(samples)

    def test_an_unknown_engine_is_refused(self, monkeypatch):
        with pytest.raises(DatapathError, match="golden engine 'fortran'; the engines are auto, numpy, native"):
            Golden(self.step, engine="fortran")
        monkeypatch.setenv("VENOM_GOLDEN", "fortran")
        with pytest.raises(DatapathError, match="fortran"):
            Golden(self.step)


class TestRefused:
    def test_a_tensor_beyond_53_bits(self):
        b = GraphBuilder("wide")
        x = b.input("x", (2,), FixedType(True, 30, 0))
        b.mul(x, x, name="square")
        with pytest.raises(DatapathError, match=r"node 'square' \(mul\): \d+ is beyond the 53 bits"):
            generate(b.build({"y": "square"}))

    def test_a_partial_sum_beyond_53_bits(self):
        """The sum fits, what stands on the way to it does not."""
        b = GraphBuilder("wide")
        x = b.constant(np.array([2**52, 2**52, -(2**52), -(2**52)]), FixedType(True, 54, 0))
        total = b.reduce(x, 0, name="total")
        with pytest.raises(DatapathError, match=r"node 'total' \(reduce\): \d+ is beyond the 53 bits"):
            generate(b.build({"y": total}))
