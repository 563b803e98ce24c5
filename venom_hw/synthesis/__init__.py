"""Synthesis: area and logic depth of generated gateware by Yosys, its netlists, and alkaid's version of the step."""
