"""The road from model files to gateware with its proof: joins the rooms, adds no arithmetic of its own."""
