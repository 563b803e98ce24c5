// Stand-in for the ap_axi_sdata.h of Vitis HLS, for C simulation with the ap_types that hls4ml carries, which lack it.
// Same member names as ap_axiu<WData, WUser, 0, 0>; never on the include path of Vitis HLS, which has its own.
#ifndef VENOM_CSIM_AP_AXI_SDATA_H
#define VENOM_CSIM_AP_AXI_SDATA_H
#ifndef __SYNTHESIS__

#include <ap_int.h>

template <int WData, int WUser, int WId, int WDest>
struct ap_axiu {
    static_assert(WId == 0 && WDest == 0, "the stand-in has no TID and no TDEST");
    ap_uint<WData> data;
    ap_uint<(WData + 7) / 8> keep;
    ap_uint<(WData + 7) / 8> strb;
    ap_uint<WUser> user;
    ap_uint<1> last;
};

#endif
#endif
