"""What a rendered project looks like: files, names, manifest, ports; and what is refused."""

import dataclasses
import importlib.util
import re
from types import SimpleNamespace

import pytest
from tiny_venom import tiny_venom

from venom_hw.boards import available_boards, load_board
from venom_hw.codegen.csim import ap_types_folder
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import TEMPLATES, load_project, render_project
from venom_hw.codegen.names import KEYWORDS, Names
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import GraphBuilder


def test_rendering_again_changes_nothing(tiny):
    board = load_board("rfsoc4x2")
    again = render_project(tiny.datapath, board, tiny.project.folder, channels=3, revisit=2)
    assert again.written == () and again.manifest == tiny.project.manifest
    assert load_project(tiny.project.folder).manifest == tiny.project.manifest


def test_manifest_gives_the_layout(tiny):
    manifest = tiny.project.manifest
    states = [(s["name"], s["shape"]) for s in manifest["states"]]
    assert states == [("h", [4, 2]), ("conv", [2, 4]), ("pool_num", [4]), ("pool_den", [1])]
    assert manifest["cost"]["state_words"] == 8 + 8 + 4 + 1
    frac = tiny.datapath.step["h"].type.frac
    assert manifest["states"][0]["frac"] == frac.tolist() and manifest["states"][0]["width"] == 12
    assert [o["name"] for o in manifest["outputs"]] == ["energy", "log_variance"]
    assert manifest["datapath"] == tiny.datapath.hash


@pytest.mark.parametrize("name", available_boards())
def test_scripts_name_the_board(name, tmp_path):
    board = load_board(name)
    project = render_project(tiny_venom(), board, tmp_path)
    point = board.operating_point(500e3)
    assert project.channels == project.revisit == point.channels
    config, tcl = ((project.folder / f).read_text() for f in ("hls_config.cfg", "run_hls.tcl"))
    for text in (config, tcl):
        assert board.part in text and f"{board.hls_target_mhz:g}MHz" in text
        listed = set(re.findall(r"src/\w+\.cpp", text))
        assert listed == {str(p.relative_to(project.folder)) for p in project.sources}
    assert "syn.top=venom\n" in config and "set_top venom\n" in tcl
    assert re.findall(r"\{\{|\}\}|\{%", config + tcl + (project.folder / "README.md").read_text()) == []


def test_ports_follow_the_contract(tiny):
    header = (tiny.project.folder / "src" / "venom.h").read_text()
    assert "typedef ap_axiu<32, CHANNEL_BITS + 1, 0, 0> sample_beat_t;" in header
    assert "typedef ap_axiu<32, CHANNEL_BITS, 0, 0> energy_beat_t;" in header
    assert "static const int CHANNEL_BITS = 2;" in header


def test_code_obeys_the_lint_list(tiny):
    """Section 7 of the Vitis HLS sheet: names, literals, selections, no float."""
    for path in tiny.project.sources:
        text = re.sub(r"//.*", "", path.read_text())
        declared = re.findall(r"_t (\w+)(?=[\[ ,;()=])", text) + re.findall(
            r"^void (\w+)\(", text, re.MULTILINE
        )
        assert declared
        wrong = [n for n in declared if n.lower() in KEYWORDS or re.search(r"_[rV]\Z", n)]
        assert not wrong, f"{path.name}: {wrong}"
        assert not re.search(r"\b(float|double|new|malloc|virtual|throw)\b", text)
        assert not re.search(r"\d\.\d", text), "a literal with a point would be floating point"
        for line in text.splitlines():  # at most one `?:` a line, with both sides of one written type
            if "?" in line:
                assert re.search(r"\? (channel : channel_t\(|steps_t\(.*: steps_t\()", line), line


def test_every_tensor_has_its_typedef_and_format(tiny):
    text = (tiny.project.folder / "src" / "types.h").read_text()
    assert "typedef ap_fixed<8, 2, AP_RND_CONV, AP_SAT> dx_t;  // 4, LSB 2^-6" in text
    assert re.search(
        r"typedef ap_int<12> h_out_t;  // 4 x 2, raw integers, LSB 2\^-\d+ to 2\^-\d+ by element", text
    )
    defined = re.findall(r"typedef .*> (\w+);", text)
    assert len(defined) == len(set(defined))


def test_names():
    names = Names()
    assert names("layers.0.q_xi") == names("layers.0.q_xi") == "layers_0_q_xi"
    assert names("signal") == "signal_q" and names("x_r") == "x_r_q" and names("0") == "tensor_0"
    assert names("Sum") == "Sum" and names("sum") == "sum_2", "VHDL knows no case"


def test_a_tensor_cannot_take_a_name_that_the_templates_declare():
    declaration = re.compile(r"typedef .*? (\w+)_t;|^\s*(?:static |const )+[\w<>]+ &?(\w+)(?: =|\()", re.MULTILINE)
    templates = [(TEMPLATES / name).read_text() for name in ("venom.cpp.j2", "venom.h.j2", "venom_simulation.inc.j2")]
    declared = {a or b for text in templates for a, b in declaration.findall(text)}
    assert {"pooled", "steps", "flags", "was_open", "CHANNELS"} <= declared
    names = Names()
    assert not {name for name in declared if names(name).lower() == name.lower()}


def test_ap_types_come_from_hls4ml(monkeypatch):
    assert (ap_types_folder() / "ap_int.h").is_file()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CodegenError, match="hls4ml is not installed"):
        ap_types_folder()


def head_with(outputs):
    b = GraphBuilder("head")
    x = b.input("pool_den", (1,), FixedType(False, 16, 0))
    return b.build({name: b.requantise(x, type_) for name, type_ in outputs.items()})


def test_refuses_other_ports(tmp_path):
    board, good = load_board("rfsoc4x2"), tiny_venom()
    word = FixedType(False, 16, 12)
    for head, message in [
        (head_with({"energy": word}), "output 'log_variance' is missing; it has energy"),
        (head_with({"energy": word, "log_variance": FixedType(True, 18, 0)}), "no word of 16 bits"),
    ]:
        with pytest.raises(CodegenError, match=message):
            render_project(dataclasses.replace(good, head=head), board, tmp_path, channels=2, revisit=2)
    b = GraphBuilder("head")
    b.input("nothing", (1,), word)
    with pytest.raises(CodegenError, match="input 'nothing' is no state and no output"):
        render_project(dataclasses.replace(good, head=b.build({})), board, tmp_path, channels=2, revisit=2)
    with pytest.raises(CodegenError, match="give channels and revisit"):
        render_project(dataclasses.replace(good, meta={}), board, tmp_path)
    assert not list(tmp_path.glob("*")), "nothing is written when the datapath is refused"


def test_unknown_operation_is_named(tmp_path):
    good = tiny_venom()
    nodes = tuple(dataclasses.replace(n, op="fourier") if n.name == "dx" else n for n in good.step.nodes)
    step = dataclasses.replace(good.step, nodes=nodes)
    with pytest.raises(CodegenError, match=r"node 'dx' \(fourier\): HLS knows add, "):
        render_project(SimpleNamespace(step=step, head=good.head, meta={}, hash="0"), load_board("zcu111"), tmp_path,
                       channels=2, revisit=2)  # fmt: skip
