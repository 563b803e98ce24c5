// Between an AXI DMA (64-bit words, no side channels in memory) and the VENOM core (32-bit words with TUSER).
//
// Word towards the core:  [31:0] TDATA (I, Q)   [47:32] TUSER (channel, start)   [48] TLAST   [63] valid
//   A word with valid = 0 is a bubble: it takes its clock and goes no further. The driver puts bubbles between
//   the samples of one channel, so that the core's minimum revisit distance holds.
// Word from the core:     [31:0] TDATA (energy, log variance)   [47:32] TUSER (channel)   [63] 1
//   TLAST after `packet_words` results (at least 1), so that a DMA transfer of that many words ends.
//
// The core must never stall: its results are always taken, and one that finds no room behind is dropped and
// counted. The FIFO behind m_axis_dma (axis_data_fifo of the block design) is the room.
`timescale 1ns / 1ps
`default_nettype none

module venom_dma_adapter #(
    parameter integer USER_BITS_IN  = 12,   // channel bits + 1 (start)
    parameter integer USER_BITS_OUT = 11    // channel bits
) (
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axis_dma:m_axis_core:s_axis_core:m_axis_dma, ASSOCIATED_RESET aresetn" *)
    input  wire                     aclk,
    input  wire                     aresetn,
    input  wire [31:0]              packet_words,   // quasi-static: change it while no results are under way
    output reg  [31:0]              results,        // accepted since reset
    output reg  [31:0]              dropped,        // lost since reset, saturates

    input  wire [63:0]              s_axis_dma_tdata,
    input  wire [7:0]               s_axis_dma_tkeep,
    input  wire                     s_axis_dma_tlast,
    input  wire                     s_axis_dma_tvalid,
    output wire                     s_axis_dma_tready,

    output reg  [31:0]              m_axis_core_tdata,
    output reg  [USER_BITS_IN-1:0]  m_axis_core_tuser,
    output wire [3:0]               m_axis_core_tkeep,
    output wire [3:0]               m_axis_core_tstrb,
    output reg                      m_axis_core_tlast,
    output reg                      m_axis_core_tvalid,
    input  wire                     m_axis_core_tready,

    input  wire [31:0]              s_axis_core_tdata,
    input  wire [USER_BITS_OUT-1:0] s_axis_core_tuser,
    input  wire [3:0]               s_axis_core_tkeep,
    input  wire [3:0]               s_axis_core_tstrb,
    input  wire                     s_axis_core_tlast,
    input  wire                     s_axis_core_tvalid,
    output wire                     s_axis_core_tready,

    output reg  [63:0]              m_axis_dma_tdata,
    output wire [7:0]               m_axis_dma_tkeep,
    output reg                      m_axis_dma_tlast,
    output reg                      m_axis_dma_tvalid,
    input  wire                     m_axis_dma_tready
);
    // ---- towards the core: one register, which moves on when the core takes its word (always, after reset)
    wire forward_free = !m_axis_core_tvalid || m_axis_core_tready;
    assign s_axis_dma_tready = aresetn && forward_free;
    assign m_axis_core_tkeep = 4'hf;
    assign m_axis_core_tstrb = 4'hf;

    always @(posedge aclk) begin
        if (!aresetn) begin
            m_axis_core_tvalid <= 1'b0;
        end else if (forward_free) begin
            m_axis_core_tvalid <= s_axis_dma_tvalid && s_axis_dma_tdata[63];
        end
        if (forward_free) begin
            m_axis_core_tdata <= s_axis_dma_tdata[31:0];
            m_axis_core_tuser <= s_axis_dma_tdata[32 +: USER_BITS_IN];
            m_axis_core_tlast <= s_axis_dma_tdata[48];
        end
    end

    // ---- from the core: always ready; a result that finds the register occupied is lost and counted
    wire back_free = !m_axis_dma_tvalid || m_axis_dma_tready;
    wire accept    = s_axis_core_tvalid && back_free;
    reg  [31:0] in_packet;                               // results of the current packet so far
    wire        ends_packet = in_packet + 32'd1 >= packet_words;
    assign s_axis_core_tready = 1'b1;
    assign m_axis_dma_tkeep   = 8'hff;

    always @(posedge aclk) begin
        if (!aresetn) begin
            m_axis_dma_tvalid <= 1'b0;
            in_packet         <= 32'd0;
            results           <= 32'd0;
            dropped           <= 32'd0;
        end else begin
            if (back_free) m_axis_dma_tvalid <= s_axis_core_tvalid;
            if (accept) begin
                in_packet <= ends_packet ? 32'd0 : in_packet + 32'd1;
                results   <= results + 32'd1;
            end
            if (s_axis_core_tvalid && !back_free && dropped != 32'hffff_ffff) dropped <= dropped + 32'd1;
        end
        if (accept) begin
            m_axis_dma_tdata <= {1'b1, {(31 - USER_BITS_OUT){1'b0}}, s_axis_core_tuser, s_axis_core_tdata};
            m_axis_dma_tlast <= ends_packet;
        end
    end

    // Ignored on purpose: the DMA's TKEEP and TLAST (the window's end is bit 48) and the core's TKEEP, TSTRB, TLAST.
    wire unused = &{1'b0, s_axis_dma_tkeep, s_axis_dma_tlast, s_axis_dma_tdata[62:32], s_axis_core_tkeep,
                    s_axis_core_tstrb, s_axis_core_tlast, 1'b0};
endmodule

`default_nettype wire
