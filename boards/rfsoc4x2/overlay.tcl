# vivado -mode batch -source boards/rfsoc4x2/overlay.tcl -tclargs <folder of the exported IP> ?<output folder>?
# Part, board part and clock come from board.toml beside this file. Not run on hardware so far.
set board_folder [file dirname [file normalize [info script]]]
source [file join $board_folder .. common overlay.tcl]
