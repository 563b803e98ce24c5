"""The importer: datapath = executed QONNX file on every integer; what it cannot take is refused by node and op."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize.sample import WINDOW, pulses, quantised
from venom_hw.datapath import FixedType
from venom_hw.datapath.golden import Golden, run_by_step
from venom_hw.datapath.reference import run_step
from venom_hw.interchange.execute import Executor
from venom_hw.interchange.importer import import_graph, import_venom
from venom_hw.interchange.onnx_graph import ImportRefused, OnnxGraph
from venom_hw.quantize.files import write_qonnx

QONNX = "qonnx.custom_op.general"


@pytest.fixture(scope="module", params=["one layer", "two layers"])
def files(request, tmp_path_factory):
    sizes = {} if request.param == "one layer" else {"d_model": 8, "d_state": 4, "n_layers": 2, "hidden": 8}
    network, formats, _, _ = quantised(**sizes)
    folder = tmp_path_factory.mktemp("import")
    return write_qonnx(network, formats, folder, model="test", window=WINDOW)


def test_every_integer_equals_the_executed_files(files):
    datapath = import_venom(*files)
    counts = pulses(40)
    counts[0], counts[1] = -32768, 32767  # saturates whatever can saturate
    step, head = Executor(files[0]), Executor(files[1])
    states = {name: np.zeros((len(counts), *datapath.step[name].shape)) for name, _ in datapath.step.states}
    expected = run_by_step(datapath.step, counts)
    compared = 0
    for t in range(counts.shape[1]):
        out = step.run({"sample": counts[:, t], **states})
        states = {name: out[following] for name, following in datapath.step.states}
        for name, value in {**states, **{n: out[n] for n, _ in datapath.step.outputs}}.items():
            integers = datapath.step[name].type.from_value(value, what=name)
            assert np.array_equal(integers, expected[name][t]), (name, t)
            compared += integers.size
    assert compared >= 40 * 24 * 100
    out = head.run({name: states[name] for name in head.inputs})
    result = Golden(datapath.step, datapath.head).run(counts)
    for name, _ in datapath.head.outputs:
        assert np.array_equal(datapath.head[name].type.from_value(out[name]), result.outputs[name]), name


def test_the_contract_of_states_and_outputs(files):
    datapath = import_venom(*files)
    names = [name for name, _ in datapath.step.states]
    assert names[:2] == ["h", "conv"] and names[-2:] == ["pool_num", "pool_den"]
    assert datapath.step.max_steps == WINDOW["length"] and datapath.meta["window"] == WINDOW
    assert datapath.head["energy"].type == FixedType(False, 16, 12)
    assert datapath.head["log_variance"].type == FixedType(True, 16, 10)
    if len(names) == 4:
        assert datapath.step["conv"].shape == (3, 16) and datapath.state_words == 193
    sums = datapath.step["pool_den"].type
    assert datapath.head["pool_den"].type == sums


def test_tables_are_found_and_shared_ones_are_stored_once(files):
    datapath = import_venom(*files)
    tables = {n.name: n for n in datapath.step.nodes if n.op == "table"}
    decay = tables["g"]
    assert datapath.constants[decay.attrs["entries"]].shape[1:] == decay.shape
    silu = datapath.constants[tables["xa"].attrs["entries"]]
    assert silu.ndim == 1
    code = datapath.step[tables["xa"].inputs[0]].type
    x = code.to_value(np.arange(code.lo, code.hi + 1))
    expected = np.rint(x / (1 + np.exp(-x)) * 2.0 ** tables["xa"].type.frac)
    assert np.array_equal(silu, np.clip(expected, tables["xa"].type.lo, tables["xa"].type.hi))


def test_identifiers_are_fit_for_c_and_verilog(files):
    datapath = import_venom(*files)
    for graph in (datapath.step, datapath.head):
        for node in graph.nodes:
            assert node.name.isidentifier() and node.name not in {"in", "out", "reg", "signed", "table"}, node.name
            assert node.stage or node.op in ("input", "state", "constant"), node.name


# small graphs by hand ------------------------------------------------------------------------------------------


def quant(name, x, out, scale=0.25, bits=8, signed=1, mode="ROUND", zero=0.0):
    parameters = [
        numpy_helper.from_array(np.asarray(value, np.float32), f"{name}_{key}")
        for key, value in (("scale", scale), ("zero", zero), ("bits", bits))
    ]
    node = helper.make_node(
        "Quant", [x, *(p.name for p in parameters)], [out], name, domain=QONNX, signed=signed, narrow=0,
        rounding_mode=mode,
    )  # fmt: skip
    return node, parameters


def graph_of(tmp_path, middle, *, parameters=(), shape=(4,), out="y", **output):
    """x -> Quant -> `middle` nodes (q to m) -> Quant -> y."""
    first, p1 = quant("Quant_in", "x", "q")
    final, p2 = quant("Quant_out", "m", out, **output)
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", *s]) for n, s in (("x", shape), (out, shape))]
    graph = helper.make_graph([first, *middle, final], "g", info[:1], info[1:], [*p1, *p2, *parameters])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(QONNX, 1)]
    path = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def refuse(path, message):
    with pytest.raises(ImportRefused, match=message):
        import_graph(OnnxGraph(path))


def test_a_small_graph_equals_its_execution(tmp_path):
    weights = numpy_helper.from_array(np.array([[0.5, 1.25, -2, 0], [1, 1, 1, 0.75]], np.float32).T, "w")
    nodes = [
        helper.make_node("MatMul", ["q", "w"], ["a"], "MatMul_0"),
        helper.make_node("ReduceSum", ["a", "axes"], ["m"], "ReduceSum_0", keepdims=1),
    ]
    axes = numpy_helper.from_array(np.array([-1]), "axes")
    path = graph_of(tmp_path, nodes, parameters=[weights, axes], scale=0.5, mode="FLOOR")
    graph = import_graph(OnnxGraph(path), {"x": FixedType(True, 10, 3)})
    integers = np.random.default_rng(0).integers(-512, 512, (50, 4))
    expected = Executor(path).run({"x": integers / 8})["y"]
    assert np.array_equal(run_step(graph, {"x": integers}, {}).outputs["y"], graph["y"].type.from_value(expected))


def test_transposed_weights_relu_and_copied_dimensions(tmp_path):
    """What the exporter makes of a linear on tokens (three axes), a ReLU and a reshape that keeps an axis."""
    rng = np.random.default_rng(3)
    w = helper.make_node("Quant", ["w", "w_scale", "w_zero", "w_bits"], ["wq"], "w.quant", domain=QONNX, signed=1,
                         narrow=0, rounding_mode="ROUND")  # fmt: skip
    parameters = [
        numpy_helper.from_array(rng.normal(0, 1, (6, 4)).astype(np.float32), "w"),
        numpy_helper.from_array(np.float32(2.0) ** -rng.integers(2, 6, (6, 1)).astype(np.float32), "w_scale"),
        numpy_helper.from_array(np.float32(0), "w_zero"),
        numpy_helper.from_array(np.float32(6), "w_bits"),
        numpy_helper.from_array(np.array([0, 0, 2, 3]), "shape"),
    ]
    nodes = [
        w,
        helper.make_node("Transpose", ["wq"], ["wt"], "Transpose_0", perm=[1, 0]),
        helper.make_node("MatMul", ["q", "wt"], ["a"], "MatMul_0"),
        helper.make_node("Relu", ["a"], ["r"], "Relu_0"),
        helper.make_node("Reshape", ["r", "shape"], ["m"], "Reshape_0"),
    ]
    path = graph_of(tmp_path, nodes, parameters=parameters, shape=(5, 4), scale=0.125, signed=0)
    graph = import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})
    integers = rng.integers(-128, 128, (30, 5, 4))
    expected = graph["y"].type.from_value(Executor(path).run({"x": integers / 4})["y"])
    assert graph["y"].shape == (5, 2, 3) and (expected == 0).any() and (expected > 0).any()
    assert np.array_equal(run_step(graph, {"x": integers}, {}).outputs["y"], expected)


def matrix(shape, rng):
    """A parameter on a grid of quarters."""
    return numpy_helper.from_array(rng.integers(-20, 20, shape).astype(np.float32) / 4, "w")


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_two_operations_of_one_kind_in_front_of_a_quantiser(tmp_path, op):
    """Both are named after the quantiser: the inner one first."""
    nodes = [
        helper.make_node(op, ["q", "w"], ["a"], f"{op}_0"),
        helper.make_node(op, ["a", "q"], ["m"], f"{op}_1"),
    ]
    rng = np.random.default_rng(6)
    path = graph_of(tmp_path, nodes, parameters=[matrix((4,), rng)], scale=2.0, bits=12)
    graph = import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})
    integers = rng.integers(-128, 128, (40, 4))
    expected = graph["y"].type.from_value(Executor(path).run({"x": integers / 4})["y"])
    assert np.array_equal(run_step(graph, {"x": integers}, {}).outputs["y"], expected)


@pytest.mark.parametrize("perm", [[0, 1], [1, 0], None])
def test_a_transpose_of_a_matrix_does_what_its_perm_says(tmp_path, perm):
    """A square matrix: taking [0, 1] for a transposition would go unnoticed by its shape."""
    rng = np.random.default_rng(5)
    given = {} if perm is None else {"perm": perm}  # without perm, the axes are reversed
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], "Transpose_0", **given),
        helper.make_node("MatMul", ["q", "wt"], ["m"], "MatMul_0"),
    ]
    path = graph_of(tmp_path, nodes, parameters=[matrix((4, 4), rng)], scale=1.0, bits=12)
    graph = import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})
    integers = rng.integers(-128, 128, (40, 4))
    expected = graph["y"].type.from_value(Executor(path).run({"x": integers / 4})["y"])
    assert len(np.unique(expected)) > 20
    assert np.array_equal(run_step(graph, {"x": integers}, {}).outputs["y"], expected)


@pytest.mark.parametrize("perm", [[0, 2, 1], [2, 1, 0], None])
def test_a_transpose_of_a_constant_of_three_axes_is_refused(tmp_path, perm):
    given = {} if perm is None else {"perm": perm}
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], "Transpose_3", **given),
        helper.make_node("MatMul", ["q", "wt"], ["m"], "MatMul_0"),
    ]
    path = graph_of(tmp_path, nodes, parameters=[matrix((3, 4, 4), np.random.default_rng(0))], shape=(3, 4))
    refuse(path, r"node 'Transpose_3' \(op Transpose\): of a constant of 3 axes by perm")


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
@pytest.mark.parametrize("shape", [(4,), (3, 4, 4)])
def test_a_product_by_a_constant_that_is_no_matrix_is_refused(tmp_path, op, shape):
    node = helper.make_node(op, ["q", "w"], ["m"], f"{op}_0")
    path = graph_of(tmp_path, [node], parameters=[matrix(shape, np.random.default_rng(0))])
    refuse(path, rf"node '{op}_0' \(op {op}\): by a constant of {len(shape)} ax[ei]s; a matrix is supported")


def reshape(tmp_path, target, shape=(2, 6), **attributes):
    """x (batch, *shape) -> Quant -> Reshape to `target` -> Quant."""
    node = helper.make_node("Reshape", ["q", "shape"], ["m"], "Reshape_4", **attributes)
    return graph_of(tmp_path, [node], parameters=[numpy_helper.from_array(np.array(target), "shape")], shape=shape)


@pytest.mark.parametrize(
    ("target", "message"),
    [([0, 2, -1], "allowzero and a 0 in its shape"), ([-1, 0, 6], "allowzero and a 0 in its shape")],
)
def test_a_reshape_whose_zeros_are_sizes_is_refused(tmp_path, target, message):
    """With allowzero a 0 is an empty dimension, not a copied one."""
    refuse(reshape(tmp_path, target, allowzero=1), rf"node 'Reshape_4' \(op Reshape\): .*{message}")


def test_allowzero_without_a_zero_changes_nothing(tmp_path):
    graph = import_graph(OnnxGraph(reshape(tmp_path, [-1, 3, 4], allowzero=1)), {"x": FixedType(True, 8, 2)})
    assert graph["y"].shape == (3, 4)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0, 12, 1, 0], "a 0 at axis 3 of its shape, but only 3 axes to copy from"),
        ([0, 5, -1], r"the shape \[0, 5, -1\] for \(2, 6\)"),
        ([-1, 6], r"the shape \[-1, 6\] for \(2, 6\)"),
    ],
)
def test_a_reshape_that_does_not_fit_or_moves_the_batch_is_refused(tmp_path, target, message):
    refuse(reshape(tmp_path, target), rf"node 'Reshape_4' \(op Reshape\): has {message}")


@pytest.mark.parametrize("axis", [0, 2])
def test_a_flatten_of_other_axes_is_refused(tmp_path, axis):
    node = helper.make_node("Flatten", ["q"], ["m"], "Flatten_1", axis=axis)
    refuse(graph_of(tmp_path, [node], shape=(2, 6)), rf"node 'Flatten_1' \(op Flatten\): at axis {axis}; axis 1")


def test_an_unsupported_operation_is_named(tmp_path):
    path = graph_of(tmp_path, [helper.make_node("CumSum", ["q", "axis"], ["m"], "CumSum_7")],
                    parameters=[numpy_helper.from_array(np.array(1), "axis")])  # fmt: skip
    refuse(path, r"graph.onnx: node 'CumSum_7' \(op CumSum\): is not supported here; supported: Quant, Gemm")


def test_a_function_of_two_tensors_is_no_table(tmp_path):
    first, parameters = quant("Quant_b", "x", "b", scale=0.5)
    add, tanh = helper.make_node("Add", ["q", "b"], ["a"], "Add_0"), helper.make_node("Tanh", ["a"], ["m"], "Tanh_3")
    path = graph_of(tmp_path, [first, add, tanh], parameters=parameters)
    with pytest.raises(ImportRefused, match=r"node 'Tanh_3' \(op Tanh\): is not supported here"):
        import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})


def test_a_scale_that_is_no_power_of_two(tmp_path):
    path = graph_of(tmp_path, [helper.make_node("Identity", ["q"], ["m"], "Identity_0")], scale=0.3)
    refuse(path, r"node 'Quant_out' \(op Quant\): scale 0.3\S* is not a power of two")


def test_a_zero_point(tmp_path):
    path = graph_of(tmp_path, [helper.make_node("Identity", ["q"], ["m"], "Identity_0")], zero=3.0)
    refuse(path, r"node 'Quant_out' \(op Quant\): zero point 3.0; only 0")


def test_a_rounding_mode(tmp_path):
    path = graph_of(tmp_path, [helper.make_node("Identity", ["q"], ["m"], "Identity_0")], mode="CEIL")
    refuse(path, r"node 'Quant_out' \(op Quant\): rounding mode 'CEIL' is not supported; supported: ROUND, FLOOR")


def test_a_parameter_without_quantiser(tmp_path):
    weights = numpy_helper.from_array(np.array([1 / 3, 0.1, 0.2, 0.3], np.float32) / 97, "w")
    path = graph_of(tmp_path, [helper.make_node("Mul", ["q", "w"], ["m"], "Mul_0")], parameters=[weights])
    with pytest.raises(ImportRefused, match="parameter 'w' has no quantiser"):
        import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})


def test_a_mean_over_three(tmp_path):
    node = helper.make_node("ReduceMean", ["q", "axes"], ["m"], "ReduceMean_0", keepdims=1)
    path = graph_of(tmp_path, [node], parameters=[numpy_helper.from_array(np.array([1]), "axes")], shape=(3,))
    with pytest.raises(ImportRefused, match=r"node 'ReduceMean_0' \(op ReduceMean\): over 3 elements"):
        import_graph(OnnxGraph(path), {"x": FixedType(True, 8, 2)})


def test_step_and_head_of_different_models(files, tmp_path):
    model = onnx.load(files[1])
    next(p for p in model.metadata_props if p.key == "venom.model").value = "another"
    onnx.save(model, tmp_path / "head.onnx")
    with pytest.raises(ImportRefused, match="are not of one model: venom.model is 'test' and 'another'"):
        import_venom(files[0], tmp_path / "head.onnx")


def test_head_whose_sums_have_another_format(files, tmp_path):
    model = onnx.load(files[1])
    prop = next(p for p in model.metadata_props if p.key == "venom.input.pool_den")
    prop.value = '{"bits": 19, "frac": 3, "signed": false}'
    onnx.save(model, tmp_path / "head.onnx")
    with pytest.raises(ImportRefused, match="input 'pool_den' .* is not the state of step.onnx"):
        import_venom(files[0], tmp_path / "head.onnx")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ImportRefused, match="absent.onnx: no such file"):
        OnnxGraph(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a protobuf")
    with pytest.raises(ImportRefused, match="broken.onnx: not an ONNX model"):
        OnnxGraph(tmp_path / "broken.onnx")


def test_metadata_that_names_no_output(files, tmp_path):
    model = onnx.load(files[0])
    for prop in model.metadata_props:
        if prop.key == "venom.state.h":
            prop.value = "nothing"
    path = tmp_path / "step.onnx"
    onnx.save(model, path)
    refuse(path, "venom.state.h = 'nothing' does not name an input and an output")
