"""Multipliers and memories: the cells that have a module or an array of their own, and that folds share."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import Cell
from venom_hw.codegen.rtl.emit_module import Module, Section, Value, literal
from venom_hw.codegen.rtl.schedule import Fold, Read

ROM_STYLES = {"bram": "block", "lut": "distributed"}


def _signed(value: Value) -> tuple[str, int]:
    """The value as a signed operand, and its bits."""
    if value.of is None:
        width = value.width + (not value.signed)
        return literal(value.constant, width, False), width  # Yosys takes no signed constant at a port
    if value.signed and value.offset == 0 and value.width == value.of.width:
        value.of.use()  # the port has this width: no $signed, at which Yosys 0.70 stops where it spans a variable
        return value.of.name, value.width
    return (value.text, value.width) if value.signed else (f"{{1'b0, {value.text}}}", value.width + 1)


def emit_multipliers(emission) -> None:
    """An instance a product, or one for all slots of a fold."""
    folded = set()
    for fold in emission.plan.folds:
        if fold.slots[0][0].kind == "mul":
            _folded_multiplier(emission, fold)
            folded |= {cell.output.name for slot in fold.slots for cell in slot}
    for cell in emission.plan.circuit.cells:
        if cell.kind != "mul" or cell.output.name in folded:
            continue
        s, place = cell.output, emission.place[cell.output.name]
        module = emission.modules[place]
        (a, a_bits), (b, b_bits) = (_signed(v) for v in emission.operands(cell))
        section = emission.section(place, f"cells {s.tensor}", emission.heading(s))
        target = emission.values[place, s.name, emission.plan.ready[s.name]].of.name
        section.lines += _instance(
            emission, cell, module, f"{s.name}_multiply", a, a_bits, b, b_bits, target, s.width
        )


def _instance(emission, cell: Cell, module: Module, name: str, a, a_bits, b, b_bits, p, p_bits) -> list[str]:
    helper = f"venom_multiply_{cell.style or 'dsp'}"
    emission.helpers.add(helper)
    emission.stats[f"multipliers_{cell.style or 'dsp'}"] += 1
    latency = emission.plan.latencies[cell.output.name]
    if latency < 1:
        raise CodegenError(f"{cell.output.name}: a product takes at least 1 clock, not {latency}")
    parameters = f".A({a_bits}), .B({b_bits}), .P({p_bits}), .LATENCY({latency})"
    return [f"{helper} #({parameters}) {module.fresh(name)} (.clk(clk), .a({a}), .b({b}), .p({p}));"]


def _folded_multiplier(emission, fold: Fold) -> None:
    plan, first = emission.plan, fold.slots[0][0]
    s, place = first.output, emission.place[first.output.name]
    module, start = emission.modules[place], plan.start[s.name]
    module.phased = True
    operands = [emission.operands(slot[0]) for slot in fold.slots]
    widths = [max(v[side].width + (not v[side].signed) for v in operands) for side in (0, 1)]
    product = max(slot[0].output.width for slot in fold.slots)
    a, b = (
        module.declare(f"{s.name}_{side}", width, True, section=f"{s.tensor}: shared multipliers")
        for side, width in zip("ab", widths, strict=True)
    )
    p = module.declare(f"{s.name}_p", product, True, section=f"{s.tensor}: shared multipliers")
    a.use(), b.use()
    section = emission.section(place, f"cells {s.tensor}", emission.heading(s))
    turns = {
        emission.phase(start + turn): [
            f"{v.name} = {x.bits(v.width - 1, 0)};" for v, x in ((a, left), (b, right))
        ]
        for turn, (left, right) in enumerate(operands)
    }
    section.lines += _case(turns)
    section.lines += _instance(
        emission, first, module, f"{s.name}_multiply", a.name, a.width, b.name, b.width, p.name, p.width
    )
    made = Value(p.width, True, p)
    _capture(emission, section, fold, [[(slot[0], made, 0)] for slot in fold.slots])


def _case(turns: dict[str, list[str]]) -> list[str]:
    """Operands by phase; the last turn also serves the phases that are left."""
    lines = ["always_comb", "  case (phase)"]
    for at, (phase, body) in enumerate(turns.items()):
        label = "default" if at == len(turns) - 1 else phase
        lines += [f"    {label}: begin", *(f"      {line}" for line in body), "    end"]
    return [*lines, "  endcase"]


def _capture(emission, section: Section, fold: Fold, results: list[list[tuple[Cell, Value, int]]]) -> None:
    """Registers that take each slot's results (bits from an offset on) when they come."""
    for slot in results:
        for cell, made, offset in slot:
            s, ready = cell.output, emission.plan.ready[cell.output.name]
            target = emission.values[emission.place[s.name], s.name, ready].of.name
            part = Value(made.width, False, made.of).bits(offset + s.width - 1, offset)
            section.clocked.append(f"if ({emission.enable(ready)}) {target} <= {part};")


def emit_reads(emission) -> None:
    """Memories of two ports; a port serves one read, or the reads of a fold in turn."""
    of_memory: dict[tuple, list[list[Read]]] = defaultdict(list)
    slot_of = {slot[0].output.name: fold for fold in emission.plan.folds for slot in fold.slots}
    shared: dict[int, list[Read]] = {}
    for read in emission.plan.reads:
        fold = slot_of.get(read.cells[0].output.name)
        if fold is None:
            of_memory[read.memory].append([read])
        elif id(fold) in shared:
            shared[id(fold)].append(read)
        else:
            shared[id(fold)] = [read]
            of_memory[read.memory].append(shared[id(fold)])
    for key, ports in of_memory.items():
        style = key[1]
        step = 1 if style == "lut" else 2
        for at in range(0, len(ports), step):
            _memory(emission, ports[at : at + step])


def _memory(emission, ports: list[list[Read]]) -> None:
    first = ports[0][0].cells[0]
    s, place = first.output, emission.place[first.output.name]
    module = emission.modules[place]
    words, depth = _contents(emission, ports)
    layout = _layout(ports[0][0])
    width = sum(w for _, w in layout.values())
    file = _file(emission, s, words, width)
    style = ROM_STYLES[first.style or "bram"]
    section = emission.section(place, f"cells {s.tensor}", emission.heading(s))
    table = module.fresh(f"{s.name}_table")
    title = f"{s.tensor}: tables, addressed by the bits of the code"
    module.line(f'(* rom_style = "{style}" *) logic [{width - 1}:0] {table} [0:{depth - 1}];', title)
    module.line(f'initial $readmemh("{file}", {table});', title)
    emission.stats["roms"] += 1
    emission.stats["rom_bits"] += width * depth
    emission.stats[f"roms_{first.style or 'bram'}"] += 1
    for reads in ports:
        _port(emission, module, section, reads, table, depth, width, layout)


def _layout(read: Read) -> dict[int, tuple[int, int]]:
    """Offset and bits of each column in a word."""
    layout, at = {}, 0
    for cell in read.cells:
        if cell.attrs["column"] not in layout:
            layout[cell.attrs["column"]] = (at, cell.output.width)
            at += cell.output.width
    return layout


def _contents(emission, ports: list[list[Read]]) -> tuple[list[int], int]:
    """Words by address: the code's bits as they are (a negative code lies in the upper half)."""
    read = ports[0][0]
    attrs = read.cells[0].attrs
    rom = np.asarray(emission.plan.circuit.roms[attrs["rom"]])
    bits = max(emission.signals[r.address].width for reads in ports for r in reads)
    bits = max(bits, (len(rom) - 1).bit_length())
    signed = attrs["base"] < 0 or any(emission.signals[r.address].signed for reads in ports for r in reads)
    words = []
    for address in range(1 << bits):
        code = address - (1 << bits) if signed and address >> bits - 1 else address
        entry = code - attrs["base"]
        word = 0
        if 0 <= entry < len(rom):
            for column, (offset, width) in _layout(read).items():
                word |= (int(rom[entry, column]) & (1 << width) - 1) << offset
        words.append(word)
    return words, 1 << bits


def _file(emission, s, words: list[int], width: int) -> str:
    """Name of the file with these words; equal contents share one."""
    digits = -(-width // 4)
    text = "".join(f"{word:0{digits}x}\n" for word in words)
    for name, known in emission.memories.items():
        if known == text:
            return name
    wanted, count = f"{emission.name}_{emission.identifier(s.tensor or s.name)}", 0
    while f"{wanted}_{count}.mem" in emission.memories:
        count += 1
    emission.memories[f"{wanted}_{count}.mem"] = text
    return f"{wanted}_{count}.mem"


def _port(emission, module: Module, section: Section, reads: list[Read], table, depth, width, layout) -> None:
    plan, first = emission.plan, reads[0].cells[0]
    name, latency = first.output.name, plan.latencies[first.output.name]
    bits = (depth - 1).bit_length()
    if latency < 1:
        raise CodegenError(f"{name}: a table takes at least 1 clock, not {latency}")
    place = emission.place[name]
    addresses = [
        emission.value(place, r.address, plan.start[r.cells[0].output.name]).bits(bits - 1, 0) for r in reads
    ]
    folded = any(first is cell for fold in plan.folds for slot in fold.slots for cell in slot)
    if folded:
        module.phased = True
        address = module.declare(
            f"{name}_address", bits, False, section=f"{first.output.tensor}: shared tables"
        )
        address.use()
        section.lines += _case(
            {
                emission.phase(plan.start[name] + turn): [f"{address.name} = {a};"]
                for turn, a in enumerate(addresses)
            }
        )
        addresses = [address.name]
    words = [
        module.declare(f"{name}_word{at or ''}", width, False, section=f"{first.output.tensor}: words read")
        for at in range(latency if folded else max(1, latency - 1))
    ]
    lines = [f"{words[0].name} <= {table}[{addresses[0]}];"]
    for early, late in zip(words, words[1:], strict=False):
        early.use()
        lines.append(f"{late.name} <= {early.name};")
    word = Value(width, False, words[-1])
    if folded:
        section.clocked += lines
        results = [[(c, word, layout[c.attrs["column"]][0]) for c in r.cells] for r in reads]
        _capture(emission, section, Fold(tuple(r.cells for r in reads)), results)
        return
    for cell in reads[0].cells:
        offset, bits_of = layout[cell.attrs["column"]]
        ready = plan.ready[cell.output.name]
        target = emission.values[place, cell.output.name, ready].of.name
        part = word.bits(offset + bits_of - 1, offset)
        lines.append(f"{target} <= {part};" if latency > 1 else f"assign {target} = {part};")
    section.clocked += [line for line in lines if not line.startswith("assign")]
    section.lines += [line for line in lines if line.startswith("assign")]
