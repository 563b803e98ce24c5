# Build a stand-alone overlay: PS, DMA, VENOM core, nothing of Gen3. For bringing up the core on a board.
# Sourced by boards/<board>/overlay.tcl, which sets `board_folder`. Not run on hardware, and not with Vivado, so far:
# written for Vivado 2022.1 and later from public scripts; tests/boards runs it against recording stand-ins.
#
#   PS ==AXI-Lite==> dma, gpio_control, gpio_counters, gpio_windows, gpio_core       clock "slow": 256 MHz
#   memory -> dma -> fifo_in -> adapter -> core -> adapter -> fifo_out -> dma -> memory
#                    (slow | fast)                        (fast | slow)         clock "fast": the design clock
# Both clocks come from one MMCM, so the counters may be read in the slow one.

proc fail {text} { puts stderr "ERROR: $text"; exit 1 }

# ---- arguments and board
if {[llength $argv] < 1 || [llength $argv] > 2} {
    fail "usage: vivado -mode batch -source boards/<board>/overlay.tcl -tclargs <folder of the exported IP> ?<output folder>?"
}
set ip_folder [file normalize [lindex $argv 0]]
set out_folder [file normalize [expr {[llength $argv] > 1 ? [lindex $argv 1] : "build/overlay"}]]
set common_folder [file normalize [file join $board_folder .. common]]
if {![file isdirectory $ip_folder]} { fail "no folder $ip_folder; export the IP first (export_design, format ip_catalog)" }

set handle [open [file join $board_folder board.toml]]
set board_toml [read $handle]
close $handle
proc board_value {pattern} {
    global board_toml board_folder
    if {![regexp -line $pattern $board_toml -> value]} { fail "$board_folder/board.toml: nothing matches $pattern" }
    return $value
}
set board_name [board_value {^name = "([^"]+)"}]
set part       [board_value {^part = "([^"]+)"}]
set board_part [board_value {^board_part = "([^"]+)"}]
set fast_mhz   [board_value {^design_mhz = ([0-9.]+)}]
set slow_mhz   256.000

# ---- project
file mkdir $out_folder
set project venom_$board_name
set design venom
if {[llength [get_board_parts -quiet $board_part]] == 0} {
    fail "board part $board_part is unknown to this Vivado; install the board files and set board.repoPaths in Vivado_init.tcl (boards/README.md)"
}
create_project $project [file join $out_folder $project] -part $part -force
set_property board_part $board_part [current_project]
set_property ip_repo_paths $ip_folder [current_project]
update_ip_catalog -rebuild
add_files -norecurse [file join $common_folder venom_dma_adapter.v]
add_files -fileset constrs_1 -norecurse [file join $board_folder constraints.xdc]
update_compile_order -fileset sources_1

proc newest {name} {
    set found [get_ipdefs -quiet "xilinx.com:ip:$name:*"]
    if {[llength $found] == 0} { fail "this Vivado has no IP $name" }
    return [lindex [lsort -dictionary $found] end]
}
proc cell {name ip args} {
    set made [create_bd_cell -type ip -vlnv [newest $ip] $name]
    if {[llength $args]} { set_property -dict $args $made }
    return $made
}
proc wire {from args} { foreach to $args { connect_bd_net [get_bd_pins $from] [get_bd_pins $to] } }
proc bus {from to} { connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to] }

set core_vlnv [get_ipdefs -quiet -filter {NAME =~ venom*}]
if {[llength $core_vlnv] != 1} { fail "$ip_folder must hold exactly one IP named venom*, found: $core_vlnv" }

# ---- cells
create_bd_design $design
cell ps zynq_ultra_ps_e
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} [get_bd_cells ps]
# GP0 = M_AXI_HPM0_FPD (control), S_AXI_GP2 = S_AXI_HP0_FPD (memory)
set_property -dict [list CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 \
    CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100] [get_bd_cells ps]

cell clocks clk_wiz CONFIG.PRIM_SOURCE Global_buffer CONFIG.PRIM_IN_FREQ 100.000 CONFIG.USE_RESET false \
    CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $fast_mhz CONFIG.CLKOUT2_USED true CONFIG.CLKOUT2_REQUESTED_OUT_FREQ $slow_mhz
cell reset_fast proc_sys_reset CONFIG.C_AUX_RESET_HIGH 1
cell reset_slow proc_sys_reset
cell dma axi_dma CONFIG.c_include_sg 0 CONFIG.c_sg_include_stscntrl_strm 0 CONFIG.c_sg_length_width 26 \
    CONFIG.c_addr_width 64 CONFIG.c_m_axis_mm2s_tdata_width 64 CONFIG.c_m_axi_mm2s_data_width 64 \
    CONFIG.c_m_axi_s2mm_data_width 64
cell to_memory smartconnect CONFIG.NUM_SI 2 CONFIG.NUM_MI 1
cell to_control smartconnect CONFIG.NUM_SI 1 CONFIG.NUM_MI 5
# channel 1: words in a packet of results; channel 2, bit 0: hold the core in reset
cell gpio_control axi_gpio CONFIG.C_GPIO_WIDTH 32 CONFIG.C_ALL_OUTPUTS 1 CONFIG.C_DOUT_DEFAULT 0x00000001 \
    CONFIG.C_IS_DUAL 1 CONFIG.C_GPIO2_WIDTH 1 CONFIG.C_ALL_OUTPUTS_2 1
# Counts since reset, channels 1 and 2. gpio_counters (adapter): results, results dropped for want of room behind it.
# gpio_windows (core): windows abandoned by a new start, windows too long. gpio_core: results the core dropped; nothing.
foreach name {gpio_counters gpio_windows gpio_core} {
    cell $name axi_gpio CONFIG.C_GPIO_WIDTH 32 CONFIG.C_ALL_INPUTS 1 \
        CONFIG.C_IS_DUAL 1 CONFIG.C_GPIO2_WIDTH 32 CONFIG.C_ALL_INPUTS_2 1
}
cell fifo_in axis_data_fifo CONFIG.IS_ACLK_ASYNC 1 CONFIG.FIFO_DEPTH 1024
cell fifo_out axis_data_fifo CONFIG.IS_ACLK_ASYNC 1 CONFIG.FIFO_DEPTH 4096

create_bd_cell -type ip -vlnv $core_vlnv core
set core_in  [get_bd_intf_pins -of_objects [get_bd_cells core] -filter {MODE == Slave && VLNV =~ *:axis_rtl:*}]
set core_out [get_bd_intf_pins -of_objects [get_bd_cells core] -filter {MODE == Master && VLNV =~ *:axis_rtl:*}]
if {[llength $core_in] != 1 || [llength $core_out] != 1} {
    fail "the core must have one AXI4-Stream input and one output, found inputs {$core_in} and outputs {$core_out}"
}
create_bd_cell -type module -reference venom_dma_adapter adapter
set_property -dict [list CONFIG.USER_BITS_IN [get_property CONFIG.TUSER_WIDTH $core_in] \
    CONFIG.USER_BITS_OUT [get_property CONFIG.TUSER_WIDTH $core_out]] [get_bd_cells adapter]

# ---- streams and memory
bus dma/M_AXIS_MM2S fifo_in/S_AXIS
bus fifo_in/M_AXIS adapter/s_axis_dma
connect_bd_intf_net [get_bd_intf_pins adapter/m_axis_core] $core_in
connect_bd_intf_net $core_out [get_bd_intf_pins adapter/s_axis_core]
bus adapter/m_axis_dma fifo_out/S_AXIS
bus fifo_out/M_AXIS dma/S_AXIS_S2MM
bus dma/M_AXI_MM2S to_memory/S00_AXI
bus dma/M_AXI_S2MM to_memory/S01_AXI
bus to_memory/M00_AXI ps/S_AXI_HP0_FPD

# ---- control
bus ps/M_AXI_HPM0_FPD to_control/S00_AXI
bus to_control/M00_AXI dma/S_AXI_LITE
bus to_control/M01_AXI gpio_control/S_AXI
bus to_control/M02_AXI gpio_counters/S_AXI
bus to_control/M03_AXI gpio_windows/S_AXI
bus to_control/M04_AXI gpio_core/S_AXI
wire gpio_control/gpio_io_o adapter/packet_words
wire gpio_control/gpio2_io_o reset_fast/aux_reset_in
wire adapter/results gpio_counters/gpio_io_i
wire adapter/dropped gpio_counters/gpio2_io_i
wire core/abandoned_count gpio_windows/gpio_io_i
wire core/overlong_count gpio_windows/gpio2_io_i
wire core/dropped_count gpio_core/gpio_io_i

# ---- clocks and resets
wire ps/pl_clk0 clocks/clk_in1
wire clocks/clk_out1 reset_fast/slowest_sync_clk fifo_in/m_axis_aclk adapter/aclk core/ap_clk fifo_out/s_axis_aclk
wire clocks/clk_out2 reset_slow/slowest_sync_clk ps/maxihpm0_fpd_aclk ps/saxihp0_fpd_aclk dma/s_axi_lite_aclk \
    dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk to_memory/aclk to_control/aclk gpio_control/s_axi_aclk \
    gpio_counters/s_axi_aclk gpio_windows/s_axi_aclk gpio_core/s_axi_aclk fifo_in/s_axis_aclk fifo_out/m_axis_aclk
wire clocks/locked reset_fast/dcm_locked reset_slow/dcm_locked
wire ps/pl_resetn0 reset_fast/ext_reset_in reset_slow/ext_reset_in
wire reset_fast/peripheral_aresetn adapter/aresetn core/ap_rst_n fifo_out/s_axis_aresetn
wire reset_slow/peripheral_aresetn dma/axi_resetn to_memory/aresetn to_control/aresetn gpio_control/s_axi_aresetn \
    gpio_counters/s_axi_aresetn gpio_windows/s_axi_aresetn gpio_core/s_axi_aresetn fifo_in/s_axis_aresetn

assign_bd_address
validate_bd_design
save_bd_design

# ---- implementation, with the strategies that the Gen3 designs use to close timing at 512 MHz
make_wrapper -files [get_files $design.bd] -top -import
set_property top ${design}_wrapper [current_fileset]
update_compile_order -fileset sources_1
set_property strategy Flow_PerfOptimized_high [get_runs synth_1]
set_property STEPS.SYNTH_DESIGN.ARGS.RETIMING true [get_runs synth_1]
set_property strategy Performance_ExtraTimingOpt [get_runs impl_1]
set_property STEPS.PHYS_OPT_DESIGN.ARGS.DIRECTIVE AggressiveExplore [get_runs impl_1]
set_property STEPS.POST_ROUTE_PHYS_OPT_DESIGN.IS_ENABLED true [get_runs impl_1]
set_property STEPS.POST_ROUTE_PHYS_OPT_DESIGN.ARGS.DIRECTIVE AggressiveExplore [get_runs impl_1]
launch_runs impl_1 -to_step write_bitstream -jobs 8
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} { fail "implementation failed; see $out_folder/$project/$project.runs/impl_1" }

set built [file join $out_folder $project $project]
file copy -force $built.runs/impl_1/${design}_wrapper.bit [file join $out_folder $project.bit]
file copy -force $built.gen/sources_1/bd/$design/hw_handoff/$design.hwh [file join $out_folder $project.hwh]
set slack [get_property STATS.WNS [get_runs impl_1]]
puts "Written: $out_folder/$project.bit and .hwh; worst slack $slack ns at $fast_mhz MHz"
if {$slack < 0} { fail "timing is not met: worst slack $slack ns. The bitstream is for looking at, not for measuring" }
