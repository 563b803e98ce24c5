"""The exported file is the network: as many Quant nodes as quantisers, every integer equal, and errors are seen."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from rtf_models.quantize.attention import QuantAttention
from rtf_models.quantize.calibrate import padded
from rtf_models.quantize.files import write_qonnx
from rtf_models.quantize.verify import LENGTHS, file_inputs, max_error_in_float32, verify_file
from venom_hw.interchange.execute import ExecuteError, Executor
from venom_hw.interchange.export import ExportError, count_quantisers, export_graph, quant_nodes


def test_as_many_quant_nodes_as_quantisers(quantised, exported):
    model = onnx.load(exported)
    assert len(quant_nodes(model)) == count_quantisers(quantised.network) == len(quantised.formats)
    assert {n.name.removesuffix(".quant") for n in quant_nodes(model)} == set(quantised.formats)


def test_every_integer_equals_the_network(quantised, exported):
    """Lengths 1, 3, 26, 100, 257, a padded batch of all of them and of others, inputs that saturate everything."""
    check = verify_file(quantised.network, quantised.formats, exported, quantised.curves)
    assert LENGTHS == (1, 3, 26, 100, 257)
    assert check.cases[:5] == [f"length {n}" for n in LENGTHS] and len(check.cases) == 8
    assert check.mismatches == 0, check.first
    assert check.padding_mismatches == 0
    assert check.compared > 5_000_000


def test_fingerprints_are_int8_and_do_not_depend_on_padding(quantised, exported):
    file = Executor(exported)
    curve = quantised.curves[3]
    n = len(curve["x"])
    scale = float(quantised.formats["q_z"].lsb)
    codes = []
    for length in (n, n + 1, 200, 257):
        feeds = file_inputs(quantised.network, [curve, {"x": quantised.curves[5]["x"][:n]}], length)
        feeds["x"][:, n:] = 123.0  # what lies in the padding is nobody's business
        codes.append(file.run(feeds)["fingerprint"][0] / scale)
    assert all((c == codes[0]).all() for c in codes)
    assert (codes[0] == np.rint(codes[0])).all() and np.abs(codes[0]).max() <= 128 and np.ptp(codes[0]) > 10


def test_batch_and_length_are_dynamic_and_formats_are_stated(quantised, exported):
    model = onnx.load(exported)
    dims = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    assert dims == {"x": ["batch", "length", 7], "pad_mask": ["batch", "length"]}
    assert [o.name for o in model.graph.output] == ["fingerprint"]
    facts = {p.key: p.value for p in model.metadata_props}
    assert facts["venom.graph"] == "encoder" and facts["venom.max_steps"] == "257"
    latent = quantised.formats["q_z"]
    assert json.loads(facts["venom.output.fingerprint"]) == {"bits": 8, "frac": latent.frac, "signed": True}
    text = exported.read_bytes()
    assert b"/home" not in text and b"site-packages" not in text and b"rtf_models/" not in text


def test_a_longer_light_curve_is_refused_by_the_file(exported):
    """Its declared range: venom.max_steps, which the executor reads."""
    file = Executor(exported)
    assert file.max_steps == 257
    file.run({"x": np.zeros((1, 257, 7)), "pad_mask": np.zeros((1, 257))})
    with pytest.raises(ExecuteError, match="input x: length 258; the sums of this file are proven for 257"):
        file.run({"x": np.zeros((1, 258, 7)), "pad_mask": np.zeros((1, 258))})


def test_float32_gives_the_same_fingerprints(quantised):
    """Eight-bit products and their sums fit into 24 bits."""
    assert max_error_in_float32(quantised.network, quantised.curves) == 0


def test_quantised_follows_the_float_model(quantised):
    feeds = padded(quantised.curves)
    wanted = quantised.model.double().embed(**feeds)
    quantised.model.float()
    assert wanted.var(0).mean().sqrt() > 0.1
    found = quantised.network.double().embed(**feeds)
    quantised.network.float()
    assert ((found - wanted).square().mean() / wanted.var(0).mean()).sqrt() < 0.12
    assert torch.cosine_similarity(found, wanted).min() > 0.995


# ---- what is wrong must be seen


def initialiser(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def set_value(tensor, value):
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(value, np.float32), tensor.name))


def constant_before(model, quant, op):
    """The constant operand of the op of this type in front of a Quant."""
    producer = {o: n for n in model.graph.node for o in n.output}
    constants = {t.name: t for t in model.graph.initializer}
    todo = [next(n for n in quant_nodes(model) if n.name == quant).input[0]]
    while todo:
        node = producer[todo.pop()]
        found = [constants[i] for i in node.input if i in constants]
        if node.op_type == op and found:
            return found[0]
        todo += [i for i in node.input if i in producer and producer[i].op_type != "Quant"]
    raise AssertionError(f"no {op} with a constant before {quant}")


def floor_rounding(model):
    node = next(n for n in quant_nodes(model) if n.name == "layers.1.attention.q_nn")
    next(a for a in node.attribute if a.name == "rounding_mode").s = b"FLOOR"


def one_weight(model):
    tensor = initialiser(model, "layers.1.linear2.weight.value")
    value = numpy_helper.to_array(tensor).copy()
    row = np.abs(value[3])
    value[3, 5] += row[row > 0].min() if value[3, 5] < 0 else -row[row > 0].min()
    set_value(tensor, value)


def exp_table(model):
    set_value(constant_before(model, "layers.0.attention.q_e", "Mul"), 1.0)


def sine_table(model):
    tensor = constant_before(model, "q_sine", "Mul")
    set_value(tensor, numpy_helper.to_array(tensor) * 1.001)


def rsqrt_table(model):
    set_value(constant_before(model, "norm.q_rs", "Add"), 2.0**-6)


def normalisation(model):
    tensor = initialiser(model, "layers.0.attention.powers")
    value = numpy_helper.to_array(tensor).copy()
    value[10] *= 2
    set_value(tensor, value)


def scale_of_a_quantiser(model):
    name = next(n for n in quant_nodes(model) if n.name == "layers.0.q_a").input[1]
    copy = onnx.TensorProto()
    copy.CopyFrom(initialiser(model, name))
    copy.name = "mutated"
    set_value(copy, numpy_helper.to_array(copy) / 2)
    model.graph.initializer.append(copy)
    next(n for n in quant_nodes(model) if n.name == "layers.0.q_a").input[1] = "mutated"


MUTATIONS = (
    floor_rounding, one_weight, exp_table, sine_table, rsqrt_table, normalisation, scale_of_a_quantiser,
)  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda f: f.__name__)
def test_a_wrong_file_is_seen(quantised, exported, tmp_path, mutate):
    model = onnx.load(exported)
    mutate(model)
    onnx.save(model, tmp_path / "wrong.onnx")
    check = verify_file(
        quantised.network, quantised.formats, tmp_path / "wrong.onnx", quantised.curves, lengths=(3, 26)
    )
    assert check.mismatches > 0 and check.first


def test_a_mask_that_is_not_applied_is_seen(quantised, exported, tmp_path):
    """Only padded batches show it, and the comparison with each light curve alone names it."""
    model = onnx.load(exported)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    pad = next(n for n in model.graph.node if n.op_type == "Pad")
    assert pad.input[0] == "pad_mask"
    pad.input[0] = "unmasked"
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["pad_mask", "nothing"], ["unmasked"]))
    onnx.save(model, tmp_path / "wrong.onnx")
    check = verify_file(
        quantised.network, quantised.formats, tmp_path / "wrong.onnx", quantised.curves, lengths=(3, 26, 60)
    )
    assert check.mismatches > 0 and check.padding_mismatches > 0
    assert check.first.startswith("lengths mixed")


def test_features_join_the_fingerprint(tiny, tmp_path):
    """A model with the 114 features and their missing flags: counts, every integer, absent vectors add nothing."""
    model = tiny.model(gp_dim=228, n_encoder_layers=1, d_model=16, d_ff=16)
    with_features = tiny.quantised(model, tiny.curves(features=228, longest=20))
    network = with_features.network
    path = write_qonnx(network, with_features.formats, tmp_path / "encoder.onnx", model="features")
    assert len(quant_nodes(onnx.load(path))) == count_quantisers(network) == len(with_features.formats)
    check = verify_file(network, with_features.formats, path, with_features.curves, lengths=(1, 26))
    assert check.mismatches == 0 == check.padding_mismatches, check.first
    feeds = file_inputs(network, with_features.curves[:4])
    file = Executor(path)
    assert file.inputs == ["x", "pad_mask", "features", "present"] and (feeds["present"] == 1).all()
    joined = file.run(feeds)["fingerprint"]
    feeds["present"][:] = 0
    absent = file.run(feeds)["fingerprint"]
    feeds["features"][:] = 0
    assert (joined != absent).any() and np.array_equal(absent, file.run(feeds)["fingerprint"])


class Packed(nn.Module):
    """Attention as Brevitas has it, its three projections in one matrix."""

    def __init__(self):
        super().__init__()
        from brevitas.nn import QuantMultiheadAttention

        self.attention = QuantMultiheadAttention(16, 2, packed_in_proj=True, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Lost(nn.Module):
    """A quantiser that the exporter sees as plain arithmetic: what packed attention did without a word."""

    def __init__(self, quantiser):
        super().__init__()
        self.quantiser = quantiser

    def forward(self, x):
        return x + self.quantiser(x).detach() * 0 if not torch.compiler.is_exporting() else x


@pytest.mark.parametrize("module", ["packed", "lost"])
def test_packed_attention_and_lost_quantisers_are_refused(quantised, tmp_path, module):
    """Packed attention loses its Quant nodes, or cannot be traced, by version of torch: refused either way."""
    module = Packed().eval() if module == "packed" else Lost(quantised.network.layers[0].q_a)
    assert count_quantisers(module) > 0
    with pytest.raises(ExportError, match=r"[0-9]+ quantisers in the model but 0 Quant nodes|cannot export"):
        export_graph(
            module, [torch.zeros(2, 5, 16)], tmp_path / "packed.onnx", inputs=["x"], outputs=["y"], metadata={}
        )
    assert not (tmp_path / "packed.onnx").exists()


def test_attention_equals_its_formula(quantised):
    """One head's integers by hand: exact scores, largest, table, masked sums, normalised quotient."""
    attention: QuantAttention = quantised.network.layers[1].attention.double()
    formats = {k.rsplit(".", 1)[1]: v for k, v in quantised.formats.items() if k.startswith("layers.1.attention.q_")}
    rng = np.random.default_rng(4)
    n = np.rint(rng.normal(0, 30, (1, 9, 32))) * float(quantised.formats["layers.1.norm1.q_n"].lsb)
    pad = np.zeros((1, 1, 1, 9))
    pad[..., 6:] = 1
    with torch.no_grad():
        found = attention(*(torch.from_numpy(v) for v in (n, pad, 1 - pad)))

        def code(tensor, value):
            fmt = formats[tensor]
            return np.clip(np.rint(value / fmt.lsb), *fmt.code_range) * fmt.lsb

        parts = [
            code(f"q_{name}", getattr(attention, name)(torch.from_numpy(x)).numpy()[0])
            for name, x in (("query", n[:, :1]), ("key", n), ("value", n))
        ]
        out = []
        for head in range(2):
            q, k, v = (p[:, 16 * head : 16 * head + 16] for p in parts)
            scores = (q @ k.T)[0, :6]
            e = code("q_e", np.exp(-code("q_u", scores.max() - scores)) * (1 - 2.0**-8))
            power = 2.0 ** np.floor(np.log2(e.sum()))
            inverse = code("q_inv", 1 / (1 + code("q_m", e.sum() / power - 1)))
            out.append(code("q_p", code("q_nn", e @ v[:6] / power) * inverse))
        wanted = attention.out(torch.from_numpy(np.concatenate(out))[None, None])
    attention.float()
    assert torch.equal(found, wanted)
