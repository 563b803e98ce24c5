"""Alert streams into fingerprints: `python -m rtf_models encode` (see command.py)."""
