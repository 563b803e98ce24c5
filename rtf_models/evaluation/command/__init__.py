"""The evaluation's commands, one a module: `python -m rtf_models early` is `early.main`."""
