"""Shared by all tests: the hypothesis profiles, the place of the real data, one thread for torch."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# pytest-xdist already uses the cores; more threads a worker only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]

# In CI the examples are the same at every run (a red build can be repeated); at home they vary.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("home", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "home"))


def pytest_collection_modifyitems(items):
    """A name with an address in it differs from process to process, and pytest-xdist then runs nothing at all."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: give this parameter an id; its repr has an address in it")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data (`VENOM_DATA`, else ../shared/data beside the checkout); skips where absent."""
    folder = Path(os.environ.get("VENOM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} is no folder (VENOM_DATA names another)")
    return folder
