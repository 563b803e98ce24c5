"""Vitis HLS pragmas from a whitelist: written through `pragma`, read back by `parse_pragma` and `check_source`.

A misspelt or repeated option makes Vitis HLS drop the whole pragma with no more than a warning, and a dropped
DEPENDENCE or BIND_STORAGE is wrong or slow hardware. The grammar follows the front end's own option table
(`Xilinx/hls-llvm-project`, XlxPragmaOption.td), in the keyed forms that exist from 2021.1 on; only what this project
may emit is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from venom_hw.codegen.errors import CodegenError


class PragmaError(CodegenError):
    """A pragma outside the whitelist grammar."""


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _number(least: int) -> Callable[[str], bool]:
    return lambda text: text.isdecimal() and int(text) >= least


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda text: text in values


def _variables(text: str) -> bool:
    return all(_IDENTIFIER.match(part) for part in text.split(","))


def _name(text: str) -> bool:
    return bool(_IDENTIFIER.match(text))


STORAGE_IMPLS = {  # legal pairs; any other is an error in the tool
    "ram_1p": ("auto", "lutram", "bram", "uram"),
    "ram_s2p": ("lutram", "bram", "uram"),
    "rom_1p": ("auto", "lutram", "bram"),
    "rom_2p": ("auto", "lutram", "bram"),
    "rom_np": ("auto", "lutram", "bram"),
}


@dataclass(frozen=True)
class Grammar:
    """What one pragma takes: a check for the value of each option, bare flags, required options, a joint rule."""

    options: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    rule: Callable[[Mapping[str, str]], str | None] = lambda given: None


def _array_rule(given: Mapping[str, str]) -> str | None:
    kind = given.get("type", "complete")
    if kind == "complete" and "factor" in given:
        return "factor has no meaning with type=complete"
    if kind != "complete" and "factor" not in given:
        return f"type={kind} needs factor"
    return None


def _dependence_rule(given: Mapping[str, str]) -> str | None:
    if given["dependent"] == "true" and given["type"] == "inter" and "distance" not in given:
        return "a true dependence between iterations needs distance"
    if "distance" in given and (given["dependent"] == "false" or given["type"] == "intra"):
        return "distance counts only with type=inter dependent=true"
    return None


def _interface_rule(given: Mapping[str, str]) -> str | None:
    if (given["mode"] == "ap_ctrl_none") != (given["port"] == "return"):
        return "port=return takes mode=ap_ctrl_none, and nothing else does"
    if "register_mode" in given and given["mode"] != "axis":
        return "register_mode belongs to mode=axis"
    return None


def _storage_rule(given: Mapping[str, str]) -> str | None:
    legal = STORAGE_IMPLS[given["type"]]
    if given.get("impl", legal[0]) not in legal:
        return f"type={given['type']} takes impl={'|'.join(legal)}"
    return None


_ARRAY = Grammar(
    {
        "variable": _variables,
        "type": _one_of("complete", "cyclic", "block"),
        "factor": _number(2),
        "dim": _number(0),
    },
    required=("variable", "type", "dim"),
    rule=_array_rule,
)

WHITELIST: dict[str, Grammar] = {
    "PIPELINE": Grammar({"II": _number(1), "style": _one_of("stp", "flp", "frp")}, required=("II", "style")),
    "UNROLL": Grammar({"factor": _number(2)}),
    "LOOP_TRIPCOUNT": Grammar({"min": _number(0), "max": _number(1)}, required=("max",)),
    "ARRAY_PARTITION": _ARRAY,
    "ARRAY_RESHAPE": _ARRAY,
    "BIND_STORAGE": Grammar(
        {
            "variable": _name,
            "type": _one_of(*STORAGE_IMPLS),
            "impl": _one_of("auto", "lutram", "bram", "uram"),
            "latency": lambda text: text in ("1", "2", "3"),
        },
        required=("variable", "type"),
        rule=_storage_rule,
    ),
    "INTERFACE": Grammar(
        {
            "mode": _one_of("axis", "ap_ctrl_none", "ap_none"),
            "port": _name,
            "register_mode": _one_of("both", "forward", "reverse", "off"),
        },
        required=("mode", "port"),
        rule=_interface_rule,
    ),
    "DATAFLOW": Grammar(),
    "STREAM": Grammar(
        {"variable": _name, "depth": _number(1), "type": _one_of("fifo")},
        required=("variable", "depth", "type"),
    ),
    "INLINE": Grammar(flags=("off",)),
    "DEPENDENCE": Grammar(
        {
            "variable": _name,
            "type": _one_of("inter", "intra"),
            "direction": _one_of("RAW", "WAR", "WAW"),
            "distance": _number(1),
            "dependent": _one_of("true", "false"),
        },
        required=("variable", "type", "direction", "dependent"),
        rule=_dependence_rule,
    ),
    "RESET": Grammar({"variable": _name}, required=("variable",)),
}


def _check(name: str, given: Mapping[str, str], flags: tuple[str, ...], line: str) -> None:
    grammar = WHITELIST.get(name)
    if grammar is None:
        raise PragmaError(f"{line!r}: unknown pragma {name!r}; known: {', '.join(WHITELIST)}")
    for option, value in given.items():
        if option not in grammar.options:
            raise PragmaError(
                f"{line!r}: {name} has no option {option!r}; it has {', '.join(grammar.options)}"
            )
        if not grammar.options[option](value):
            raise PragmaError(f"{line!r}: {name} does not take {option}={value}")
    for flag in flags:
        if flag not in grammar.flags:
            raise PragmaError(f"{line!r}: {name} has no flag {flag!r}")
    missing = [option for option in grammar.required if option not in given]
    if missing:
        raise PragmaError(f"{line!r}: {name} needs {missing[0]}")
    complaint = grammar.rule(given)
    if complaint:
        raise PragmaError(f"{line!r}: {complaint}")


def pragma(name: str, *flags: str, **options: object) -> str:
    """The text of one pragma line; every pragma of every rendering is made here.

    Raises:
        PragmaError: an unknown pragma, option or flag, a value that the option does not take, a required option
            that is missing, or options that exclude each other.
    """
    given = {
        key: ",".join(value) if isinstance(value, list | tuple) else str(value)
        for key, value in options.items()
    }
    line = " ".join(["#pragma HLS", name, *(f"{key}={value}" for key, value in given.items()), *flags])
    _check(name, given, flags, line)
    return line


@dataclass(frozen=True)
class Pragma:
    """One parsed pragma line."""

    name: str
    options: dict[str, str]
    flags: tuple[str, ...]


def parse_pragma(line: str) -> Pragma:
    """Parse and check one line.

    Raises:
        PragmaError: as `pragma`, and also for a repeated option (which drops the pragma in Vitis HLS).
    """
    words = line.split()
    if words[:2] != ["#pragma", "HLS"] or len(words) < 3:
        raise PragmaError(f"{line!r}: expected '#pragma HLS <name> ...'")
    options: dict[str, str] = {}
    flags: list[str] = []
    for word in words[3:]:
        key, equals, value = word.partition("=")
        if key in options or key in flags:
            raise PragmaError(f"{line!r}: {key} given twice")
        if equals:
            options[key] = value
        else:
            flags.append(key)
    _check(words[2], options, tuple(flags), line)
    return Pragma(words[2], options, tuple(flags))


_LOOP_LINE = re.compile(r"\b(for|while|VENOM_FREE_RUNNING)\s*\(.*\{$")
_LOOP_PRAGMAS = ("UNROLL", "LOOP_TRIPCOUNT", "DEPENDENCE")


def check_source(text: str, where: str) -> list[Pragma]:
    """Every HLS pragma of a source file, checked with its place.

    Beyond the grammar: a loop's pragma stands right after the loop's opening brace, and every variable or port that
    a pragma names occurs in the file's code.

    Raises:
        PragmaError: the message names the file and line.
    """
    lines = [line.split("//")[0].strip() for line in text.splitlines()]
    code = "\n".join(line for line in lines if not line.startswith("#pragma HLS"))
    identifiers = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", code)) | {"return"}
    found: list[Pragma] = []
    opener = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("#pragma") and "HLS" in line.split():
            try:
                parsed = parse_pragma(line)
            except PragmaError as error:
                raise PragmaError(f"{where}:{number}: {error}") from None
            if parsed.name in _LOOP_PRAGMAS and not _LOOP_LINE.search(opener):
                raise PragmaError(f"{where}:{number}: {line!r} does not stand at the top of a loop's body")
            names = ",".join(parsed.options.get(key, "") for key in ("variable", "port"))
            for name in filter(None, names.split(",")):
                if name not in identifiers:
                    raise PragmaError(
                        f"{where}:{number}: {line!r} names {name!r}, which the file does not have"
                    )
            found.append(parsed)
        elif line:
            opener = line
    return found
