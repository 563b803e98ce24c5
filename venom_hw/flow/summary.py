"""The report as a person reads it."""

from __future__ import annotations

from pathlib import Path

from venom_hw.flow.table import text_table

NAMES = {
    "qonnx": "QONNX files, executed (float64)",
    "reference": "integer reference, node by node",
    "hls_csim": "HLS C++, g++",
    "hls_cocotb": "HLS C++, AXI4-Stream, cocotb + Verilator",
    "rtl_verilator": "RTL, C++ driver, Verilator",
    "rtl_cocotb": "RTL, AXI4-Stream, cocotb + Verilator",
}


def saturated(counts: dict[str, int]) -> str:
    """The tensors that saturate most."""
    top = sorted(counts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} {count:,}" for name, count in top[:4])
    return f"{text}{' ...' if len(top) > 4 else ''}" or "none"


def weights(bits: dict[str, int]) -> str:
    """The bits that most classes of weights have, and which ones differ: '8 (w_input 12, ...)'."""
    if not bits:
        return "unknown"
    counts = [*bits.values()]
    usual = max(set(counts), key=counts.count)
    others = ", ".join(f"{name} {count}" for name, count in bits.items() if count != usual)
    return f"{usual}" + (f" ({others})" if others else "")


def _slack(rtl: dict) -> str:
    """Places needed, and how long a consumer may pause."""
    use = rtl["continuous"]
    if use["fifo_needed"] is None:
        return "not enough for windows back to back"
    text = f"{rtl['channels']:,} windows at once need {use['fifo_needed']:,}"
    return f"{text}; a consumer may pause {use['pause_clocks']:,} clocks"


def rtl_table(rtl: dict) -> str:
    """Rates and sizes of the RTL."""
    slowest = max(rtl["distances"], key=rtl["distances"].__getitem__)
    rate = "clock" if rtl["interval"] == 1 else f"{rtl['interval']} clocks"
    rows = [
        (f"least clocks between two samples of a channel (loop of {slowest})", rtl["revisit"]),
        (f"clocks from a window's last sample to its result ({rtl['latency_us']:g} us)", rtl["latency"]),
        ("register bits of the step, delays included", rtl["register_bits"]),
        (f"shortest windows sustained back to back, in samples ({rtl['head']} head, one every "
         f"{rtl['head_interval']} clocks)", rtl["shortest_window"]),
        (f"places for results ({_slack(rtl)})", rtl["fifo_depth"]),
    ]  # fmt: skip
    for name in ("triggered", "triggered_all_pixels"):
        if name not in rtl:
            continue
        use = rtl[name]
        photons = f"photons recorded of {use['photons_per_second']:,.0f} a second and pixel"
        where = f"{use['channels']:,} triggered channels, {use['windows_at_once']:,} windows at once"
        if name == "triggered_all_pixels":
            where = f"an engine for all the board's {where}"
        rows.append((f"{photons}: {where}", f"{use['recorded']:.1%}"))
    table = text_table((f"RTL: a sample every {rate}", "amount"), rows)
    if rtl["head_fallback"]:
        table += f"\nThe head is parallel, as large as it can be: a serial one is not possible: {rtl['head_fallback']}"
    return table


def summary(report: dict, out: Path) -> str:
    """Text with the model, the checks, the estimates and the files written."""
    bits, window, cost = report["bits"], report["window"], report["estimates"]
    states = ", ".join(f"{name} {width}" for name, width in bits["states"].items())
    parameters = f"{report['parameters']:,}" if report["parameters"] else "an unknown number of"
    rate = f" at {window['rate_hz'] / 1e3:g} kHz" if "rate_hz" in window else ""
    length = window.get("length", "?")
    facts = [
        ("model", f"{report['model']}, {parameters} parameters, windows of up to {length} samples{rate}"),
        ("board", f"{report['board']} ({report['part']}), {report['channels']:,} interleaved channels an engine"),
        ("bits", f"state words {states}; weights {weights(bits['weights'])}"),
        ("datapath", report["datapath"][:16]),
    ]
    checks = text_table(
        ("compared with the golden model", "windows", "integers", "mismatches", "seconds"),
        [
            (NAMES.get(name, name), c["windows"], c["integers"], c["mismatches"], c["seconds"])
            for name, c in report["renderings"].items()
        ],
    )
    estimates = text_table(
        ("estimated from the graph", "amount"),
        [
            ("multipliers, variable x variable", cost["multipliers"]["variable"]),
            ("multipliers, by a constant", cost["multipliers"]["constant"]),
            ("adders", cost["adders"]),
            ("table bits", cost["table_bits"]),
            (f"state bits, {report['channels']:,} channels", cost["state_bits"]),
        ],
    )
    lines = [f"{name:>9}  {text}" for name, text in facts]
    lines += ["", checks, ""]
    lines += [f"FIRST DIFFERENCE  {c['first']}" for c in report["renderings"].values() if c["first"]]
    lines += [rtl_table(report["rtl"]), ""] if report["rtl"] else []
    lines += [estimates, ""]
    lines += [f"saturated values, {name}: {saturated(counts)}" for name, counts in report["saturations"].items()]
    rtl = f"{out / 'rtl'} (SystemVerilog, stages.svg), " if report["rtl"] else ""
    lines += [
        f"wrote {out / 'hls'} (Vitis HLS project: {len(report['files']['written'])} files), {rtl}{out / 'datapath'}, "
        f"{out / 'report.json'}",
        "",
        "BIT EXACT: every rendering gives the same integers"
        + (f" (left out: {', '.join(NAMES[name] for name in report['skipped'])})" if report["skipped"] else "")
        if report["bit_exact"]
        else "NOT BIT EXACT: see the first difference above",
    ]
    return "\n".join(lines)
