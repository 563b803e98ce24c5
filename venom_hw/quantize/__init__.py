"""Quantisation: calibration, Brevitas layers, fine-tuning, export; ``python -m venom_hw.quantize``.

Nothing is imported here: torch and Brevitas take seconds to load.  Start with ``network`` (the arithmetic),
``recipe`` (bits per tensor class), ``checkpoint`` (the file) and ``run`` (the command).
"""
