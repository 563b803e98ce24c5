"""One SystemVerilog module as it grows: ports, declarations, logic, and which bits of what are used."""

from __future__ import annotations

from dataclasses import dataclass, field


def vector(width: int, signed: bool = False) -> str:
    """Type of a variable: "logic signed [11:0]"."""
    return f"logic{' signed' if signed else ''} [{width - 1}:0]"


def literal(value: int, width: int, signed: bool) -> str:
    """A sized constant."""
    if not signed:
        return f"{width}'d{value & (1 << width) - 1}"
    if value == -1 << width - 1:  # its magnitude has no signed literal of this width
        return f"{width}'sh{value & (1 << width) - 1:x}"
    return f"-{width}'sd{-value}" if value < 0 else f"{width}'sd{value}"


@dataclass
class Variable:
    """A declared net or variable.

    Attributes:
        used: mask of the bits that something reads.
    """

    name: str
    width: int
    signed: bool = False
    used: int = 0

    def use(self, high: int | None = None, low: int = 0) -> None:
        high = self.width - 1 if high is None else high
        self.used |= (1 << high + 1) - (1 << low)


@dataclass(frozen=True)
class Value:
    """An integer in a module: a whole variable, bits of one, or a constant."""

    width: int
    signed: bool
    of: Variable | None = None
    offset: int | None = None  # None: the whole variable
    constant: int = 0

    @property
    def text(self) -> str:
        """The value, with its own width and sign."""
        if self.of is None:
            return literal(self.constant, self.width, self.signed)
        if self.offset is None:
            self.of.use()
            return self.of.name
        plain = self.bits(self.width - 1, 0)
        return f"$signed({plain})" if self.signed else plain

    def bits(self, high: int, low: int) -> str:
        """Bits high..low, without sign, of the value extended as far as needed to the left."""
        top = self.width - 1
        if self.of is None:
            return literal(self.constant >> low, high - low + 1, False)
        if high > top:
            if not self.signed:
                zeros = f"{high - max(top, low - 1)}'d0"
                return zeros if low > top else f"{{{zeros}, {self.bits(top, low)}}}"
            if low > top:
                return f"{{{high - low + 1}{{{self.bits(top, top)}}}}}" if high > low else self.bits(top, top)
            sign = self.bits(top, top)
            filled = sign if high == top + 1 else f"{{{high - top}{{{sign}}}}}"
            return f"{{{filled}, {self.bits(top, low)}}}"
        at = self.offset or 0
        self.of.use(at + high, at + low)
        if self.of.width == 1:
            return self.of.name
        if high == low:
            return f"{self.of.name}[{at + low}]"
        if not self.signed and (high - low + 1 == self.of.width):
            return self.of.name
        return f"{self.of.name}[{at + high}:{at + low}]"

    @property
    def whole(self) -> bool:
        return self.of is None or self.width == self.of.width

    def fit(self, width: int) -> str:
        """The value in exactly `width` bits, extended by its sign or cut; for sums, where only the width matters."""
        if self.of is None:
            return literal(self.constant, width, self.signed and self.constant < 0)
        if width == self.width:
            return self.text
        return f"{width}'({self.text})" if width > self.width else self.bits(width - 1, 0)


@dataclass
class Section:
    """Text under one comment: lines as they are, then what happens at the clock's edge."""

    title: str
    lines: list[str] = field(default_factory=list)
    clocked: list[str] = field(default_factory=list)

    @property
    def text(self) -> list[str]:
        """All lines, broken where they are long."""
        statements = [line for text in self.clocked for line in text.split("\n")]
        block = [piece for line in statements for piece in broken(line)]
        if len(statements) == 1:
            block = broken(f"always_ff @(posedge clk) {statements[0]}")
        elif statements:
            block = ["always_ff @(posedge clk) begin", *(f"  {line}" for line in block), "end"]
        return [piece for line in self.lines for piece in broken(line)] + block


def broken(line: str, width: int = 108) -> list[str]:
    """A line of code as several, broken after operators and commas."""
    lines = []
    while len(line) > width:
        room = line[:width]
        at = max(
            room.rfind(mark) + len(mark) - 1
            for mark in (" + ", " - ", ", ", " ? ", " : ", " | ", " & ", "<= ")
        )
        if at <= len(line) - len(line.lstrip()) + 4:
            break
        lines.append(line[:at].rstrip())
        line = (
            " " * 4 + (line[: len(line) - len(line.lstrip())] if len(lines) == 1 else "") + line[at:].strip()
        )
    return [*lines, line]


def concatenation(values: list[Value]) -> str:
    """Values side by side, the first in the low bits; neighbours in one variable stay together."""
    parts: list[str] = []
    runs: list[list] = []  # variable, low, high
    for value in values:
        at = value.offset or 0
        if runs and value.of is not None and runs[-1][0] is value.of and runs[-1][2] + 1 == at:
            runs[-1][2] = at + value.width - 1
        else:
            runs.append([value.of, at, at + value.width - 1, value])
    for variable, low, high, value in runs:
        if variable is None:
            parts.append(value.bits(value.width - 1, 0))
            continue
        variable.use(high, low)
        whole = high - low + 1 == variable.width
        parts.append(variable.name if whole else f"{variable.name}[{high}:{low}]" if high > low
                     else f"{variable.name}[{low}]")  # fmt: skip
    return parts[0] if len(parts) == 1 else "{" + ", ".join(parts[::-1]) + "}"


class Module:
    """A module being written. Variables are declared in `declarations`, by section; logic follows in `logic`."""

    def __init__(self, name: str, title: str):
        self.name, self.title = name, title
        self.ports: list[tuple[str, Variable, str]] = []  # direction, variable, comment
        self.variables: list[Variable] = []
        self.declarations: dict[str, Section] = {}
        self.logic: list[Section] = []
        self.functions: dict[str, list[str]] = {}
        self.phased = False
        self._taken: set[str] = {"clk", "phase", "unused"}

    def fresh(self, wanted: str) -> str:
        """A name that is not yet used in the module."""
        name, count = wanted, 1
        while name.lower() in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name.lower())
        return name

    def port(self, direction: str, name: str, width: int, note: str = "") -> Variable:
        variable = Variable(self.fresh(name), width)
        if direction == "output":
            variable.use()
        else:
            self.variables.append(variable)
        self.ports.append((direction, variable, note))
        return variable

    def declare(
        self, name: str, width: int, signed: bool, *, section: str = "", attribute: str = ""
    ) -> Variable:
        """A variable; those of one section, type and attribute share a declaration."""
        variable = Variable(self.fresh(name), width, signed)
        self.variables.append(variable)
        kind = f"{attribute} {vector(width, signed)}".strip()
        self.declarations.setdefault(section, Section(section)).lines.append((kind, variable.name))
        return variable

    def line(self, text: str, section: str = "") -> None:
        """A declaration with its value (`wire`, memory), in its section."""
        self.declarations.setdefault(section, Section(section)).lines.append((None, text))

    def wire(self, name: str, width: int, signed: bool, text: str, *, section: str = "") -> Variable:
        """A net with its value."""
        variable = Variable(self.fresh(name), width, signed)
        self.variables.append(variable)
        self.line(f"wire {vector(width, signed)[6:]} {variable.name} = {text};", section)
        return variable

    def view(self, title: str, notes: list[str], interval: int, top: bool) -> dict[str, object]:
        """What the template shows."""
        unused = self.unused()
        logic = "\n".join(line for section in self.logic for line in section.text)
        unused += [] if "clk" in logic else ["clk"]
        ports = [{"text": "input  wire  clk", "note": ""}]
        if interval > 1 and (self.phased or top):
            bits = (interval - 1).bit_length()
            note = f"0 to {interval - 1}; 0: a sample enters"
            ports.append({"text": f"input  wire  [{bits - 1}:0] phase", "note": note})
            unused += [] if self.phased else ["phase"]
        for direction, variable, note in self.ports:
            kind = "input  wire " if direction == "input" else "output logic"
            ports.append({"text": f"{kind} [{variable.width - 1}:0] {variable.name}", "note": note})
        return {
            "name": self.name,
            "title": title,
            "notes": notes,
            "ports": ports,
            "functions": list(self.functions.values()),
            "declarations": self.declared(),
            "logic": self.logic,
            "unused": unused,
        }

    def declared(self) -> list[Section]:
        """Declarations as text."""
        result = []
        for section in self.declarations.values():
            lines: list[str] = []
            open_kind, names = None, []
            for kind, name in [*section.lines, (None, "")]:
                if names and kind != open_kind:
                    lines += _wrapped(f"{open_kind} ", names)
                    names = []
                if kind is None:
                    if name:
                        lines.append(name)
                else:
                    names.append(name)
                open_kind = kind
            result.append(Section(section.title, lines))
        return result

    def unused(self) -> list[str]:
        """Bits that nothing reads, as expressions."""
        found = []
        for v in self.variables:
            rest = ~v.used & (1 << v.width) - 1
            if rest == (1 << v.width) - 1:
                found.append(v.name)
                continue
            while rest:
                low = (rest & -rest).bit_length() - 1
                run = (~(rest >> low) & -~(rest >> low)).bit_length() - 1
                rest &= ~((1 << low + run) - (1 << low))
                found.append(f"{v.name}[{low + run - 1}:{low}]" if run > 1 else f"{v.name}[{low}]")
        return found


def _wrapped(head: str, names: list[str], width: int = 108) -> list[str]:
    """ "head a, b, c;" over as many lines as it takes."""
    lines, line = [], head + names[0]
    for name in names[1:]:
        if len(line) + len(name) + 3 > width:
            lines.append(line + ",")
            line = "    " + name
        else:
            line += ", " + name
    return [*lines, line + ";"]
