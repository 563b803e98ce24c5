// Drives a window dispatcher, alone or in front of an engine, with a script of clocks and writes what happens.
//
//   Vtop script.bin events.bin
//
// Script: a record a clock (Clock below). A trigger is offered from its clock on until it is taken, one after the other.
// Events: beats of m_axis, triggers taken, and at the end of each stretch between two resets the counters. Clocks count
// from the first one without reset. Macros: LANES.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

struct Clock {
    std::uint8_t rst_n, valid, trigger, ready;
    std::uint32_t group, channel;
    std::uint32_t samples[LANES];
};

enum Kind : std::uint32_t { RESULT, TAKEN, OPENED, RETRIGGER, REFUSED, EARLY, OVERFLOW_ERROR };

struct Event {
    std::uint32_t kind, stretch, clock, data, user, last;
};

// AXI4-Lite inputs, where the design has them: nobody writes.
template <class Top>
auto no_axi(Top& top, int) -> decltype(void(top.s_axi_AWVALID)) {
    top.s_axi_AWVALID = top.s_axi_WVALID = top.s_axi_ARVALID = top.s_axi_BREADY = top.s_axi_RREADY = 0;
}
template <class Top>
void no_axi(Top&, long) {}

}  // namespace

double sc_time_stamp() { return 0; }

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    if (argc < 3) return std::fprintf(stderr, "usage: Vtop script.bin events.bin [+plusargs]\n"), 2;
    std::FILE* script = std::fopen(argv[1], "rb");
    std::FILE* events = std::fopen(argv[2], "wb");
    if (!script || !events) return std::perror(script ? argv[2] : argv[1]), 2;
    Vtop top;
    no_axi(top, 0);
    std::deque<std::uint32_t> triggers;
    std::uint32_t stretch = 0, clock = 0;
    bool was_reset = true;
    auto put = [&](Kind kind, std::uint32_t data, std::uint32_t user = 0, std::uint32_t last = 0) {
        const Event event{kind, stretch, clock, data, user, last};
        std::fwrite(&event, sizeof event, 1, events);
    };
    auto counters = [&] {
        put(OPENED, top.opened_count);
        put(RETRIGGER, top.retrigger_count);
        put(REFUSED, top.refused_count);
        put(EARLY, top.early_count);
        put(OVERFLOW_ERROR, top.overflow_error);
    };
    Clock now;
    while (std::fread(&now, sizeof now, 1, script) == 1) {
        if (!now.rst_n && !was_reset) {
            counters();
            stretch++;
            triggers.clear();
        }
        clock = was_reset ? 0 : clock + 1;
        was_reset = !now.rst_n;
        if (now.trigger) triggers.push_back(now.channel);
        top.ap_clk = 0;
        top.ap_rst_n = now.rst_n;
        top.s_axis_TVALID = now.valid;
        top.s_axis_TUSER = now.group;
        std::memcpy(&top.s_axis_TDATA, now.samples, sizeof now.samples);
        top.trigger_TVALID = !triggers.empty();
        top.trigger_TDATA = triggers.empty() ? 0 : triggers.front();
        top.m_axis_TREADY = now.ready;
        top.eval();
        if (now.rst_n && top.m_axis_TVALID && now.ready) put(RESULT, top.m_axis_TDATA, top.m_axis_TUSER, top.m_axis_TLAST);
        if (now.rst_n && top.trigger_TVALID && top.trigger_TREADY) {
            put(TAKEN, triggers.front());
            triggers.pop_front();
        }
        if (now.rst_n && now.valid && !top.s_axis_TREADY) return std::fprintf(stderr, "s_axis stalls\n"), 1;
        top.ap_clk = 1;
        top.eval();
    }
    counters();
    top.final();
    return std::fclose(events) == 0 ? 0 : 1;
}
