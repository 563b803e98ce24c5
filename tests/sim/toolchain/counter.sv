// A counter whose output goes through a C++ function: the smallest design that needs the whole tool chain.
module counter (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        enable,
    output logic [15:0] count,
    output logic [31:0] cube
);
    import "DPI-C" function int toolchain_cube(input int value);

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            count <= '0;
            cube  <= '0;
        end else if (enable) begin
            count <= count + 16'd1;
            cube  <= toolchain_cube(32'(count) + 32'd1);
        end
    end
endmodule
