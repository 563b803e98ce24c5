"""A small quantised VENOM for all tests of this folder."""

import pytest

from tests.quantize.sample import quantised


@pytest.fixture(scope="session")
def small():
    return quantised()
