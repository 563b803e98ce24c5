"""The datapath as SystemVerilog: graph -> circuit of scalar cells -> schedule -> modules (`templates/rtl`)."""
