"""The lean models in RTL: exact circuits whichever way they multiply, and as few multipliers as promised."""

import pytest

from tests.codegen.rtl.test_elaborate import compare
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom


@pytest.fixture(scope="module", params=["ptsi-lean", "inhf-lean"])
def step(request):
    files = find_model(request.param)
    return factor_decay(import_venom(files.step, files.head).step)


@pytest.mark.parametrize("products", ["dsp", "dsp_packed"])
def test_circuit_is_exact(step, products):
    compare(step, Strategies(products=products), batch=16)


def test_two_drives_share_a_multiplier(step):
    """496 products of two variables; the 128 of dx B in 64 multipliers."""
    cells = elaborate(step, Strategies(products="dsp_packed")).cells
    assert sum(cell.kind == "mul" for cell in cells) == 432
