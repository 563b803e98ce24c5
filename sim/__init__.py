"""cocotb benches, the DPI shell and the simulator tool chain."""
