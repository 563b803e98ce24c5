"""Faults planted in generated RTL, all in one build: each expression chooses its faulty twin by a plusarg."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sim.rtl_device import RtlDevice


@dataclass(frozen=True)
class Fault:
    """The first match of `pattern` in a file is replaced by `faulty` while the fault is chosen.

    Attributes:
        pattern: a regular expression that matches exactly one expression.
        faulty: what stands there instead; \\g<0> is what was there.
        scenario: of the bench, that must find it.
        message: regular expression of what the bench must say.
    """

    name: str
    file: str
    pattern: str
    faulty: str
    scenario: str
    message: str


@dataclass(frozen=True)
class FaultyRtl(RtlDevice):
    """Generated RTL with faults in it; `fault` is the one that is chosen, "" none."""

    fault: str = ""

    @property
    def plusargs(self) -> list[str]:
        return [*super().plusargs, *([f"+fault_{self.fault}"] if self.fault else [])]


def plant(folder: Path, faults: Sequence[Fault]) -> None:
    """Write the faults into a project's sources."""
    for fault in faults:
        path = folder / fault.file
        text = path.read_text()
        found = re.findall(fault.pattern, text)
        assert len(found) == 1, f"{fault.name}: {len(found)} places in {fault.file} match {fault.pattern!r}"
        path.write_text(
            re.sub(
                fault.pattern,
                lambda m, f=fault: f'($test$plusargs("fault_{f.name}") != 0 ? {m.expand(f.faulty)} : {m[0]})',
                text,
            )
        )


def faulty_device(device: RtlDevice, fault: str = "") -> FaultyRtl:
    fields = {name: getattr(device, name) for name in device.__dataclass_fields__}
    return replace(FaultyRtl(**fields), fault=fault)
