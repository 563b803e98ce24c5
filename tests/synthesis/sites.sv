// What Yosys is known to make of the constructs that generated gateware uses; counts in test_area.py.

module adders (
    input logic clk, input logic signed [15:0] a, b, c, output logic signed [16:0] sum, output logic signed [17:0] total
);
  always_ff @(posedge clk) begin
    sum   <= a + b;
    total <= sum + c;
  end
endmodule

(* use_dsp = "no" *)
module soft_product (input logic [7:0] a, b, output logic [15:0] p);
  assign p = a * b;
endmodule

module products (
    input logic clk, input logic signed [15:0] x, input logic [7:0] g, output logic signed [24:0] p,
    output logic [15:0] q, r
);
  logic signed [15:0] x_1;
  logic [7:0] g_1;
  logic signed [24:0] wide;
  (* use_dsp = "no" *) logic [15:0] narrow;
  always_ff @(posedge clk) begin
    x_1    <= x;
    g_1    <= g;
    wide   <= x_1 * $signed({1'b0, g_1});
    p      <= wide;
    narrow <= g_1 * g_1;
    q      <= narrow;
    r      <= r_0;
  end
  logic [15:0] r_0;
  soft_product i_soft (.a(x_1[7:0]), .b(g_1), .p(r_0));
endmodule

module tables (
    input logic clk, input logic [9:0] a, input logic [11:0] b, c, output logic [63:0] wide, output logic [11:0] one, two
);
  (* rom_style = "block" *) logic [63:0] m [0:1023];
  (* rom_style = "block" *) logic [11:0] n [0:4095];
  initial $readmemh("wide.mem", m);
  initial $readmemh("narrow.mem", n);
  logic [63:0] wide_1;
  logic [11:0] one_1, two_1;
  always_ff @(posedge clk) begin
    wide_1 <= m[a];
    wide   <= wide_1;
    one_1  <= n[b];
    one    <= one_1;
    two_1  <= n[c];
    two    <= two_1;
  end
endmodule

module lut_table (input logic clk, input logic [5:0] a, output logic [7:0] d);
  (* rom_style = "distributed" *) logic [7:0] m [0:63];
  initial $readmemh("small.mem", m);
  always_ff @(posedge clk) d <= m[a];
endmodule

module state_memory #(parameter int WIDTH = 72, parameter int DEPTH = 512) (
    input logic clk, write, fresh, input logic [$clog2(DEPTH)-1:0] to, from, input logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  (* ram_style = "block" *) logic [WIDTH-1:0] m [0:DEPTH-1];
  logic [WIDTH-1:0] q_1;
  always_ff @(posedge clk) begin
    if (write) m[to] <= d;
    q_1 <= m[from];
    q   <= fresh ? '0 : q_1;
  end
endmodule

module result_fifo (input logic clk, write, read, input logic [11:0] to, from, input logic [71:0] d, output logic [71:0] q);
  (* ram_style = "ultra" *) logic [71:0] m [0:4095];
  logic [71:0] q_1;
  always_ff @(posedge clk) begin
    if (write) m[to] <= d;
    if (read) q_1 <= m[from];
    q <= q_1;
  end
endmodule

module delay #(parameter int WIDTH = 16, parameter int CLOCKS = 12) (
    input logic clk, input logic [WIDTH-1:0] d, output logic [WIDTH-1:0] q
);
  logic [WIDTH-1:0] m [0:CLOCKS-1];
  always_ff @(posedge clk) begin
    m[0] <= d;
    for (int k = 1; k < CLOCKS; k++) m[k] <= m[k-1];
  end
  assign q = m[CLOCKS-1];
endmodule

// A path through the ports of two modules: xor of 12 bits here, of as many there.
module half (input logic [11:0] a, output logic y);
  assign y = ^a;
endmodule

module crossing (input logic clk, input logic [11:0] a, input logic [10:0] b, output logic q);
  logic [11:0] a_1;
  logic [10:0] b_1;
  logic first, second;
  half i_first (.a(a_1), .y(first));
  half i_second (.a({first, b_1}), .y(second));
  always_ff @(posedge clk) begin
    a_1 <= a;
    b_1 <= b;
    q   <= second;
  end
endmodule

module sites (
    input logic clk, write, fresh, input logic signed [15:0] x, y, z, input logic [71:0] d,
    output logic signed [16:0] sum, output logic signed [17:0] total, output logic signed [24:0] p,
    output logic [15:0] q, r, late, later, middle, output logic [63:0] wide, output logic [11:0] one, two,
    output logic [7:0] small, output logic [71:0] state, waiting, output logic parity
);
  adders i_adders (.clk, .a(x), .b(y), .c(z), .sum, .total);
  products i_products (.clk, .x, .g(y[7:0]), .p, .q, .r);
  tables i_tables (.clk, .a(x[9:0]), .b(y[11:0]), .c(z[11:0]), .wide, .one, .two);
  lut_table i_lut_table (.clk, .a(x[5:0]), .d(small));
  state_memory i_state (.clk, .write, .fresh, .to(x[8:0]), .from(y[8:0]), .d, .q(state));
  result_fifo i_fifo (.clk, .write, .read(fresh), .to(x[11:0]), .from(y[11:0]), .d, .q(waiting));
  delay i_delay (.clk, .d(x), .q(late));
  delay #(.CLOCKS(2)) i_short (.clk, .d(y), .q(later));
  delay #(.CLOCKS(4)) i_middle (.clk, .d(z), .q(middle));
  crossing i_crossing (.clk, .a(x[11:0]), .b(y[10:0]), .q(parity));
endmodule
