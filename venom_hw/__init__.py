"""VENOM-HW: from raw MKID pulses to bit-exact gateware.

The public names of the original VENOM are importable from here; each is loaded when it is first used, so that
`import venom_hw` is quick and what needs no PyTorch never loads it:

    from venom_hw import MKIDEnergySSM, load_mkid_data, compute_resolving_power
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_PUBLIC = {
    "MKIDEnergySSM": "model", "SSMBackbone": "model", "EnergyHead": "model", "load_weights": "model",
    "load_mkid_data": "detector", "compute_resolving_power": "detector", "summarize_resolving_power": "detector",
}

__all__ = ["EnergyHead", "MKIDEnergySSM", "SSMBackbone", "__version__", "compute_resolving_power", "load_mkid_data",
           "load_weights", "summarize_resolving_power"]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'venom_hw' has no attribute '{name}'")
    return getattr(_import_module(f"venom_hw.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted({*globals(), *_PUBLIC})
