"""The encoder in integers: calibration, Brevitas fine-tuning, QONNX; `python -m rtf_models quantize`.

Nothing is imported here: torch and Brevitas take seconds to load. Start with ``network`` (the arithmetic and the file),
``fold`` (what float weights become), ``recipes/default.toml`` (bits of each tensor class) and ``run`` (the command).
"""
