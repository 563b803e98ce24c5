"""Synthetic light curves: eight parametric models, seen as the Zwicky Transient Facility would see them.

population (what explodes, how bright, how fast, which colour) -> distance and dust -> magnitudes in g, r, i ->
cadence, weather, moon -> noise and the detection limit -> `Source`, label by class scheme -> compact npz folder.
"""
