"""Depth and counts of netlists written by hand."""

import pytest

from venom_hw.synthesis.counts import Counts, count_cells
from venom_hw.synthesis.depth import Timing, analyse, outside
from venom_hw.synthesis.errors import SynthesisError

OUTPUTS = {"Q", "O", "CO", "P", "DOUT", "y"}


class Netlist:
    """Cells by name; nets are numbered as they are named."""

    def __init__(self, **ports):
        self.nets, self.cells, self.ports = {}, {}, {}
        for name, direction in ports.items():
            self.ports[name] = {"direction": direction, "bits": [self.net(name)]}

    def net(self, name):
        return name if name in ("0", "1") else self.nets.setdefault(name, len(self.nets) + 2)

    def cell(self, name, type_, **pins):
        connections = {
            pin: [self.net(n) for n in (nets if isinstance(nets, list) else [nets])] for pin, nets in pins.items()
        }
        directions = {pin: "output" if pin in OUTPUTS else "input" for pin in pins}
        self.cells[name] = {"type": type_, "connections": connections, "port_directions": directions}
        return self

    def flip_flop(self, d, q):
        return self.cell(f"ff_{q}", "FDRE", C="clk", D=d, Q=q, CE="1", R="0")

    def lut(self, y, *inputs):
        return self.cell(f"lut_{y}", f"LUT{len(inputs)}", O=y, **{f"I{i}": n for i, n in enumerate(inputs)})

    def module(self):
        names = {name: {"bits": [bit], "hide_name": 0} for name, bit in self.nets.items()}
        return {"ports": self.ports, "cells": self.cells, "netnames": names}

    def timing(self, **inside):
        return analyse(self.module(), inside, "here")


def test_luts_between_registers():
    n = Netlist(d="input", q="output").flip_flop("d", "a").lut("b", "a").lut("c", "b", "a").flip_flop("c", "q")
    path = n.timing().longest
    assert (path.levels, path.carry, path.begin, path.end) == (2, 0, "a", "q")


def test_a_mux_behind_luts_is_no_level():
    n = Netlist().flip_flop("z", "a").lut("b", "a").lut("c", "a").cell("m", "MUXF7", I0="b", I1="c", S="a", O="z")
    assert n.timing().longest.levels == 1


def chain(netlist, cells, first):
    """A carry chain of 4 * cells bits whose lowest S comes from `first`; its last O is `top`."""
    for k in range(cells):
        netlist.cell(
            f"carry{k}",
            "CARRY4",
            CI="0" if k == 0 else f"co{4 * k - 1}",
            CYINIT="0",
            DI=["0"] * 4,
            S=[first if k == 0 and i == 0 else "0" for i in range(4)],
            O=[f"o{4 * k + i}" for i in range(4)],
            CO=[f"co{4 * k + i}" for i in range(4)],
        )
    return netlist.flip_flop(f"o{4 * cells - 1}", "top")


@pytest.mark.parametrize("cells, levels", [(1, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_every_32_bits_of_a_carry_chain_are_a_level(cells, levels):
    path = chain(Netlist().flip_flop("x", "a"), cells, "a").timing().longest
    assert (path.levels, path.carry) == (levels, levels)
    with_lut = chain(Netlist().flip_flop("x", "a").lut("s", "a"), cells, "s").timing().longest
    assert (with_lut.levels, with_lut.carry) == (levels + 1, levels)


def test_a_chain_reached_in_its_middle_counts_what_is_left_of_it():
    n = chain(Netlist().flip_flop("x", "a"), 9, "0")
    n.cells["carry7"]["connections"]["S"][0] = n.net("a")
    assert n.timing().longest.levels == 2  # its own level, and the one over the 32nd bit
    n.cells["carry7"]["connections"]["S"][0] = "0"
    n.cells["carry8"]["connections"]["S"][0] = n.net("a")
    assert n.timing().longest.levels == 1


def test_hard_blocks_are_ends_and_begins():
    n = Netlist().flip_flop("x", "a").lut("b", "a").cell("d", "DSP48E2", A="b", P="p").lut("c", "p").lut("e", "c")
    n.flip_flop("e", "q").cell("m", "RAMB36E2", ADDRARDADDR="q", DOUT="r", CLKARDCLK="clk").flip_flop("r", "s")
    timing = n.timing()
    assert timing.crossings == {"to_dsp": 1, "from_dsp": 2, "to_bram": 0, "from_bram": 0}
    assert timing.longest.levels == 2


def test_distributed_memory_is_a_lut_from_its_address():
    n = Netlist().flip_flop("x", "a").cell("m", "RAM64X1D", A0="0", DPRA0="a", D="0", DPO="o", WCLK="clk")
    n.cells["m"]["port_directions"]["DPO"] = "output"
    assert n.lut("y", "o").flip_flop("y", "q").timing().longest.levels == 2


def test_ports_and_modules_are_stitched():
    half = Netlist(x="input", y="output").lut("b", "x").lut("y", "b")
    inside = half.timing()
    assert (inside.longest.levels, outside(inside)) == (0, 2)
    n = Netlist(q="output").flip_flop("q", "a")
    n.cell("one", "half", x="a", y="m").cell("two", "half", x="m", y="n").flip_flop("n", "q")
    assert n.timing(half=inside).longest.levels == 4
    registered = Netlist(x="input", y="output").lut("b", "x").flip_flop("b", "c").lut("y", "c").timing()
    assert registered.arrive == {("y", 0): 1} and registered.depart == {("x", 0): 1} and not registered.through
    n = Netlist().flip_flop("z", "a").cell("i", "registered", x="a", y="m").lut("w", "m").flip_flop("w", "z")
    path = n.timing(registered=registered).longest
    assert (path.levels, path.begin) == (2, "m")
    assert outside(registered) == 1


def test_the_longest_path_inside_a_module_is_its_users_too():
    deep = Netlist().flip_flop("d", "a").lut("b", "a").lut("c", "b").lut("d", "c").timing()
    assert Netlist().cell("i", "deep").timing(deep=deep).longest.levels == 3
    assert Netlist().timing(deep=deep).longest.levels == 0  # not instantiated


def test_loops_and_unknown_cells_are_errors():
    with pytest.raises(SynthesisError, match="here: combinational loop through"):
        Netlist(y="output").lut("y", "z").lut("z", "y").timing()
    with pytest.raises(SynthesisError, match="here: cell q is a QBIT"):
        Netlist().cell("q", "QBIT", A="a").timing()


def test_sites_are_counted_by_kind():
    cells = {"LUT1": 1, "LUT6": 2, "INV": 1, "SRL16E": 3, "SRLC32E": 1, "RAM32M": 2, "FDRE": 4, "FDSE": 1, "CARRY4": 5}
    cells |= {"RAMB36E2": 2, "RAMB18E2": 3, "URAM288": 1, "DSP48E2": 7, "BUFG": 1, "mine": 2}
    counts, others = count_cells(cells)
    assert counts == Counts(4, 4, 8, 5, 7, 2, 3, 1, 5, 0)
    assert others == {"mine": 2}
    assert counts.lut == 16 and counts.bram36 == 3.5 and (counts + counts).bram36 == 7
    assert (counts * 3 - counts) == counts + counts
    assert counts.summary()["lut_srl"] == 4


def test_nothing_known_is_nothing():
    assert outside(Timing()) == 0
