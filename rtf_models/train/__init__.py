"""Training of the RTF networks: `python -m rtf_models train`. Settings, batches by length, loop, state, run folders."""
