// AXI4-Stream shell around the generated HLS C++: the ports of the contracts, the C++ behind DPI-C (sim/dpi_bridge.cpp).
//
// Each accepted beat is one call of venom_sample; its result leaves LATENCY clocks later through an output FIFO of
// FIFO_DEPTH results. The input never stalls: a result that meets a full FIFO is dropped and counted.
// The names below the ports (*_count, revisit_error) are read by the bench; the generated RTL offers the same
// (sim/README.md).

`default_nettype none

module dpi_shell #(
    parameter int CHANNELS = 8,
    parameter int FIFO_DEPTH = 16,
    parameter int LATENCY = 24,  // clocks from a window's last beat to its result at the FIFO's input
    localparam int CHANNEL_BITS = CHANNELS > 2 ? $clog2(CHANNELS) : 1
) (
    input  wire                    ap_clk,
    input  wire                    ap_rst_n,
    input  wire [31:0]             s_axis_TDATA,
    input  wire                    s_axis_TVALID,
    output wire                    s_axis_TREADY,
    input  wire [0:0]              s_axis_TLAST,
    input  wire [CHANNEL_BITS:0]   s_axis_TUSER,  // start above the channel
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire [3:0]              s_axis_TKEEP,  // ignored, as the contracts say
    input  wire [3:0]              s_axis_TSTRB,
    /* verilator lint_on UNUSEDSIGNAL */
    output wire [31:0]             m_axis_TDATA,
    output wire                    m_axis_TVALID,
    input  wire                    m_axis_TREADY,
    output wire [0:0]              m_axis_TLAST,
    output wire [CHANNEL_BITS-1:0] m_axis_TUSER,
    output wire [3:0]              m_axis_TKEEP,
    output wire [3:0]              m_axis_TSTRB
);
  // What venom_sample returns (venom_hw/codegen/stimulus.py).
  localparam int RESULT = 0, ABANDONED = 1, IGNORED = 2, OVERLONG = 3, REVISIT = 4;

  import "DPI-C" function int venom_dpi_open(input string library_path, input string trace_path,
                                              input int words);
  import "DPI-C" function void venom_dpi_reset();
  import "DPI-C" function int venom_dpi_sample(
      input int unsigned idle, input int unsigned tdata, input int unsigned channel, input bit start, input bit last,
      output int unsigned result);

  typedef struct packed {
    logic                    valid;
    logic [CHANNEL_BITS-1:0] channel;
    logic [31:0]             data;
  } result_t;

  // Read by the bench; zero after reset.
  /* verilator lint_off UNUSEDSIGNAL */
  logic [31:0] abandoned_count;  // windows that a start inside them abandoned
  logic [31:0] ignored_count;    // beats of channels without an open window
  logic [31:0] overlong_count;   // windows closed without a result because they passed the longest length
  logic [31:0] dropped_count;    // results lost to a full output FIFO
  logic        revisit_error;    // a channel came again too soon; stays until reset
  /* verilator lint_on UNUSEDSIGNAL */

  result_t     pipeline[LATENCY];  // ring: the slot of this clock was written LATENCY clocks ago
  result_t     fifo[FIFO_DEPTH];
  int unsigned slot, first, filled;
  int unsigned idle;  // clocks without a beat since the last one
  logic        was_reset;

  initial begin : open
    string library_path, trace_path;
    int words;
    if (!$value$plusargs("venom_library=%s", library_path)) library_path = "";
    if (!$value$plusargs("venom_trace=%s", trace_path)) trace_path = "";
    if (!$value$plusargs("venom_words=%d", words)) words = 0;
    if (venom_dpi_open(library_path, trace_path, words) != 0) $fatal(1, "dpi_shell: the device could not be opened");
    was_reset = 1'b0;
  end

  assign s_axis_TREADY = ap_rst_n;
  assign m_axis_TVALID = ap_rst_n && filled != 0;
  assign m_axis_TDATA  = fifo[first].data;
  assign m_axis_TUSER  = fifo[first].channel;
  assign m_axis_TLAST  = 1'b1;
  assign m_axis_TKEEP  = '1;
  assign m_axis_TSTRB  = '1;

  always_ff @(posedge ap_clk) begin : shell
    automatic result_t made = '0;
    automatic int unsigned left = filled - 32'(m_axis_TVALID && m_axis_TREADY);
    automatic int unsigned begins = (first + 32'(m_axis_TVALID && m_axis_TREADY)) % FIFO_DEPTH;
    if (!ap_rst_n) begin
      if (!was_reset) venom_dpi_reset();
      was_reset <= 1'b1;
      {abandoned_count, ignored_count, overlong_count, dropped_count, revisit_error} <= '0;
      {slot, first, filled, idle} <= '0;
      for (int k = 0; k < LATENCY; k++) pipeline[k] <= '0;
    end else begin
      was_reset <= 1'b0;
      idle <= idle + 1;
      slot <= (slot + 1) % LATENCY;
      if (s_axis_TVALID && s_axis_TREADY) begin
        automatic logic [CHANNEL_BITS-1:0] channel = s_axis_TUSER[CHANNEL_BITS-1:0];
        automatic int unsigned data;
        automatic int flags = venom_dpi_sample(
            idle, s_axis_TDATA, 32'(channel), s_axis_TUSER[CHANNEL_BITS], s_axis_TLAST, data);
        made = '{valid: flags[RESULT], channel: channel, data: data};
        if (flags[ABANDONED]) abandoned_count <= abandoned_count + 1;
        if (flags[IGNORED]) ignored_count <= ignored_count + 1;
        if (flags[OVERLONG]) overlong_count <= overlong_count + 1;
        if (flags[REVISIT]) revisit_error <= 1'b1;
        idle <= '0;
      end
      pipeline[slot] <= made;
      if (pipeline[slot].valid) begin
        if (left < FIFO_DEPTH) begin
          fifo[(begins + left) % FIFO_DEPTH] <= pipeline[slot];
          left = left + 1;
        end else begin
          dropped_count <= dropped_count + 1;
        end
      end
      first <= begins;
      filled <= left;
    end
  end
endmodule

`default_nettype wire
