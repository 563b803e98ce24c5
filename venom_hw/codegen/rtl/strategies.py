"""Lowering strategies by name: which hardware makes a product or a table, and how many clocks each cell takes.

================= ============ ==================================================================================
strategy          name         meaning
================= ============ ==================================================================================
constant_matrix   adder_graph  products with constants are shifts and adders, shared over the whole matrix (the
                               solver of `alkaid`, successor of da4ml, against a plain tree; the cheaper one)
..                adder_tree   shifts and adders, each row alone (canonical signed digits), nothing shared
..                dsp          one multiplier a weight that is no power of two
products          dsp          products of two variables are multipliers with input, product and output registers
..                dsp_packed   as dsp; two products of one common factor share a multiplier where the other factors
                               fit into its wide operand side by side
..                lut          products of two variables are multipliers in fabric
tables            auto         a table of at most `small_table` address bits is LUTs, a larger one block RAM
..                bram         every table is a block RAM with a read and an output register
..                lut          every table is LUTs
clamps            reset        a saturation is one register for each limit that can be passed, which that limit sets
                               or resets: no logic but the condition
..                mux          both limits in one clock, one multiplexer a bit
================= ============ ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import Cell

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "constant_matrix": ("adder_graph", "adder_tree", "dsp"),
        "products": ("dsp", "dsp_packed", "lut"),
        "tables": ("auto", "bram", "lut"),
        "clamps": ("reset", "mux"),
    }
)

LATENCIES: Mapping[str, int] = MappingProxyType(
    {
        "add": 1,
        "mul_dsp": 3,
        "mul_lut": 3,
        "lookup_bram": 2,
        "lookup_lut": 1,
        "round": 1,
        "any": 1,
        "clamp_reset": 1,
        "clamp": 1,
        "maximum": 1,
        "leading": 1,
        "shift_left": 1,
    }
)
"""Clocks from the operands to the result. What is only wires (an input, a constant, a shift by a constant) has none."""


@dataclass(frozen=True)
class Strategies:
    """How a graph is lowered to cells.

    Args:
        constant_matrix, products, tables, clamps: a name of the table above.
        small_table: address bits up to which `auto` makes a table of LUTs (6 bits are one LUT an output bit).
        search: runs of the solver for each matrix; more find a few percent fewer adders.
        latencies: clocks by kind and style; kinds left out keep their value in `LATENCIES`.

    Raises:
        CodegenError: a strategy, a latency's name or a value that does not exist.
    """

    constant_matrix: str = "adder_graph"
    products: str = "dsp_packed"
    tables: str = "auto"
    clamps: str = "reset"
    small_table: int = 6
    search: int = 6
    latencies: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for strategy, names in CHOICES.items():
            name = getattr(self, strategy)
            if name not in names:
                raise CodegenError(f"strategy {strategy} = {name!r} is unknown; known: {', '.join(names)}")
        if self.search < 1:
            raise CodegenError(f"search = {self.search}: at least one run of the solver expected")
        for name, clocks in self.latencies.items():
            if name not in LATENCIES:
                raise CodegenError(f"latency of {name!r}: unknown kind of cell; known: {', '.join(LATENCIES)}")
            if not isinstance(clocks, int) or clocks < 1:
                raise CodegenError(f"latency of {name!r} is {clocks!r}; a whole number of clocks from 1 on expected")
        object.__setattr__(self, "latencies", MappingProxyType({**LATENCIES, **self.latencies}))

    def latency(self, cell: Cell) -> int:
        """Clocks of a cell; 0 for what is only wires, or part of the cell that reads it."""
        if cell.is_wires or cell.attrs.get("joined"):
            return 0
        return self.latencies[f"{cell.kind}_{cell.style}" if cell.style else cell.kind]

    def table_style(self, address_bits: int) -> str:
        """"lut" or "bram" for a table with this many address bits."""
        if self.tables != "auto":
            return self.tables
        return "lut" if address_bits <= self.small_table else "bram"
