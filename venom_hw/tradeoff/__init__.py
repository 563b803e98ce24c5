"""Resolving power against area: recipes quantised, judged and costed side by side (``python -m venom_hw.tradeoff``).

area.py estimates LUTs, multipliers and block RAMs of a step graph in a second; table.py puts them beside the change
of resolving power that ``python -m venom_hw.quantize`` measured, and beside synthesis where there is one.
"""
