"""Figures of a trained model, in the style of a paper: spectra, resolving power, parity, attention, features."""
