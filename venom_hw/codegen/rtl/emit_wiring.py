"""What connects the stages of a pipeline: ports, delays, instances. Every function adds to an `Emission`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from venom_hw.codegen.rtl.circuit import Bus
from venom_hw.codegen.rtl.emit_module import Value, Variable, concatenation
from venom_hw.codegen.rtl.emit_routes import TOP


def input_ports(emission) -> None:
    """Ports of the graph's inputs and states."""
    top = emission.modules[TOP]
    for bus in emission.plan.circuit.inputs:
        clock = emission.plan.inputs[bus.name]
        port = top.port(
            "input", emission.identifier(bus.name), bus.width * len(bus.elements), describe(bus, clock)
        )
        for at, name in enumerate(bus.elements):
            s = emission.signals[name]
            emission.values[TOP, name, clock] = Value(s.width, s.signed, port, at * bus.width)


def packed(
    emission, names: list[str], variable: Variable, key: Callable[[str], tuple[str, str, int]]
) -> None:
    """Elements side by side in a variable, as values at key(name)."""
    at = 0
    for name in names:
        s = emission.signals[name]
        emission.values[key(name)] = Value(s.width, s.signed, variable, at)
        at += s.width


def imports(emission, keys: Iterable[tuple[str, str, int]]) -> None:
    """Input ports of the stages: the elements of one tensor at one clock in each."""
    for (place, tensor, clock), names in emission.grouped(keys).items():
        module = emission.modules[place]
        wanted = emission.name_at(names[0], clock) if len(names) == 1 else f"{tensor}_c{clock}"
        port = module.port("input", wanted, emission.width(names), f"{emission.note(names)}clock {clock}")
        packed(emission, names, port, lambda n, p=place, c=clock: (p, n, c))
        emission.connections[place].append((port.name, (names, clock)))


def exports(emission, keys: Iterable[tuple[str, str, int]]) -> None:
    """Output ports of the stages, and the wires of the top module that they drive."""
    for (place, tensor, clock), names in emission.grouped(keys).items():
        wanted = f"{emission.name_at(names[0], clock)}_out" if len(names) == 1 else f"{tensor}_c{clock}"
        port = emission.modules[place].port(
            "output", wanted, emission.width(names), f"{emission.note(names)}clock {clock}"
        )
        text = concatenation([emission.values[place, n, clock] for n in names])
        emission.section(place, "exports", "To other stages").lines.append(f"assign {port.name} = {text};")
        wire = emission.modules[TOP].declare(f"{tensor}_c{clock}", port.width, False, section=f"From {place}")
        packed(emission, names, wire, lambda n, c=clock: (TOP, n, c))
        emission.connections[place].append((port.name, wire.name))


def delays(emission, segments: Iterable[tuple[str, str, int, int]]) -> None:
    """What a signal waits: a register, or a `venom_delay`, for the elements of a tensor that wait together."""
    for (place, tensor, start, end), names in emission.grouped(segments).items():
        module = emission.modules[place]
        wanted = f"{names[0]}_c{end}" if len(names) == 1 else f"{tensor}_c{end}"
        depth = -(-(end - start) // emission.plan.interval)
        variable = module.declare(wanted, emission.width(names), False, section=f"{tensor}, delayed")
        source = concatenation([emission.values[place, n, start] for n in names])
        enable = emission.enable(end)
        section = emission.section(place, "delays", "Delays: _c<clock> is the signal at that clock")
        if depth == 1:
            condition = f"if ({enable}) " if enable else ""
            section.clocked.append(f"{condition}{variable.name} <= {source};")
        else:
            emission.helpers.add("venom_delay")
            instance, always = module.fresh("delay_" + variable.name), "1'b1"
            section.lines += [
                f"venom_delay #(.WIDTH({variable.width}), .DEPTH({depth})) {instance} (",
                f"  .clk(clk), .enable({enable or always}), .q({variable.name}),",
                f"  .d({source}));",
            ]
        if enable:
            module.phased = True
        packed(emission, names, variable, lambda n, p=place, c=end: (p, n, c))


def output_ports(emission) -> None:
    """Ports of the graph's outputs and next states: elements widened to the port's."""
    top = emission.modules[TOP]
    for bus in emission.plan.circuit.outputs:
        clock = emission.plan.outputs[bus.name]
        wanted = emission.identifier(bus.name)
        if any(wanted == p.name for _, p, _ in top.ports):
            wanted += "_next"
        port = top.port("output", wanted, bus.width * len(bus.elements), describe(bus, clock))
        emission.output_names[bus.name] = port.name
        parts = []
        for name in bus.elements:
            value = (
                emission.constants[name] if name in emission.constants else emission.values[TOP, name, clock]
            )
            parts.append(value)
            if value.width < bus.width:
                parts += padding(value, bus.width)
        text = concatenation(parts)
        emission.section(TOP, "outputs", "Outputs").lines.append(f"assign {port.name} = {text};")


def instances(emission) -> None:
    """The stages in the top module."""
    top = emission.modules[TOP]
    for place, module in emission.modules.items():
        if place == TOP:
            continue
        lines = [f"{module.name} {top.fresh(emission.identifier(place))} ("]
        pins = [".clk(clk)"]
        if module.phased:
            pins.append(".phase(phase)")
            top.phased = True
        for port, what in emission.connections[place]:
            if not isinstance(what, str):
                names, clock = what
                what = concatenation([emission.values[TOP, n, clock] for n in names])
            pins.append(f".{port}({what})")
        lines += [f"  {pin}{',' if at < len(pins) - 1 else ''}" for at, pin in enumerate(pins)]
        emission.section(TOP, "instances").lines += [*lines, ");"]


def padding(value: Value, width: int) -> list[Value]:
    """What fills a value up to an element's width: its sign, or zeros."""
    missing = width - value.width
    if value.of is None:
        return [Value(missing, False, constant=-1 if value.signed and value.constant < 0 else 0)]
    if not value.signed:
        return [Value(missing, False)]
    top = (value.offset or 0) + value.width - 1
    return [Value(1, False, value.of, top)] * missing


def describe(bus: Bus, clock: int) -> str:
    """A port's comment: shape, type, clock."""
    shape = "x".join(map(str, bus.shape)) or "scalar"
    return f"{shape} {bus.note or ('s' if bus.signed else 'u') + str(bus.width)}, clock {clock}"
