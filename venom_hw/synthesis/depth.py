"""Logic depth of a mapped netlist: the longest path between registers, in levels of LUT and carry.

A LUT is one level. A carry chain is one level for every 32 bits of it (its LUTs are a level of their own, as Vivado
counts them). MUXF7/8/9 sit behind their LUTs in the same slice and are none. DSP blocks, block RAM and UltraRAM have
registers of their own that Yosys does not pack (xcup): a path ends at their inputs and another begins at their
outputs, and the longest of each is reported apart.

Modules are analysed one at a time; `Timing` is what a module's users need to know of it, so that a path through the
ports of several modules is found in the module that wires them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from venom_hw.synthesis.errors import SynthesisError

CARRY_BITS = 32
_LUT = re.compile(r"LUT[1-6]|INV")
_MUX = re.compile(r"MUXF[789]")
_FLIP_FLOP = re.compile(r"FD[RSCP]E(_1)?|LD[CP]E")
_SHIFT_REGISTER = re.compile(r"SRL16E|SRLC16E|SRLC32E")
_LUT_RAM = re.compile(r"RAM\d+(M|X1D)\d*")
_BUFFER = re.compile(r"BUFG|IBUF|OBUF")
_BLOCKS = (("dsp", re.compile(r"DSP48.*")), ("bram", re.compile(r"RAMB(18|36)E.*")), ("bram", re.compile(r"URAM288.*")))
_CLOCKS = {"C", "CLK", "CLKARDCLK", "CLKBWRCLK", "WCLK", "CLOCK"}
CROSSINGS = ("to_dsp", "from_dsp", "to_bram", "from_bram")


@dataclass(frozen=True)
class Path:
    """A path: its levels, how many of them are carry, and the names of the nets where it begins and ends."""

    levels: int = 0
    carry: int = 0
    begin: str = ""
    end: str = ""

    def __str__(self) -> str:
        return f"{self.levels} ({self.levels - self.carry} LUT + {self.carry} carry) from {self.begin} to {self.end}"


@dataclass(frozen=True)
class Timing:
    """What is known of a module's depth; levels of a port's bit are keyed by (port, index).

    Attributes:
        own: the longest path that ends in the module itself or that passes through the ports of what it contains.
        longest: the longest path in the module or in one it contains.
        crossings: the longest path here from a register to a hard block, or from one to a register, by `CROSSINGS`.
        arrive: levels of an output's bit behind the last register, where there is one.
        depart: levels between an input's bit and the first register behind it.
        through: levels from an input's bit to an output's without a register: {output bit: {input bit: levels}}.
    """

    own: Path = Path()
    longest: Path = Path()
    crossings: Mapping[str, int] = field(default_factory=dict)
    arrive: Mapping[tuple[str, int], int] = field(default_factory=dict)
    depart: Mapping[tuple[str, int], int] = field(default_factory=dict)
    through: Mapping[tuple[str, int], Mapping[tuple[str, int], int]] = field(default_factory=dict)


@dataclass
class _Arrival:
    """Of a net: the longest way from a register (levels, carry levels, where it began) and from each input bit."""

    levels: int = -1
    carry: int = 0
    begin: int = -1
    block: str = ""
    inputs: dict[tuple[str, int], int] = field(default_factory=dict)


def analyse(module: Mapping, inside: Mapping[str, Timing], name: str = "module") -> Timing:
    """The depth of one module of a Yosys JSON netlist.

    Args:
        module: with ports, cells and netnames, as `write_json` gives them.
        inside: Timing of the modules that it instantiates, by cell type.

    Raises:
        SynthesisError: a cell type that is neither known nor in `inside`, or a combinational loop.
    """
    return _Analysis(module, inside, name).run()


class _Analysis:
    def __init__(self, module: Mapping, inside: Mapping[str, Timing], name: str):
        self.module, self.inside, self.name = module, inside, name
        self.arcs: dict[int, list[tuple[int, int, int]]] = {}  # net: (net before, levels, carry levels)
        self.arrivals: dict[int, _Arrival] = {}
        self.ends: list[tuple[int, int, str, int]] = []  # (net, levels behind it, kind of end, net that names it)
        self.names = _net_names(module)
        self.chain: dict[str, int] = {}

    def run(self) -> Timing:
        for port, details in self.module["ports"].items():
            if details["direction"] != "output":
                for i, bit in enumerate(details["bits"]):
                    if isinstance(bit, int):
                        self.arrivals[bit] = _Arrival(inputs={(port, i): 0})
        self._index_chains()
        for cell_name, cell in self.module["cells"].items():
            self._cell(cell_name, cell)
        return self._summary()

    def _cell(self, cell_name: str, cell: Mapping) -> None:
        type_, pins = cell["type"], cell["connections"]
        outputs = {p for p, d in cell.get("port_directions", {}).items() if d == "output"}
        bits = lambda ports: [b for p in ports if p in pins for b in pins[p] if isinstance(b, int)]  # noqa: E731
        feeding = [p for p in pins if p not in outputs and p not in _CLOCKS]
        if type_ in self.inside:
            self._instance(self.inside[type_], pins, outputs)
        elif _LUT.fullmatch(type_):
            self._join(bits(outputs), bits(feeding), 1, 0)
        elif _MUX.fullmatch(type_) or _BUFFER.fullmatch(type_):
            self._join(bits(outputs), bits(feeding), 0, 0)
        elif type_ == "CARRY4":
            self._carry(cell_name, pins)
        elif _FLIP_FLOP.fullmatch(type_) or _SHIFT_REGISTER.fullmatch(type_):
            self._begin(bits(outputs), "")
            self._end(bits(feeding), "", bits(outputs))
        elif _LUT_RAM.fullmatch(type_):  # read without a clock: a LUT from every address bit
            self._begin(bits(outputs), "", 1)
            read = [p for p in feeding if p.startswith(("ADDR", "DPRA")) or re.fullmatch(r"A\d*", p)]
            self._join(bits(outputs), bits(read), 1, 0)
            self._end(bits(feeding), "")
        elif kind := next((k for k, pattern in _BLOCKS if pattern.fullmatch(type_)), None):
            self._begin(bits(outputs), kind)
            self._end(bits(feeding), kind)
        elif type_ not in ("VCC", "GND"):
            raise SynthesisError(f"{self.name}: cell {cell_name} is a {type_}, of which no depth is known")

    def _begin(self, nets: list[int], block: str, levels: int = 0) -> None:
        for net in nets:
            self.arrivals[net] = _Arrival(levels=levels, begin=net, block=block)

    def _end(self, nets: list[int], block: str, holds: list[int] = ()) -> None:
        self.ends += [(net, 0, block, holds[0] if holds else net) for net in nets]

    def _join(self, outputs: list[int], inputs: list[int], levels: int, carry: int) -> None:
        for out in outputs:
            self.arcs.setdefault(out, []).extend((before, levels, carry) for before in inputs)

    def _index_chains(self) -> None:
        """Position of each CARRY4 in its chain."""
        carries = {n: c["connections"] for n, c in self.module["cells"].items() if c["type"] == "CARRY4"}
        owner = {pins["CO"][3]: n for n, pins in carries.items() if isinstance(pins["CO"][3], int)}
        for name in carries:
            todo = []
            while name is not None and name not in self.chain:
                todo.append(name)
                name = owner.get(carries[name]["CI"][0])
            at = self.chain[name] + 1 if name is not None else 0
            for name in reversed(todo):
                self.chain[name] = at
                at += 1

    def _carry(self, name: str, pins: Mapping) -> None:
        into = int(self.chain[name] > 0 and self.chain[name] % (CARRY_BITS // 4) == 0)
        if self.chain[name] == 0:
            into = 1
        for i in range(4):
            sides = [b for p in ("S", "DI") for b in pins[p][: i + 1] if isinstance(b, int)]
            starts = [b for p in ("CYINIT",) for b in pins.get(p, []) if isinstance(b, int)]
            chain = [b for b in pins["CI"] if isinstance(b, int)]
            outs = [b for p in ("O", "CO") for b in (pins[p][i],) if isinstance(b, int)]
            self._join(outs, sides + starts, 1, 1)
            self._join(outs, chain, into, into)

    def _instance(self, timing: Timing, pins: Mapping, outputs: set[str]) -> None:
        net = lambda bit: pins[bit[0]][bit[1]] if bit[0] in pins else None  # noqa: E731
        for bit, levels in timing.depart.items():
            if isinstance(net(bit), int):
                self.ends.append((net(bit), levels, "", net(bit)))
        for bit, levels in timing.arrive.items():
            if isinstance(net(bit), int):
                self.arrivals[net(bit)] = _Arrival(levels=levels, begin=net(bit))
        for bit, befores in timing.through.items():
            if isinstance(net(bit), int):
                known = [(net(b), levels, 0) for b, levels in befores.items() if isinstance(net(b), int)]
                self.arcs.setdefault(net(bit), []).extend(known)

    def _resolve(self, net: int) -> _Arrival:
        """Arrival at a net, those before it first; no recursion, paths are long in a chain of carries."""
        open_, stack = set(), [net]
        while stack:
            at = stack[-1]
            arcs = self.arcs.get(at)
            if arcs is None:
                self.arrivals.setdefault(at, _Arrival())
                stack.pop()
                continue
            missing = [before for before, _, _ in arcs if before in self.arcs or before not in self.arrivals]
            if missing:
                if at in open_:
                    raise SynthesisError(f"{self.name}: combinational loop through {self.names.get(at, at)}")
                open_.add(at)
                stack += missing
                continue
            self.arrivals[at] = self._merge(at, self.arcs.pop(at))
            open_.discard(at)
            stack.pop()
        return self.arrivals[net]

    def _merge(self, net: int, arcs: list[tuple[int, int, int]]) -> _Arrival:
        new = self.arrivals.get(net, _Arrival())
        for before, levels, carry in arcs:
            old = self.arrivals[before]
            if old.levels >= 0 and old.levels + levels > new.levels:
                new.levels, new.carry = old.levels + levels, old.carry + carry
                new.begin, new.block = old.begin, old.block
            for bit, ways in old.inputs.items():
                if ways + levels > new.inputs.get(bit, -1):
                    new.inputs[bit] = ways + levels
        return new

    def _name(self, net: int) -> str:
        return self.names.get(net, f"net {net}")

    def _summary(self) -> Timing:
        own, crossings = Path(), dict.fromkeys(CROSSINGS, 0)
        depart: dict[tuple[str, int], int] = {}
        for net, behind, block, called in self.ends:
            arrival = self._resolve(net)
            levels = arrival.levels + behind
            if arrival.levels >= 0 and levels > own.levels:
                own = Path(levels, arrival.carry, self._name(arrival.begin), self._name(called))
            if arrival.levels >= 0 and block:
                crossings[f"to_{block}"] = max(crossings[f"to_{block}"], levels)
            if arrival.levels >= 0 and arrival.block:
                crossings[f"from_{arrival.block}"] = max(crossings[f"from_{arrival.block}"], levels)
            for bit, ways in arrival.inputs.items():
                depart[bit] = max(depart.get(bit, 0), ways + behind)
        arrive, through = {}, {}
        for port, details in self.module["ports"].items():
            if details["direction"] == "input":
                continue
            for i, bit in enumerate(details["bits"]):
                if isinstance(bit, int):
                    arrival = self._resolve(bit)
                    if arrival.levels >= 0:
                        arrive[(port, i)] = arrival.levels
                    if arrival.inputs:
                        through[(port, i)] = dict(arrival.inputs)
        longest = max([own, *(t.longest for t in self._instances())], key=lambda p: p.levels)
        return Timing(own, longest, crossings, arrive, depart, through)

    def _instances(self) -> Iterator[Timing]:
        used = {cell["type"] for cell in self.module["cells"].values()}
        return (timing for type_, timing in self.inside.items() if type_ in used)


def _net_names(module: Mapping) -> dict[int, str]:
    """A name for each net, one given in the source before one that Yosys made."""
    names: dict[int, str] = {}
    for name, net in sorted(module["netnames"].items(), key=lambda item: (item[1].get("hide_name", 0), len(item[0]))):
        for i, bit in enumerate(net["bits"]):
            if isinstance(bit, int):
                names.setdefault(bit, f"{name}[{i}]" if len(net["bits"]) > 1 else name)
    return names


def outside(timing: Timing) -> int:
    """Levels of the longest path of a whole design, its ports taken for registers."""
    through = [levels for befores in timing.through.values() for levels in befores.values()]
    return max([timing.longest.levels, *timing.arrive.values(), *timing.depart.values(), *through])
