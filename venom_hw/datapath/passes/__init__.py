"""Passes over the graph: plain functions, one a file."""
