"""The encoder's file as a datapath of a fixed length: the integers of the executed file, padded or not."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from rtf_models.quantize.files import write_qonnx
from rtf_models.quantize.verify import file_inputs
from venom_hw.datapath.reference import run_step
from venom_hw.interchange.execute import Executor
from venom_hw.interchange.importer import import_graph
from venom_hw.interchange.onnx_graph import ImportRefused, OnnxGraph

LENGTH = 6


def integers_of(graph, feeds):
    """Values of inputs as integers of the graph's formats, saturated."""
    result = {}
    for name, values in feeds.items():
        type_ = graph[name].type
        result[name] = np.clip(np.rint(np.ldexp(values, type_.frac)), type_.lo, type_.hi).astype(np.int64)
    return result


def compare(path, feeds, length=LENGTH):
    """(codes of the datapath, codes of the executed file)."""
    graph = import_graph(OnnxGraph(path, {"length": length}))
    type_ = graph["fingerprint"].type
    expected = type_.from_value(Executor(path).run(feeds)["fingerprint"])
    return run_step(graph, integers_of(graph, feeds), {}).outputs["fingerprint"], expected


@pytest.fixture(scope="module")
def feeds(quantised):
    """Light curves of 1 to LENGTH detections, the shorter ones padded with something, and one far out of range."""
    curves = [{"x": c["x"][: k % LENGTH + 1]} for k, c in enumerate(quantised.curves[:12])]
    found = file_inputs(quantised.network, curves, LENGTH)
    found["x"][found["pad_mask"] > 0] = 3.0
    found["x"][-1] *= 1000
    return found


def test_every_fingerprint_equals_the_executed_file(exported, feeds):
    ours, theirs = compare(exported, feeds)
    assert ours.shape == (12, 8) and len(np.unique(theirs)) > 20
    assert np.array_equal(ours, theirs)


def test_a_mutated_file_gives_other_integers(exported, feeds, tmp_path):
    """Masked keys that may be the largest: only padded light curves show it."""
    theirs = compare(exported, feeds)[1]
    model = onnx.load(exported)
    for tensor in model.graph.initializer:
        if tensor.name == "layers.0.attention.masked":
            tensor.CopyFrom(numpy_helper.from_array(np.float32(0), tensor.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    assert (compare(tmp_path / "wrong.onnx", feeds)[0] != theirs).any()


def test_features_are_inputs_too(tiny, tmp_path):
    model = tiny.model(gp_dim=114, n_encoder_layers=1, d_model=16, d_ff=16)
    made = tiny.quantised(model, tiny.curves(features=114, longest=20))
    path = write_qonnx(made.network, made.formats, tmp_path / "encoder.onnx", model="features")
    feeds = file_inputs(made.network, [c | {"x": c["x"][:LENGTH]} for c in made.curves[:8]], LENGTH)
    feeds["present"][::2] = 0
    ours, theirs = compare(path, feeds)
    assert np.array_equal(ours, theirs) and len(np.unique(theirs, axis=0)) > 4


def test_a_length_must_be_given_and_be_proven(exported):
    with pytest.raises(ImportRefused, match="input 'x' has the shape .*; all but the batch axis must be fixed"):
        import_graph(OnnxGraph(exported))
    for length in (0, 258):
        with pytest.raises(ImportRefused, match=f"encoder.onnx: length {length}: expected 1 to 257"):
            OnnxGraph(exported, {"length": length})


def change(model, op, **attributes):
    node = next(n for n in model.graph.node if n.op_type == op and not n.input[0].endswith("weight.quant"))
    for attribute in node.attribute:
        if attribute.name in attributes:
            attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, attributes[attribute.name]))
    return node


def constant(model, name, value):
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.int64), name))
    return name


def move_the_batch(model):
    change(model, "Transpose", perm=[1, 0, 2, 3])


def repeat_the_edge(model):
    change(model, "Pad", mode="edge")


def pad_the_batch(model):
    change(model, "Pad").input[1] = constant(model, "pads", [1, 1, 0, 0])


def expand_by_the_length(model):
    change(model, "Shape", start=1, end=2)


def expand_to_more(model):
    change(model, "Expand").input[1] = constant(model, "target", [2, 3, 32])


def gather_several(model):
    node = next(n for n in model.graph.node if n.op_type == "Gather" and "powers" not in n.input[0])
    node.input[1] = constant(model, "rows", [0, 1])


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (move_the_batch, r"\(op Transpose\): by perm \[1, 0, 2, 3\] of 4 axes; the batch axis must stay the first"),
        (repeat_the_edge, r"\(op Pad\): is supported with constant zeros"),
        (pad_the_batch, r"\(op Pad\): by \[1, 1, 0, 0\]; one axis, not the batch's, can grow"),
        (expand_by_the_length, r"\(op Expand\): is supported for a parameter of one element, along the batch axis"),
        (expand_to_more, r"\(op Expand\): is supported for a parameter of one element, along the batch axis"),
        (gather_several, r"\(op Gather\): is supported with one constant index"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_cannot_be_written_out_is_refused(exported, tmp_path, mutate, message):
    model = onnx.load(exported)
    mutate(model)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ImportRefused, match=message):
        import_graph(OnnxGraph(tmp_path / "other.onnx", {"length": LENGTH}))


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 26])
def test_the_shipped_encoder(pytestconfig, tiny, length):
    path = pytestconfig.rootpath / "rtf_models" / "pretrained" / "bts-ae-quantised" / "encoder.onnx"
    rng = np.random.default_rng(length)
    feeds = {"x": rng.normal(0, 2, (4, length, 7)), "pad_mask": np.zeros((4, length))}
    feeds["pad_mask"][1, (length + 1) // 2 :] = 1
    ours, theirs = compare(path, feeds, length)
    assert np.array_equal(ours, theirs) and theirs.any()
