// What a simulation (csim driver, DPI shell) sees of the design: the engine's beat and the head as plain C functions.
#ifndef VENOM_SIMULATION_H
#define VENOM_SIMULATION_H
#ifndef __SYNTHESIS__

// Bits of what venom_sample returns.
enum {
    VENOM_RESULT = 1,     // the beat closed a window, *result holds its energy word
    VENOM_ABANDONED = 2,  // its start abandoned an open window
    VENOM_IGNORED = 4,    // outside a window (no start since reset, or since the last window closed): not used
    VENOM_OVERLONG = 8,   // sample max_steps + 1 of a window: not used, the window is closed without a result
    VENOM_REVISIT = 16    // nearer to the channel's previous beat than the revisit distance: refused, not used
};

extern "C" {
// As ap_rst_n: every window closed, the clock at 0. The state memories keep their words, as RAM does.
void venom_reset(void);
// One clock with a beat.
int venom_sample(unsigned tdata, unsigned channel, unsigned char start, unsigned char last, unsigned *result);
// Clocks without a beat. Only the check of the revisit distance needs them.
void venom_idle(unsigned clocks);
// A state word of a channel as a full integer, in the order of manifest.json.
long long venom_state(int channel, int word);
}

#endif
#endif
