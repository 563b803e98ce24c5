# Constraints of the stand-alone overlay (overlay.tcl). Not run on hardware so far.
# It uses no package pins: the PS pins come from the board preset, the clocks from pl_clk0 and one MMCM, whose
# generated clocks Vivado derives. The asynchronous FIFOs bring the constraints of their crossings with them.

# Written once by software while no results are under way, then constant.
set_false_path -through [get_pins -hierarchical -filter {NAME =~ *adapter/packet_words[*]}]

set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
