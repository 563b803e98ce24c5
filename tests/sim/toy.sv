// RTL twin of toy.cpp: a device under test without any C++, with the ports and names that the bench expects of RTL.
// Plusarg +fault=<name> plants a fault that only the bench's protocol checks can see.

`default_nettype none

module toy #(
    parameter int CHANNELS = 4,
    parameter int FIFO_DEPTH = 8,
    parameter int REVISIT = 3,
    parameter int MAX_STEPS = 12,
    localparam int CHANNEL_BITS = $clog2(CHANNELS)
) (
    input  wire                    ap_clk,
    input  wire                    ap_rst_n,
    input  wire [31:0]             s_axis_TDATA,
    input  wire                    s_axis_TVALID,
    output wire                    s_axis_TREADY,
    input  wire [0:0]              s_axis_TLAST,
    input  wire [CHANNEL_BITS:0]   s_axis_TUSER,
    input  wire [3:0]              s_axis_TKEEP,
    input  wire [3:0]              s_axis_TSTRB,
    output wire [31:0]             m_axis_TDATA,
    output wire                    m_axis_TVALID,
    input  wire                    m_axis_TREADY,
    output wire [0:0]              m_axis_TLAST,
    output wire [CHANNEL_BITS-1:0] m_axis_TUSER,
    output wire [3:0]              m_axis_TKEEP,
    output wire [3:0]              m_axis_TSTRB
);
  localparam int COUNT = $clog2(FIFO_DEPTH + 1);

  string fault;
  initial if (!$value$plusargs("fault=%s", fault)) fault = "";

  logic [31:0] abandoned_count, ignored_count, overlong_count, dropped_count;
  logic        revisit_error;

  longint h0[CHANNELS], h1[CHANNELS], tap[CHANNELS], count[CHANNELS];
  logic   opened[CHANNELS];
  int     since[CHANNELS];

  logic [31+CHANNEL_BITS:0] fifo[FIFO_DEPTH];
  int unsigned              first, filled;
  int unsigned              clock;

  assign s_axis_TREADY = ap_rst_n && !(fault == "stall" && clock % 64 == 63);
  assign m_axis_TVALID = filled != 0 && !(fault == "retract" && clock % 8 == 7);
  assign {m_axis_TUSER, m_axis_TDATA} = fault == "unstable" && filled > 1 && clock[0] ?
      fifo[(first + 1) % FIFO_DEPTH] : fifo[first];
  assign m_axis_TLAST = fault != "tlast";
  assign m_axis_TKEEP = '1;
  assign m_axis_TSTRB = '1;

  // The state trace: written one clock after the beat, as an RTL pipeline would.
  logic         traced;
  logic [31:0]  traced_channel;
  state_trace #(.WORDS(4)) states (
      .clk(ap_clk), .valid(traced), .channel(traced_channel), .flags(0),
      .words({count[traced_channel[CHANNEL_BITS-1:0]], tap[traced_channel[CHANNEL_BITS-1:0]],
              h1[traced_channel[CHANNEL_BITS-1:0]], h0[traced_channel[CHANNEL_BITS-1:0]]}));

  always_ff @(posedge ap_clk) begin
    automatic int unsigned left = filled - 32'(m_axis_TVALID && m_axis_TREADY);
    automatic int unsigned begins = (first + 32'(m_axis_TVALID && m_axis_TREADY)) % FIFO_DEPTH;
    automatic logic [CHANNEL_BITS-1:0] c = s_axis_TUSER[CHANNEL_BITS-1:0];
    automatic longint i = 64'(signed'(s_axis_TDATA[15:0])), q = 64'(signed'(s_axis_TDATA[31:16]));
    automatic longint n0 = h0[c], n1 = h1[c], nt = tap[c], nc = count[c];
    automatic logic used = 0;
    clock <= clock + 1;
    traced <= 0;
    if (!ap_rst_n) begin
      {abandoned_count, ignored_count, overlong_count, dropped_count, revisit_error} <= '0;
      {first, clock} <= '0;
      filled <= fault == "stale" ? filled : 0;
      for (int k = 0; k < CHANNELS; k++) begin
        opened[k] <= fault == "reset" ? opened[k] : 0;
        since[k] <= REVISIT;
      end
    end else begin
      for (int k = 0; k < CHANNELS; k++) since[k] <= since[k] + 1;
      if (s_axis_TVALID && s_axis_TREADY) begin
        if (since[c] < REVISIT && fault != "revisit") revisit_error <= 1;
        since[c] <= 1;
        if (s_axis_TUSER[CHANNEL_BITS]) begin
          if (opened[c] && fault != "abandoned") abandoned_count <= abandoned_count + 1;
          {n0, n1, nt, nc} = '0;
          used = 1;
        end else if (!opened[c]) begin
          ignored_count <= ignored_count + 1;
        end else if (nc == 64'(MAX_STEPS) && fault != "overlong") begin
          overlong_count <= overlong_count + 1;
          opened[c] <= 0;
        end else begin
          used = 1;
        end
        if (used) begin
          n0 = n0 - (n0 >>> 2) + i;
          n1 = n1 - (n1 >>> 3) + q * nt / 4096;
          nt = i;
          nc = nc + 1;
          h0[c] <= n0;
          h1[c] <= n1;
          tap[c] <= nt;
          count[c] <= nc;
          opened[c] <= !s_axis_TLAST;
          traced <= 1;
          traced_channel <= 32'(c);
          if (s_axis_TLAST) begin
            if (left < FIFO_DEPTH) begin
              fifo[(begins + left) % FIFO_DEPTH] <= {c, n1[15:0], n0[15:0]};
              left = left + 1;
            end else if (fault != "dropped") begin
              dropped_count <= dropped_count + 1;
            end
          end
        end
      end
      first <= begins;
      filled <= left;
    end
  end
endmodule

`default_nettype wire
