"""Named loops as lines of C++."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from venom_hw.codegen.pragmas import pragma

INDENT = "    "


def indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    """Lines moved to the right; pragmas stay in the first column."""
    return [line if line.startswith("#") else INDENT * depth + line for line in lines]


def loop(label: str, counter: str, size: int, body: Sequence[str], *, unroll: bool) -> list[str]:
    """A for loop from 0 to size - 1."""
    head = f"{label}: for (int {counter} = 0; {counter} < {size}; {counter}++) {{"
    return [head, *([pragma("UNROLL")] if unroll else []), *indented(body), "}"]


def nest(
    label: Callable[[str], str] | str,
    shape: Sequence[int],
    index: Sequence[str],
    body: Sequence[str],
    *,
    unroll: bool,
    name: str = "",
) -> list[str]:
    """Loops over every axis longer than 1; `label` (or `name` made unique by it) names them."""
    unique = label if callable(label) else lambda text: text
    base = name or label
    axes = [(counter, size) for counter, size in zip(index, shape, strict=True) if size != 1]
    lines = list(body)
    for depth, (counter, size) in reversed(list(enumerate(axes))):
        lines = loop(unique(base if depth == 0 else f"{base}_{counter}"), counter, size, lines, unroll=unroll)
    return lines
