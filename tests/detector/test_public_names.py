"""The original's public names, from the package itself, without loading what is not used."""

import subprocess
import sys

import pytest

import venom_hw

NAMES = ["MKIDEnergySSM", "SSMBackbone", "EnergyHead", "load_weights", "load_mkid_data", "compute_resolving_power",
         "summarize_resolving_power"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name):
    assert getattr(venom_hw, name).__name__ == name
    assert name in venom_hw.__all__ and name in dir(venom_hw)


def test_nothing_else_is_promised():
    assert set(venom_hw.__all__) == {*NAMES, "__version__"}
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = venom_hw.no_such_thing


def test_torch_is_loaded_by_the_network_only():
    code = """import sys, venom_hw
assert not {"torch", "numpy", "scipy"} & set(sys.modules), "import venom_hw"
from venom_hw import compute_resolving_power, load_mkid_data, summarize_resolving_power
assert "torch" not in sys.modules, "the detector's names"
from venom_hw import MKIDEnergySSM
assert "torch" in sys.modules and MKIDEnergySSM().parameter_count() == 3314"""
    subprocess.run([sys.executable, "-c", code], check=True)
