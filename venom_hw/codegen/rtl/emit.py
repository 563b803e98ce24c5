"""A schedule as SystemVerilog: a module for each stage, a top module that wires them, tables as `.mem` files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import jinja2

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.names import Names
from venom_hw.codegen.rtl import emit_wiring as wiring
from venom_hw.codegen.rtl.circuit import Bus, Cell, Circuit, Signal
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.emit_cells import clamp_by_reset, expression, passable
from venom_hw.codegen.rtl.emit_module import Module, Section, Value
from venom_hw.codegen.rtl.emit_routes import TOP, places, routes
from venom_hw.codegen.rtl.emit_shared import emit_multipliers, emit_reads
from venom_hw.codegen.rtl.pipeline import Pipeline, PipelinePort
from venom_hw.codegen.rtl.registers import count_registers
from venom_hw.codegen.rtl.schedule import Schedule, schedule
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.passes.factor_decay import factor_decay

INTERVALS = (1, 2, 4, 8)
TEMPLATES = Path(__file__).resolve().parents[3] / "templates" / "rtl"
MULTIPLIERS = {
    "dsp": (
        "operands, product and output registered, which is how a DSP slice is inferred.",
        '(* use_dsp = "yes" *)',
    ),
    "lut": ("operands, product and output registered, in fabric.", '(* use_dsp = "no" *)'),
}


def render_pipeline(
    graph: Graph,
    *,
    name: str,
    strategies: Strategies | None = None,
    interval: int = 1,
    late: Collection[str] | None = None,
) -> Pipeline:
    """A graph as a pipeline that takes a sample every `interval` clocks.

    Args:
        name: of the top module, and prefix of all others.
        strategies: which hardware makes what, and the clocks of each cell.
        interval: II; 1, or 2, 4, 8 with multipliers and memories shared over as many clocks.
        late: inputs that enter just in time, at a clock that is a result; the others enter at clock 0. By default the
            states.

    Raises:
        CodegenError: an operation, a strategy or an interval that cannot be rendered.
    """
    strategies = strategies or Strategies()
    if interval not in INTERVALS:
        raise CodegenError(f"{name}: interval {interval}, expected one of {', '.join(map(str, INTERVALS))}")
    graph = factor_decay(graph)
    circuit = name_next_states(elaborate(graph, strategies), graph)
    states = dict(graph.states)
    plan = schedule(circuit, strategies.latency, interval=interval, states=states,
                    late=states if late is None else late)  # fmt: skip
    return emit(plan, name)


def name_next_states(circuit: Circuit, graph: Graph) -> Circuit:
    """The circuit with its last buses, the next states, called after the nodes that make them, not after the states.

    Raises:
        CodegenError: two different output ports of one name.
    """
    ports: dict[str, Bus] = {bus.name: bus for bus in circuit.outputs[: len(graph.outputs)]}
    for bus, (_, following) in zip(circuit.outputs[len(graph.outputs) :], graph.states, strict=True):
        bus = replace(bus, name=following)
        if ports.setdefault(following, bus) != bus:
            raise CodegenError(
                f"{graph.name}: an output and a next state, not the same, are both called {following!r}"
            )
    return replace(circuit, outputs=tuple(ports.values()))


def render_circuit(
    circuit: Circuit,
    *,
    name: str,
    strategies: Strategies | None = None,
    interval: int = 1,
    states: Mapping[str, str] | None = None,
    late: Collection[str] = (),
) -> Pipeline:
    """As `render_pipeline`, of a circuit; `states`: next state's output bus by state's input bus."""
    strategies = strategies or Strategies()
    return emit(schedule(circuit, strategies.latency, interval=interval, states=states, late=late), name)


def emit(plan: Schedule, name: str) -> Pipeline:
    """The text of a schedule."""
    return Emission(plan, name).pipeline()


class Emission:
    """The modules of a pipeline in the making.

    Attributes:
        values: where an integer is to be had: by (place, signal, clock).
    """

    def __init__(self, plan: Schedule, name: str):
        self.plan, self.name, self.identifier = plan, name, Names()
        self.place = places(plan)
        self.signals: dict[str, Signal] = plan.circuit.signals()
        self.members: dict[str, list[str]] = defaultdict(list)
        for signal, s in self.signals.items():
            self.members[s.tensor].append(signal)
        self.order = {name: at for at, name in enumerate(self.signals)}
        self.values: dict[tuple[str, str, int], Value] = {}
        self.constants: dict[str, Value] = {}
        self.memories: dict[str, str] = {}
        self.stats: dict[str, int] = defaultdict(int)
        self.helpers: set[str] = set()
        self.modules: dict[str, Module] = {}
        self.sections: dict[tuple[str, str], Section] = {}
        self.output_names: dict[str, str] = {}
        self.connections: dict[str, list[tuple[str, object]]] = defaultdict(list)

    def pipeline(self) -> Pipeline:
        plan = self.plan
        for place in dict.fromkeys([TOP, *self.place.values()]):
            module_name = f"{self.name}_{self.identifier(place)}" if place else self.name
            self.modules[place] = Module(module_name, place)
        self._constants()
        wiring.input_ports(self)
        found = routes(plan, self.place)
        wiring.imports(self, found.imports)
        self._declare_cells()
        wiring.delays(self, [s for s in found.segments if s[0] != TOP])
        wiring.exports(self, found.exports)
        wiring.delays(self, [s for s in found.segments if s[0] == TOP])
        self._cells()
        emit_multipliers(self)
        emit_reads(self)
        wiring.output_ports(self)
        wiring.instances(self)
        return self._result()

    # Values

    def value(self, place: str, name: str, clock: int) -> Value:
        """A signal at a clock, for arithmetic: what lies in a packed port or delay gets a name of its own."""
        if name in self.constants:
            return self.constants[name]
        found = self.values[place, name, clock]
        if found.whole:
            return found
        signal = self.signals[name]
        module = self.modules[place]
        text = found.bits(found.width - 1, 0)
        variable = module.wire(
            self.name_at(name, clock), signal.width, signal.signed, text, section=found.of.name
        )
        self.values[place, name, clock] = Value(signal.width, signal.signed, variable)
        return self.values[place, name, clock]

    def operands(self, cell: Cell) -> list[Value]:
        at = self.plan.start[cell.output.name]
        return [self.value(self.place[cell.output.name], name, at) for name in cell.inputs]

    def name_at(self, name: str, clock: int) -> str:
        """Name of a signal at a clock: its own where it is made, with the clock where it has waited."""
        return name if clock == self.plan.ready[name] else f"{name}_c{clock}"

    def tensor(self, name: str) -> str:
        """Identifier of the tensor that a signal belongs to."""
        return self.identifier(self.signals[name].tensor or name)

    def grouped(self, keys) -> dict[tuple, list[str]]:
        """(…, signal, …clocks) by (…, tensor, …clocks); elements row-major."""
        groups: dict[tuple, list[str]] = defaultdict(list)
        for place, name, *clocks in keys:
            groups[place, self.tensor(name), *clocks].append(name)
        for names in groups.values():
            names.sort(key=lambda n: (self.signals[n].index, self.order[n]))
        return groups

    def section(self, place: str, key: str, title: str = "") -> Section:
        """A section of logic of a module."""
        if (place, key) not in self.sections:
            self.sections[place, key] = Section(title)
            self.modules[place].logic.append(self.sections[place, key])
        return self.sections[place, key]

    def enable(self, clock: int) -> str:
        """Condition under which a register that shows its value from `clock` on takes it."""
        return f"phase == {self.phase(clock - 1)}" if self.plan.interval > 1 else ""

    def phase(self, clock: int) -> str:
        bits = (self.plan.interval - 1).bit_length()
        return f"{bits}'d{clock % self.plan.interval}"

    # Steps

    def _constants(self) -> None:
        for cell in self.plan.circuit.cells:
            if cell.kind == "const":
                s = cell.output
                self.constants[s.name] = Value(s.width, s.signed, constant=cell.attrs["value"])

    def width(self, names: list[str]) -> int:
        return sum(self.signals[n].width for n in names)

    def _declare_cells(self) -> None:
        for cell in self.plan.circuit.cells:
            s = cell.output
            if cell.kind in ("input", "const"):
                continue
            place, clock = self.place[s.name], self.plan.ready[s.name]
            variable = self.modules[place].declare(s.name, s.width, s.signed, section=self.heading(s))
            self.values[place, s.name, clock] = Value(s.width, s.signed, variable)
            self.section(place, f"cells {s.tensor}", self.heading(s))

    def note(self, names: list[str]) -> str:
        """The types of some elements: "s12.8, "."""
        notes = list(dict.fromkeys(self.signals[n].note for n in names if self.signals[n].note))
        text = " ".join(notes) if len(notes) < 4 else f"{notes[0]} ... {notes[-1]}"
        return text + ", " if text else ""

    def _cells(self) -> None:
        """Cells with an expression: registered, or plain wires where they take no time."""
        folded = {c.output.name for fold in self.plan.folds for slot in fold.slots for c in slot}
        for cell in self.plan.circuit.cells:
            if cell.kind in ("input", "const", "mul", "lookup") or cell.output.name in folded:
                continue
            s, place = cell.output, self.place[cell.output.name]
            if cell.kind == "clamp":
                cell = passable(cell, self.signals[cell.inputs[0]])
            self.stats[f"cells_{cell.kind}"] += 1
            latency = self.plan.latencies[s.name]
            section = self.section(place, f"cells {s.tensor}", self.heading(s))
            target = self.values[place, s.name, self.plan.ready[s.name]].of.name
            if cell.kind == "clamp" and cell.style == "reset" and latency == 1:
                section.clocked.append(clamp_by_reset(cell, self.operands(cell)[0], target))
                continue
            text = expression(cell, self.operands(cell), self.modules[place])
            if not latency:
                section.lines.append(f"assign {target} = {text};")
                continue
            for more in range(latency - 1):
                early = self.modules[place].declare(
                    f"{s.name}_{more + 1}", s.width, s.signed, section=self.heading(s)
                )
                early.use()
                section.clocked.append(f"{early.name} <= {text};")
                text = early.name
            section.clocked.append(f"{target} <= {text};")

    def heading(self, s: Signal) -> str:
        """Comment over a tensor's logic: type and clocks."""
        names = self.members[s.tensor] if s.tensor else [s.name]
        clocks = sorted({self.plan.ready[n] for n in names if n in self.plan.ready})
        when = f"clock {clocks[0]}" if len(clocks) == 1 else f"clocks {clocks[0]} to {clocks[-1]}"
        return f"{s.tensor or s.name}: {self.note(names)}{when}"

    def _result(self) -> Pipeline:
        plan = self.plan
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=jinja2.StrictUndefined,
        )
        files: dict[str, str] = dict(self.memories)
        if "venom_delay" in self.helpers:
            files["venom_delay.sv"] = environment.get_template("delay_line.sv.j2").render()
        for style, (registers, attribute) in MULTIPLIERS.items():
            helper = f"venom_multiply_{style}"
            if helper in self.helpers:
                files[f"{helper}.sv"] = environment.get_template("multiply.sv.j2").render(
                    name=helper, registers=registers, attribute=attribute
                )
        template = environment.get_template("stage.sv.j2")
        for place in [*(p for p in self.modules if p != TOP), TOP]:
            module = self.modules[place]
            title = (
                f"{self.name}: stage {place}"
                if place
                else f"{self.name}: a pipeline of {plan.latency} clocks"
            )
            notes = ["Generated; signal_c<n> is signal at clock n, counted from a sample's entry."]
            files[f"{module.name}.sv"] = template.render(
                **module.view(title, notes, plan.interval, place == TOP)
            )
        counted = count_registers(plan)
        ports = lambda buses, clocks, names: {  # noqa: E731
            b.name: PipelinePort(names.get(b.name, self.identifier(b.name)), b.shape, b.width, b.signed,
                                 clocks[b.name], b.note)
            for b in buses
        }  # fmt: skip
        return Pipeline(
            self.name,
            plan.interval,
            plan.latency,
            ports(plan.circuit.inputs, plan.inputs, {}),
            ports(plan.circuit.outputs, plan.outputs, self.output_names),
            files,
            counted.total,
            counted.stages,
            {**self.stats, **counted.stats},
        )
