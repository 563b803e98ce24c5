"""Plain text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """Rows under a header, columns aligned: the first `left` to the left, the others to the right."""
    cells = [[f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()

    return "\n".join([line(cells[0]), "-" * (sum(widths) + 2 * len(widths) - 2), *map(line, cells[1:])])
