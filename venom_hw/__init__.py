"""VENOM-HW: from raw MKID pulses to bit-exact gateware."""

__version__ = "0.1.0"
