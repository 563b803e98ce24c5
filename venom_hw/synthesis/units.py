"""A design cut into the modules that are synthesised one at a time: Yosys reads and elaborates it once.

Small modules are flattened into the one that instantiates them (delay lines, little tables: shift registers and
constants are then seen through), the others are units: a file of Yosys' own text each, hashed without the names that
Yosys makes up, so that an unchanged unit is not synthesised again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from venom_hw.synthesis.errors import SynthesisError
from venom_hw.synthesis.yosys import quoted, run_yosys

SMALL = 60
"""Cells, before mapping, below which a module is flattened into its user."""


@dataclass(frozen=True)
class Unit:
    """A module to synthesise: its text (RTLIL), the units it instantiates with how often, and what names it."""

    name: str
    text: Path
    digest: str
    children: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Design:
    """Units by name, users before what they use being unknown: `stubs` declares the ports of them all."""

    top: str
    units: Mapping[str, Unit]
    stubs: Path

    def instances(self) -> dict[str, int]:
        """How often each unit is there in the whole design."""
        counts = dict.fromkeys(self.units, 0)

        def visit(name: str, times: int) -> None:
            counts[name] += times
            for child, number in self.units[name].children.items():
                visit(child, times * number)

        visit(self.top, 1)
        return counts

    def below(self, name: str) -> dict[str, int]:
        """How often each unit is there in `name`, itself included."""
        return {u: n for u, n in Design(name, self.units, self.stubs).instances().items() if n}

    def bottom_up(self) -> list[str]:
        """Names of the units that the design uses, what is instantiated before its users."""
        order: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in order:
                for child in self.units[name].children:
                    visit(child)
                order[name] = None

        visit(self.top)
        return list(order)


def cut(
    sources: Sequence[Path], top: str, work: Path, *, keep: Sequence[str] = (), dissolve: Sequence[str] = ()
) -> Design:
    """Elaborate `top` and write its units to `work`.

    Args:
        sources: SystemVerilog and `.mem` files (found by `$readmemh` under their bare names).
        keep, dissolve: modules (regular expressions) that are units however small they are, or however large none.

    Raises:
        SynthesisError: Yosys refuses the sources, or there is no module `top`.
    """
    work.mkdir(parents=True, exist_ok=True)
    for path in sources:
        if path.suffix == ".mem":
            shutil.copy(path, work / path.name)
    texts = [quoted(p.resolve()) for p in sources if p.suffix in (".sv", ".v")]
    run_yosys(
        [
            "read_verilog -sv -defer -D SYNTHESIS " + " ".join(texts),
            f"hierarchy -check -top {top}",
            "proc",
            "opt_clean",
            # Yosys knows no rom_style = distributed; what it calls so is logic
            "setattr -set rom_style \"logic\" a:rom_style=distributed",
            "setattr -mod -unset src *",
            "setattr -unset src *",
            # nor use_dsp = no of a module or of the register behind a product: the product itself is marked
            "setattr -set use_dsp \"no\" A:use_dsp=no/t:$mul",
            "setattr -set use_dsp \"no\" a:use_dsp=no %ci4:+$dff[Q,D]:+$mul[Y] t:$mul %i",
            "tee -q -o stat.json stat -json",
            "write_rtlil elaborated.il",
        ],
        work,
        "elaborate",
    )
    modules = _modules(work / "stat.json")
    names = readable_names(modules)
    text = (work / "elaborated.il").read_text(encoding="utf-8")
    for old in sorted(names, key=len, reverse=True):
        if old != names[old]:
            text = text.replace(old, "\\" + names[old])
    (work / "elaborated.il").write_text(text, encoding="utf-8")
    modules = {names[n]: {names.get(t, t): k for t, k in types.items()} for n, types in modules.items()}
    units = sorted(choose_units(modules, top, keep, dissolve))
    writes = []
    for name in units:
        writes += [f"select {name}", f"write_rtlil -selected {name}.il", "select -clear"]
    run_yosys(
        ["read_rtlil elaborated.il", f"hierarchy -top {top}"]
        + [f"setattr -mod -set keep_hierarchy 1 {name}" for name in units]
        + ["flatten -noscopeinfo", "opt_clean", "setattr -mod -unset top *", *writes]
        + ["tee -q -o units.json stat -json", "blackbox *", "write_rtlil stubs.il"],
        work,
        "cut",
    )
    after, found = _modules(work / "units.json"), {}
    for name in units:
        text = work / f"{name}.il"
        children = {type_: number for type_, number in after[name].items() if type_ in units}
        found[name] = Unit(name, text, digest(text.read_text(encoding="utf-8")), children)
    return Design(top, found, work / "stubs.il")


def _modules(stat: Path) -> dict[str, dict[str, int]]:
    """{module: {cell type: how many}} of a `stat -json`."""
    document = json.loads(stat.read_text(encoding="utf-8"))
    return {name.removeprefix("\\"): m["num_cells_by_type"] for name, m in document["modules"].items()}


def readable_names(modules: Sequence[str]) -> dict[str, str]:
    """`$paramod\\fifo\\DEPTH=...` becomes fifo, a second one fifo__2."""
    names, taken = {}, {name for name in modules if not name.startswith("$")}
    for name in sorted(modules):
        match = re.match(r"\$paramod(?:\$[0-9a-f]+)?\\([^\\]+)", name)
        new, number = match.group(1) if match else name, 2
        while match and new in taken:
            new, number = f"{match.group(1)}__{number}", number + 1
        names[name] = new
        taken.add(new)
    return names


def choose_units(
    modules: Mapping[str, Mapping[str, int]], top: str, keep: Sequence[str] = (), dissolve: Sequence[str] = ()
) -> set[str]:
    """Modules worth a synthesis of their own: those of more than SMALL cells, what is flattened into them counted.

    Raises:
        SynthesisError: `top` is no module.
    """
    if top not in modules:
        raise SynthesisError(f"no module {top!r}; there are {', '.join(sorted(modules))}")
    units, weights = {top}, {}
    among = lambda name, patterns: any(re.fullmatch(p, re.sub(r"__\d+$", "", name)) for p in patterns)  # noqa: E731

    def weigh(name: str) -> int:
        if name not in weights:
            weight = 0
            for type_, number in modules[name].items():
                weight += number * (weigh(type_) if type_ in modules else 1)
            if among(name, keep) or weight > SMALL and not among(name, dissolve):
                units.add(name)
                weight = 1
            weights[name] = weight
        return weights[name]

    weigh(top)
    return units


def digest(text: str) -> str:
    """Hash of a module's text, the numbers in names that Yosys made up put in order of appearance.

    So are those of the writes that fill a memory, which count on from all that was read before.
    """
    names: dict[str, str] = {}

    def number(match: re.Match) -> str:
        return names.setdefault(match.group(0), f"${len(names)}")

    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "autoidx"))]
    made_up = r"\$\S*\$\d+\S*|(?<=parameter \\PRIORITY )\d+"
    return hashlib.sha256(re.sub(made_up, number, "\n".join(lines)).encode()).hexdigest()
