"""Quantisation: calibration, Brevitas layers, fine-tuning, export; ``python -m venom_hw.quantize``.

Nothing is imported here: torch and Brevitas take seconds to load.  Start with ``network`` (the arithmetic),
``recipe`` (bits per tensor class), ``checkpoint`` (the file) and ``run`` (the command).  Another network is quantised
with the same parts, as ``rtf_models.quantize`` shows: ``formats``, ``quantisers``, ``layers``, a ``RecipeBook``,
``calibrate.observe_network`` and ``choose_formats``, ``qat.train_steps``, ``verify.compare_quantisers``.
"""
