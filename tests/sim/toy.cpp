// A tiny recurrent network with the interface of a generated project: 2 words of leaky state, 1 tap, 1 count.
// tests/sim/test_bench.py holds its Python twin. -DWRONG_... plant the faults that the bench has to find.

#include <cstdint>

namespace {
constexpr int CHANNELS = 4, MAX_STEPS = 12, REVISIT = 3, WORDS = 4;
struct Channel {
    long long h[2], tap, count;
    bool open;
    long long free_at;
};
Channel channels[CHANNELS];
long long now;
}  // namespace

extern "C" {

void venom_reset(void) {
#ifndef WRONG_RESET
    for (auto& c : channels) c.open = false;
#endif
    for (auto& c : channels) c.free_at = 0;
    now = 0;
}

void venom_idle(unsigned clocks) { now += clocks; }

int venom_sample(unsigned tdata, unsigned channel, unsigned char start, unsigned char last, unsigned* result) {
    Channel& c = channels[channel];
    int flags = 0;
    if (now++ < c.free_at) return 16;
    c.free_at = now - 1 + REVISIT;
    if (start) {
        if (c.open) flags |= 2;
#ifdef WRONG_NO_CLEAR
        c.count = 0;
#else
        c.h[0] = c.h[1] = c.tap = c.count = 0;
#endif
        c.open = true;
    } else if (!c.open) {
        return 4;
#ifndef WRONG_NO_LIMIT
    } else if (c.count == MAX_STEPS) {
        c.open = false;
        return 8;
#endif
    }
    const int i = static_cast<std::int16_t>(tdata), q = static_cast<std::int16_t>(tdata >> 16);
    c.h[0] = c.h[0] - (c.h[0] >> 2) + i;
    c.h[1] = c.h[1] - (c.h[1] >> 3) + q * c.tap / 4096;
#ifndef WRONG_LOST_WRITE
    c.tap = i;
#else
    if (c.count != 3) c.tap = i;
#endif
    c.count++;
    if (last) {
        c.open = false;
        flags |= 1;
#ifdef WRONG_RESULT
        if (c.count == 1) c.h[0]++;
#endif
        *result = (static_cast<unsigned>(c.h[0]) & 0xFFFF) | (static_cast<unsigned>(c.h[1] & 0xFFFF) << 16);
    }
    return flags;
}

long long venom_state(int channel, int word) {
    const Channel& c = channels[channel];
    const long long words[WORDS] = {c.h[0], c.h[1], c.tap, c.count};
    return words[word];
}
}
