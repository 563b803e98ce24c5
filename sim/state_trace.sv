// Writes the state trace of an RTL device: bind or instantiate it where the states are written back.
//
// In each clock with `valid`, `words` are all state words of `channel` after one used beat: 64 bits each,
// sign-extended, the first word in the lowest bits, in the order of the design's state tensors. Records come in the
// order of the beats. Add sim/state_trace.cpp to the build; the file is named by plusarg +venom_trace=<file>.

`default_nettype none

module state_trace #(
    parameter int WORDS = 1
) (
    input wire                clk,
    input wire                valid,
    input wire [31:0]         channel,
    input wire [31:0]         flags,
    input wire [64*WORDS-1:0] words
);
  import "DPI-C" function int venom_trace_open(input string path);
  import "DPI-C" function void venom_trace_record(
      input int channel, input int flags, input int count, input bit [64*WORDS-1:0] words);

  initial begin : open
    string path;
    if (!$value$plusargs("venom_trace=%s", path)) path = "";
    if (venom_trace_open(path) != 0) $fatal(1, "state_trace: %s cannot be written", path);
  end

  always_ff @(posedge clk) if (valid) venom_trace_record(channel, flags, WORDS, words);
endmodule

`default_nettype wire
