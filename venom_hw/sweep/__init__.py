"""Hyper-parameter sweeps: a grid of settings, a training with its report for each, one table."""

from .errors import SweepError
from .grid import Point, parse_grid, points, read_grid
from .run import run_sweep, text_table

__all__ = ["Point", "SweepError", "parse_grid", "points", "read_grid", "run_sweep", "text_table"]
