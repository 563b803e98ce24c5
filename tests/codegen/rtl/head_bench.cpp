// Streams windows into the head and collects its results: `head_bench windows results wait_in wait_out seed reset_at`.
//
// windows: a line a window, channel and sums in hexadecimal (low word last). wait_in, wait_out: percent of the clocks in
// which nothing is offered, or nothing taken; a window that was offered stays until it is taken, as AXI4-Stream wants,
// and its word is rubbish while nothing is offered. reset_at: a window's number at whose acceptance the head is reset.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "Vhead.h"
#include "verilated.h"

struct Window {
    uint32_t channel;
    std::vector<uint32_t> words;
};

template <class Port>
void put(Port& port, const std::vector<uint32_t>& words) {
    if constexpr (std::is_integral_v<Port>) {
        port = static_cast<Port>(words[0] | (words.size() > 1 ? uint64_t(words[1]) << 32 : 0));
    } else {
        for (size_t i = 0; i < words.size(); i++) port[i] = words[i];
    }
}

static std::vector<Window> read(const char* path) {
    std::ifstream file(path);
    std::vector<Window> windows;
    std::string word;
    uint32_t channel;
    while (file >> std::hex >> channel >> word) {
        Window window{channel, {}};
        for (long end = long(word.size()); end > 0; end -= 8) {
            const long begin = end > 8 ? end - 8 : 0;
            window.words.push_back(uint32_t(std::stoul(word.substr(begin, end - begin), nullptr, 16)));
        }
        windows.push_back(window);
    }
    return windows;
}

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    const auto windows = read(argv[1]);
    FILE* out = fopen(argv[2], "w");
    const int wait_in = atoi(argv[3]), wait_out = atoi(argv[4]);
    std::mt19937 random(atoi(argv[5]));
    const long reset_at = atol(argv[6]);
    const auto idle = [&](int percent) { return int(random() % 100) < percent; };
    Vhead top;
    size_t next = 0, results = 0, expected = windows.size();
    bool offered = false;
    unsigned long since = 0;  // the window on the port stands there
    long resets = 0;
    uint64_t quiet = 0;
    for (uint64_t clock = 0; results < expected; clock++) {
        const bool reset = clock < 5 || resets > 0;
        if (resets > 0) resets--;
        if (reset) offered = false;
        if (!reset && !offered && next < windows.size()) {
            offered = !idle(wait_in);
            since = clock;
        }
        top.rst_n = !reset;
        top.s_valid = offered;
        top.s_channel = offered ? windows[next].channel : 0;
        put(top.s_sums, windows[offered ? next : random() % windows.size()].words);
        top.m_ready = !idle(wait_out);
        top.clk = 0;
        top.eval();
        if (!reset && offered && top.s_ready) {
            fprintf(out, "in %lu %lu\n", (unsigned long)clock, since);
            if (long(next) == reset_at) {
                resets = 9;
                expected -= next + 1 - results;  // windows under way are lost
                fprintf(out, "reset %lu %lu\n", (unsigned long)clock, (unsigned long)results);
            }
            next++;
            offered = false;
        }
        if (!reset && top.m_valid && top.m_ready) {
            if (resets > 0) expected++;  // it was still delivered
            fprintf(out, "out %lu %u %d %u\n", (unsigned long)clock, unsigned(top.m_energy),
                    int(int16_t(top.m_log_variance)), unsigned(top.m_channel));
            results++;
            quiet = 0;
        }
        top.clk = 1;
        top.eval();
        if (++quiet > 50000) {
            fprintf(stderr, "no result for 50000 clocks, %zu of %zu came\n", results, expected);
            return 1;
        }
    }
    fclose(out);
    return 0;
}
