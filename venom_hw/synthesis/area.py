"""Area and depth of a design: its units synthesised by Yosys, two at a time, what is known already not again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically
from venom_hw.synthesis.counts import Counts, count_cells, short_shift_registers
from venom_hw.synthesis.depth import Timing, analyse, outside
from venom_hw.synthesis.errors import SynthesisError
from venom_hw.synthesis.units import Design, Unit, cut
from venom_hw.synthesis.yosys import FAMILIES, run_yosys, yosys_version

RECIPE = 3
"""Counts up when the commands of `commands` change: what was kept is then worth nothing."""
BATCH = 200_000
"""Bytes of units' text that one Yosys process takes, if it is not one larger unit."""
SOFT = "soft"
"""xcup without hard blocks, of which pyosys has only black boxes: a netlist that can be simulated."""
_OPTIONS = {"xcup": " -uram", "xc7": "", SOFT: " -nodsp -nobram"}


@dataclass(frozen=True)
class Area:
    """A design's counts and depth.

    Attributes:
        design: its units.
        counts: of each unit alone, without those that it instantiates.
        timings: of each unit with those that it instantiates; empty for xc7.
        seconds: of Yosys for each unit that was not known already.
    """

    design: Design
    counts: Mapping[str, Counts]
    timings: Mapping[str, Timing]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def total(self, unit: str | None = None) -> Counts:
        """Everything in a unit, what it instantiates included; of the whole design without `unit`."""
        below = self.design.below(unit or self.design.top)
        return sum((self.counts[name] * times for name, times in below.items()), Counts())

    def levels(self, unit: str | None = None) -> int:
        """Longest combinational path in a unit in LUT and carry levels, its ports taken for registers."""
        return outside(self.timings[unit or self.design.top])


def synthesise(
    sources: Sequence[Path],
    top: str,
    work: Path,
    *,
    family: str = "xcup",
    keep: Sequence[str] = (),
    dissolve: Sequence[str] = (),
    cache: Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> Area:
    """Elaborate `top`, synthesise its units and count.

    Args:
        sources: SystemVerilog and `.mem` files.
        work: folder for scripts and logs.
        family: one of FAMILIES.
        keep, dissolve: as for `cut`.
        cache: folder of netlists that are known already; `work/cache` without one.
        jobs: Yosys processes at once; without a number as many as processors, 4 at most.

    Raises:
        SynthesisError: Yosys stopped, or a netlist has cells that are not understood.
    """
    if family not in FAMILIES:
        raise SynthesisError(f"family {family!r}; expected one of {', '.join(FAMILIES)}")
    design = cut(sources, top, work, keep=keep, dissolve=dissolve)
    files, seconds = map_design(design, work, family, cache=cache, jobs=jobs, progress=progress)
    return examine(design, files, timed=family == "xcup", seconds=seconds)


def map_design(
    design: Design,
    work: Path,
    family: str,
    *,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> tuple[dict[str, Path], dict[str, float]]:
    """The netlist of every unit, and the seconds of those that were not in the cache.

    Raises:
        SynthesisError: Yosys stopped.
    """
    cache = cache or work / "cache"
    ending = ".v" if family == SOFT else ".json.gz"
    cache.mkdir(parents=True, exist_ok=True)
    order = design.bottom_up()
    files = {name: cache / f"{_key(design.units[name], family)}{ending}" for name in order}
    missing = [name for name in order if not files[name].exists()]
    seconds: dict[str, float] = {}
    with (
        ThreadPoolExecutor(jobs or min(4, os.cpu_count() or 1)) as pool,
        tqdm(total=len(order), initial=len(order) - len(missing), disable=not progress, unit="module") as bar,
    ):
        running = {
            pool.submit(map_units, design, names, work / f"map{number}", family, files): names
            for number, names in enumerate(batches(design, missing))
        }
        try:
            for done in as_completed(running):
                names = running[done]
                seconds |= dict.fromkeys(names, done.result() / len(names))
                bar.set_postfix_str(f"{names[0]} {done.result():.0f} s")
                bar.update(len(names))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files, seconds


def examine(
    design: Design, files: Mapping[str, Path], *, timed: bool = True, seconds: Mapping[str, float] | None = None
) -> Area:
    """Counts and depths of mapped netlists, one a unit."""
    counts, timings = {}, {}
    for name in design.bottom_up():
        with gzip.open(files[name], "rt", encoding="utf-8") as stream:
            module = json.load(stream)
        cells = Counter(cell["type"] for cell in module["cells"].values())
        counts[name], others = count_cells(cells)
        counts[name] += short_shift_registers(module)
        unknown = {type_: n for type_, n in others.items() if type_ not in design.units}
        if unknown:
            raise SynthesisError(f"{name}: cells of unknown size: {unknown}")
        if timed:
            inside = {child: timings[child] for child in design.units[name].children}
            timings[name] = analyse(module, inside, name)
    return Area(design, counts, timings, dict(seconds or {}))


def batches(design: Design, names: Sequence[str]) -> list[list[str]]:
    """Units that one Yosys process does: large ones alone and first, small ones together (starting takes seconds)."""
    size = {name: design.units[name].text.stat().st_size for name in names}
    groups, filled = [], BATCH
    for name in sorted(names, key=lambda n: -size[n]):
        if filled + size[name] > BATCH:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size[name]
    return groups


def map_units(
    design: Design, names: Sequence[str], folder: Path, family: str, targets: Mapping[str, Path]
) -> float:
    """Synthesise some units, what they instantiate black boxes; their netlists go to `targets`. Returns seconds.

    The netlists are JSON without the contents of memories, or, of family SOFT, Verilog.

    Raises:
        SynthesisError: Yosys stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    run_yosys(commands(design, names, family), folder, "map")
    for name in names:
        if family == SOFT:
            write_atomically(targets[name], (folder / f"{name}.v").read_bytes())
            continue
        module = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["modules"][name]
        for cell in module["cells"].values():  # contents of memories: not needed here, and large
            cell.pop("parameters", None)
            cell.pop("attributes", None)
        write_atomically(targets[name], gzip.compress(json.dumps(module).encode(), 3))
    shutil.rmtree(folder, ignore_errors=True)
    return time.perf_counter() - start


def commands(design: Design, names: Sequence[str], family: str) -> list[str]:
    """What Yosys does with some units. No top: each is mapped by itself."""
    synth = f"synth_xilinx -family {'xcup' if family == SOFT else family} -noiopad -noclkbuf{_OPTIONS[family]}"
    write, ending = ("write_verilog -noattr", "v") if family == SOFT else ("write_json", "json")
    writes = []
    for name in names:
        writes += [f"select {name}", f"{write} -selected {name}.{ending}", "select -clear"]
    # what asks for a block is given none
    without = {
        SOFT: ["setattr -unset ram_style *", "setattr -unset rom_style *"],
        "xc7": ['setattr -set ram_style "block" a:ram_style=ultra'],  # 7-series has no URAM
    }.get(family, [])
    return [
        "read_verilog -lib -specify +/xilinx/cells_sim.v",
        "read_verilog -lib +/xilinx/cells_xtra.v",
        f'read_rtlil "{design.stubs.resolve()}"',
        *(f"delete {name}" for name in names),
        *(f'read_rtlil "{design.units[name].text.resolve()}"' for name in names),
        *without,
        f"{synth} -run prepare:map_dsp",
        # hidden from the mapping to DSP blocks, by the name that Yosys itself uses for what it leaves over
        "chtype -set $__soft_mul t:$mul a:use_dsp=no %i",
        f"{synth} -run map_dsp:",
        *writes,
    ]


def _key(unit: Unit, family: str) -> str:
    text = "\n".join([str(RECIPE), yosys_version(), family, unit.digest])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
