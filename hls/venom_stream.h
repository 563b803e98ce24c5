// Streams of the top function, and the loop of a free-running process.
#ifndef VENOM_STREAM_H
#define VENOM_STREAM_H

#include <ap_axi_sdata.h>
#include <hls_stream.h>

// A free-running process loops for ever in hardware; in C simulation until its input stream is empty.
#ifdef __SYNTHESIS__
#define VENOM_FREE_RUNNING(input) while (true)
#else
#define VENOM_FREE_RUNNING(input) while (!(input).empty())
#endif

#endif
