"""The whitelist grammar of pragmas, and every pragma of a rendered project held to it."""

import pytest

from venom_hw.codegen.pragmas import PragmaError, check_source, parse_pragma, pragma

GOOD = [
    "#pragma HLS PIPELINE II=1 style=flp",
    "#pragma HLS UNROLL",
    "#pragma HLS UNROLL factor=4",
    "#pragma HLS ARRAY_PARTITION variable=x,y type=complete dim=0",
    "#pragma HLS ARRAY_RESHAPE variable=x type=cyclic factor=2 dim=1",
    "#pragma HLS BIND_STORAGE variable=m type=ram_s2p impl=bram latency=2",
    "#pragma HLS DEPENDENCE variable=m type=inter direction=RAW distance=16 dependent=true",
    "#pragma HLS DEPENDENCE variable=m type=intra direction=RAW dependent=false",
    "#pragma HLS INTERFACE mode=ap_ctrl_none port=return",
    "#pragma HLS INTERFACE mode=axis port=s_axis register_mode=both",
    "#pragma HLS STREAM variable=s depth=16 type=fifo",
    "#pragma HLS INLINE off",
    "#pragma HLS RESET variable=open",
    "#pragma HLS DATAFLOW",
]
BAD = {
    "#pragma HLS PIPELIN II=1": "unknown pragma",
    "#pragma HLS PIPELINE II=1": "needs style",
    "#pragma HLS PIPELINE II=0 style=flp": "does not take II=0",
    "#pragma HLS PIPELINE II=1 style=fast": "does not take style=fast",
    "#pragma HLS PIPELINE II=1 II=2 style=flp": "given twice",
    "#pragma HLS UNROLL complete": "no flag 'complete'",
    "#pragma HLS ARRAY_PARTITION variable=x type=cyclic dim=1": "needs factor",
    "#pragma HLS ARRAY_PARTITION variable=x type=complete factor=2 dim=1": "no meaning",
    "#pragma HLS ARRAY_PARTITION varable=x type=complete dim=1": "no option 'varable'",
    "#pragma HLS BIND_STORAGE variable=m type=rom_1p impl=uram": "type=rom_1p takes",
    "#pragma HLS BIND_STORAGE variable=m type=ram_s2p impl=bram latency=9": "does not take latency=9",
    "#pragma HLS DEPENDENCE variable=m type=inter direction=RAW distance=16": "needs dependent",
    "#pragma HLS DEPENDENCE variable=m type=inter direction=RAW dependent=true": "needs distance",
    "#pragma HLS DEPENDENCE variable=m type=inter direction=RAW distance=4 dependent=false": "counts only",
    "#pragma HLS INTERFACE mode=ap_ctrl_none port=x": "port=return",
    "#pragma HLS INTERFACE mode=ap_none port=x register_mode=both": "belongs to mode=axis",
    "#pragma HLS RESET": "needs variable",
    "#pragma hls UNROLL": "expected '#pragma HLS",
}


@pytest.mark.parametrize("line", GOOD)
def test_good(line):
    parsed = parse_pragma(line)
    assert pragma(parsed.name, *parsed.flags, **parsed.options) == line


@pytest.mark.parametrize("line", BAD)
def test_bad(line):
    with pytest.raises(PragmaError, match=BAD[line]):
        parse_pragma(line)


def test_writer_refuses_what_the_parser_refuses():
    with pytest.raises(PragmaError, match="no option"):
        pragma("UNROLL", facter=2)
    with pytest.raises(PragmaError, match="does not take variable"):
        pragma("RESET", variable="a b")
    assert pragma("ARRAY_PARTITION", variable=["a", "b"], type="complete", dim=0).count("variable=a,b") == 1


def test_place():
    loop = "for (int i = 0; i < 4; i++) {\n#pragma HLS UNROLL\n    a[i] = 0;\n}\n"
    assert [p.name for p in check_source(loop, "f.cpp")] == ["UNROLL"]
    with pytest.raises(PragmaError, match="f.cpp:1.*top of a loop"):
        check_source("#pragma HLS UNROLL\n" + loop, "f.cpp")
    with pytest.raises(PragmaError, match="names 'b', which the file does not have"):
        check_source("int a;\n#pragma HLS RESET variable=b\n", "f.cpp")


def test_every_pragma_of_a_project(tiny):
    """Each emitted line is parsed again; what must be there is there."""
    found = {}
    for path in sorted(tiny.project.folder.glob("src/*")):
        for parsed in check_source(path.read_text(), path.name):
            found.setdefault((path.name, parsed.name), []).append(parsed)
    engine = found["venom.cpp", "PIPELINE"]
    assert [p.options["II"] for p in engine] == ["1", str(tiny.project.manifest["head_interval"])]
    memories = {f"{s['name']}_memory" for s in tiny.project.manifest["states"]}
    dependent = {p.options["variable"]: p.options for p in found["venom.cpp", "DEPENDENCE"]}
    assert set(dependent) == memories | {"window_open", "window_steps"}
    assert all(
        o["distance"] == str(tiny.project.revisit) and o["dependent"] == "true" and o["direction"] == "RAW"
        for o in dependent.values()
    )
    assert {p.options["variable"] for p in found["venom.cpp", "BIND_STORAGE"]} == memories | {"window_steps"}
    assert {p.options["variable"] for p in found["venom.cpp", "RESET"]} >= {"window_open"}
    ports = {p.options["port"]: p.options["mode"] for p in found["venom.cpp", "INTERFACE"]}
    assert ports["s_axis"] == ports["m_axis"] == "axis" and ports["return"] == "ap_ctrl_none"
    loops = sum(
        line.count("for (int") for line in (tiny.project.folder / "src" / "step.cpp").read_text().splitlines()
    )
    assert len(found["step.cpp", "UNROLL"]) == loops, "every loop of the II=1 step is unrolled"
