"""C++ identifiers for tensors: readable, unique, and no keyword of C++, Verilog, SystemVerilog or VHDL.

Vitis HLS renames arguments that are HDL keywords (`out` becomes `out_r`) and strips or adds `_r`, `_V`: such names
are avoided. Names are unique without regard to case, because VHDL has none.
"""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    """
    abs access after alias all always always_comb always_ff and architecture array assert assign assume attribute auto
    automatic begin bind bit block body bool break buf buffer bus byte case casex casez catch cell char checker class
    clocking component config configuration const constant context continue cover default define deassign disable
    disconnect dist do double downto edge else elsif end endcase endfunction endmodule endtask entity enum event exit
    exp expect explicit export extends extern false file final first_match float for force foreach forever fork
    friend function generate generic genvar global goto group guarded half highz0 highz1 if iff ifnone ifdef import
    impure in inertial initial inline inout input inside instance int integer interface is join label large length let
    library linkage liblist literal local localparam log logic long loop macromodule map matches medium mod modport
    module mutable namespace nand negedge new next nmos noshowcancelled nor not notif0 notif1 null of on open operator
    or others out output package packed parameter pmos port posedge postponed primitive priority private procedure
    process program property protected public pull0 pull1 pulldown pullup pure rand randc range real realtime record
    ref reg register reject release rem repeat report restrict return rol ror rtran scalared select sequence severity
    shared short signal signed sizeof sla sll small solve specify specparam sra srl static static_cast step string
    strong strong0 strong1 struct subtype super supply0 supply1 switch table tagged task template then this throw time
    timeprecision timescale timeunit to tran transport tri tri0 tri1 triand trior trireg true try type typedef typeid
    typename unaffected union unique units unsigned until use using uwire var variable vectored virtual void volatile
    wait wait_order wand weak weak0 weak1 when while wildcard wire with within wor word xnor xor
    main ap_int ap_uint ap_fixed ap_ufixed hls std
    asm concept decltype delete dynamic_cast char16_t char32_t constexpr const_cast noexcept nullptr alignas alignof
    reinterpret_cast static_assert thread_local wchar_t bitand bitor compl and_eq or_eq not_eq xor_eq requires sin cos
    tan sqrt pow floor ceil round div index y0 y1 yn j0 j1 jn gamma
    """.split()
)
"""Words that mean something in one of the languages, or in the C library."""

OURS = frozenset(
    """
    venom venom_engine venom_head step_graph head_graph engine_beat head_word channel word start last at fresh known
    was_open too_long accepted closing steps flags pooled pooled_sums beat beats windows sample_beat energy_beat
    abandoned overlong dropped abandoned_count overlong_count dropped_count window_open window_steps s_axis m_axis
    channels channel_bits max_steps revisit sums_depth state_words clock_now tdata result i j k p q a b c d w
    """.split()
)
"""Names of the templates, of their types without `_t`, and the loop counters."""


class Names:
    """Hands out identifiers; the same name always gets the same one."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """The identifier of a tensor (or stage, or table)."""
        if name not in self._of:
            self._of[name] = self._fresh(name)
        return self._of[name]

    def known(self, name: str) -> bool:
        """Whether the name has an identifier already."""
        return name in self._of

    def _fresh(self, name: str) -> str:
        base = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_") or "tensor"
        if not base[0].isalpha():
            base = "tensor_" + base
        if base.lower() in KEYWORDS | OURS or re.search(r"_(r|v|t|rom)\Z", base, re.IGNORECASE):
            base += "_q"
        candidate, count = base, 1
        while candidate.lower() in self._taken:
            count += 1
            candidate = f"{base}_{count}"
        self._taken.add(candidate.lower())
        return candidate
