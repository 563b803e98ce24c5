"""Exported files: as many Quant nodes as quantisers, every integer equal, two exports alike, nothing of one
machine.
"""

import json
import re

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.quantize.sample import WINDOW, pulses, quantised
from venom_hw.interchange.execute import ExecuteError, Executor, run_qonnx, run_window
from venom_hw.interchange.export import ExportError, count_quantisers, export_graph, quant_nodes
from venom_hw.quantize.files import write_qonnx
from venom_hw.quantize.formats import TensorFormat
from venom_hw.quantize.quantisers import brevitas_quantiser


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    network, formats, _, _ = quantised()
    return network, formats, *write_qonnx(network, formats, folder, model="test", window=WINDOW)


def quantiser_outputs(module, *inputs):
    """(outputs of all Brevitas quantisers of a module by module path, the module's outputs)."""
    from brevitas.nn import QuantIdentity

    seen, handles = {}, []
    for name, m in module.named_modules():
        if isinstance(m, QuantIdentity):
            handles.append(
                m.register_forward_hook(lambda _m, _i, o, name=name: seen.__setitem__(name, o.numpy()))
            )
    outputs = module(*inputs)
    for handle in handles:
        handle.remove()
    return seen, outputs


def test_every_quant_equals_the_network_step_by_step(exported):
    """All 45 + 21 quantisers, by name, over windows with ordinary and with wildly saturating samples."""
    network, _, step_path, head_path = exported
    step, head = Executor(step_path), Executor(head_path)
    network.double()
    counts = pulses(30)
    counts[20:] = np.random.default_rng(0).integers(-32768, 32768, counts[20:].shape)
    states, feeds = network.step.initial_state(30), step.initial_state(30)
    with torch.no_grad():
        for t in range(counts.shape[1]):
            ours, out = quantiser_outputs(network.step, torch.from_numpy(counts[:, t]).double(), *states)
            theirs = step.run({"sample": counts[:, t], **feeds}, intermediate=True)
            assert sorted(step.quants.values()) == sorted(ours)
            for tensor, name in step.quants.items():
                assert np.array_equal(ours[name], theirs[tensor]), (t, name)
            for name, value in zip(step.outputs, out, strict=True):
                assert np.array_equal(value.numpy(), theirs[name]), (t, name)
            states = out[3:]
            feeds = {name: theirs[target] for name, target in step.states.items()}
        ours, _ = quantiser_outputs(network.head, *states[-2:])
        theirs = head.run({"pool_num": feeds["pool_num"], "pool_den": feeds["pool_den"]}, intermediate=True)
    for tensor, name in head.quants.items():
        assert np.array_equal(ours[name], theirs[tensor]), name
    network.float()


def test_whole_windows_through_the_files(exported):
    network, _, step, head = exported
    counts = pulses(20, seed=9)
    files = run_window(Executor(step), Executor(head), counts)
    network.double()
    with torch.no_grad():
        energy, logvar = network.window(network.embed(torch.from_numpy(counts)))
    network.float()
    assert np.array_equal(files["energy"], energy.numpy()) and np.array_equal(
        files["log_variance"], logvar.numpy()
    )


def test_qonnx_agrees(exported):
    """qonnx's float32 executor, wherever the values fit in 24 bits (all but the pooling numerator)."""
    step, head = Executor(exported[2]), Executor(exported[3])
    counts, state = pulses(16), step.initial_state(16)
    for t in range(6):
        out = step.run({"sample": counts[:, t], **state})
        state = {name: out[target] for name, target in step.states.items()}
    ours, theirs = (
        step.run({"sample": counts[:, 6], **state}),
        run_qonnx(step.model, {"sample": counts[:, 6], **state}),
    )
    for name in ("feature", "weight", "conv_out", "h_out", "pool_den_out"):
        assert np.array_equal(ours[name], theirs[name]), name
    feeds = {name: state[name] for name in head.inputs}
    ours, theirs = head.run(feeds), run_qonnx(head.model, feeds)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_count_names_and_metadata(exported):
    network, formats, step_path, head_path = exported
    for module, path in ((network.step, step_path), (network.head, head_path)):
        model = onnx.load(path)
        nodes = quant_nodes(model)
        assert len(nodes) == count_quantisers(module) > 20
        assert len({n.name for n in nodes}) == len(nodes)
        onnx.checker.check_model(onnx.ModelProto.FromString(model.SerializeToString()), full_check=False)
    step, head = Executor(step_path), Executor(head_path)
    assert step.inputs == ["sample", "conv", "h", "pool_num", "pool_den"]
    assert step.outputs == [
        "feature",
        "weight",
        "weighted_feature",
        "conv_out",
        "h_out",
        "pool_num_out",
        "pool_den_out",
    ]
    assert step.states == {n: f"{n}_out" for n in ("conv", "h", "pool_num", "pool_den")}
    assert (head.inputs, head.outputs) == (["pool_num", "pool_den"], ["energy", "log_variance"])
    assert step.metadata["venom.max_steps"] == "24" and json.loads(step.metadata["venom.window"]) == WINDOW
    h = json.loads(step.metadata["venom.input.h"])
    assert np.shape(h["frac"]) == (1, 16, 8) and h["bits"] == formats["step.layers.0.q_h"].bits


def test_parameters_lie_on_their_grids(exported):
    for path in exported[2:]:
        model = onnx.load(path)
        constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        for node in quant_nodes(model):
            if node.input[0] in constants:
                codes = constants[node.input[0]] / constants[node.input[1]]
                assert np.array_equal(codes, np.rint(codes)), node.name
            assert np.array_equal(
                np.frexp(constants[node.input[1]])[0], np.full(np.shape(constants[node.input[1]]), 0.5)
            )


def test_two_exports_are_the_same_bytes_and_carry_no_paths(exported, tmp_path):
    network, formats, step, head = exported
    again = write_qonnx(network, formats, tmp_path / "again", model="test", window=WINDOW)
    for first, second in zip((step, head), again, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert not re.search(rb"site-packages|\.py\b|/tmp|/home|/work|stack_trace", first.read_bytes())
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == ["head.onnx", "step.onnx"]


def test_a_window_longer_than_the_sums_hold_is_refused(exported):
    """contracts, States: accumulators are proven for max_steps."""
    step, head = Executor(exported[2]), Executor(exported[3])
    counts = np.zeros((1, WINDOW["length"] + 1, 2))
    assert step.max_steps == WINDOW["length"]
    run_window(step, head, counts[:, 1:])
    with pytest.raises(ExecuteError, match="a window of 25 samples; the sums of this file are proven for 24"):
        run_window(step, head, counts)


def test_deeper_networks_name_their_states(tmp_path):
    network, formats, _, _ = quantised(n_layers=2, expand=2, d_model=8, d_state=4, d_conv=3, hidden=16)
    step, head = write_qonnx(network, formats, tmp_path, model="deep", window=WINDOW)
    step, head = Executor(step), Executor(head)
    assert list(step.states) == ["conv", "h", "conv_1", "h_1", "pool_num", "pool_den"]
    counts = pulses(8)
    network.double()
    with torch.no_grad():
        energy, _ = network.recurrent(torch.from_numpy(counts))
    assert np.array_equal(run_window(step, head, counts)["energy"], energy.numpy())


class Twice(nn.Module):
    """Uses one quantiser at two places: two Quant nodes for one quantiser."""

    def __init__(self):
        super().__init__()
        self.q = brevitas_quantiser(TensorFormat(8, 4))

    def forward(self, x):
        return self.q(self.q(x) * 3.0)


def test_a_quantiser_used_twice_is_refused(tmp_path):
    with pytest.raises(ExportError, match="exactly one place|quantisers in the model"):
        export_graph(
            Twice(), [torch.zeros(2, 3)], tmp_path / "x.onnx", inputs=["x"], outputs=["y"], metadata={}
        )
    assert list(tmp_path.iterdir()) == []


def test_missing_input_is_named(exported):
    with pytest.raises(ExecuteError, match="pool_den"):
        Executor(exported[3]).run({"pool_num": np.zeros((1, 16))})


class Tokens(nn.Module):
    """Quantised tokens split into two heads and joined again, the number of tokens dynamic."""

    def __init__(self):
        super().__init__()
        self.q_a = brevitas_quantiser(TensorFormat(8, 4), "a")
        self.q_b = brevitas_quantiser(TensorFormat(8, 5), "b")

    def forward(self, x, mask):
        heads = self.q_a(x).unflatten(-1, (2, -1)).transpose(1, 2)
        return self.q_b((heads * mask[:, None, :, None]).transpose(1, 2).flatten(-2))


def test_further_dynamic_axes_and_no_computed_shapes(tmp_path):
    module = Tokens().eval()
    path = export_graph(
        module, [torch.zeros(2, 5, 6), torch.zeros(2, 5)], tmp_path / "tokens.onnx", inputs=["x", "mask"],
        outputs=["y"], metadata={}, axes={"x": {1: "length"}, "mask": {1: "length"}}, ranges={"length": (1, 40)},
    )  # fmt: skip
    model = onnx.load(path)
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "length", 6]
    assert {n.op_type for n in model.graph.node} <= {"Quant", "Reshape", "Transpose", "Mul", "Unsqueeze"}
    shapes = {n.input[1] for n in model.graph.node if n.op_type == "Reshape"}
    assert shapes == {"shape_0_0_2_3", "shape_0_0_6"}
    rng = np.random.default_rng(0)
    for batch, length in ((1, 1), (3, 5), (2, 40)):
        feeds = {"x": rng.normal(0, 3, (batch, length, 6)), "mask": rng.integers(0, 2, (batch, length))}
        expected = module.double()(*(torch.from_numpy(v).double() for v in feeds.values())).numpy()
        assert np.array_equal(Executor(path).run(feeds)["y"], expected)


def test_a_module_that_cannot_be_traced_is_refused(tmp_path):
    class Choice(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = brevitas_quantiser(TensorFormat(8, 4), "q")

        def forward(self, x):
            return self.q(x) if float(x.sum()) > 0 else -self.q(x)

    with pytest.raises(ExportError, match="choice.onnx: torch.onnx cannot export this module: "):
        export_graph(Choice(), [torch.zeros(2, 3)], tmp_path / "choice.onnx", inputs=["x"], outputs=["y"], metadata={})
    assert not (tmp_path / "choice.onnx").exists()
