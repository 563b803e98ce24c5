"""Builds shared by the bench's tests: one verilated DPI shell for the toy network, for all tests of a worker."""

import fcntl
import sys
from pathlib import Path

import pytest

pytest.importorskip("cocotb_tools.runner", reason="cocotb is in the dev extra")
sys.path.insert(0, str(Path(__file__).parent))  # toy_device, also inside the simulator


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Folder of builds, shared by the workers of pytest-xdist; `lock` it while building."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "sim_builds"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def built(builds):
    """Function device -> folder of its build; each kind of device is built once a session."""
    from sim.build import build

    def once(device):
        with open(builds / f"{device.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return build(device, builds / device.name)

    return once
