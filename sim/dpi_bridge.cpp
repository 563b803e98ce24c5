// Between sim/dpi_shell.sv and the generated HLS C++: loads the project's shared library, passes beats on and writes
// the state trace after each beat whose sample was used.
//
// The library is loaded at run time (plusarg venom_library), so that one verilated shell serves every model: a mutant
// or another model costs only its own compilation.

#include <cstdint>
#include <cstdio>
#include <vector>

#include <dlfcn.h>

extern "C" int venom_trace_open(const char* path);  // sim/state_trace.cpp
extern "C" void venom_trace_record(int channel, int flags, int count, const std::uint32_t* words);

namespace {

constexpr int IGNORED = 4, OVERLONG = 8, REVISIT = 16;

void (*venom_reset)(void) = nullptr;
void (*venom_idle)(unsigned) = nullptr;
int (*venom_sample)(unsigned, unsigned, unsigned char, unsigned char, unsigned*) = nullptr;
long long (*venom_state)(int, int) = nullptr;

std::vector<std::int64_t> words;

template <typename Function>
bool find(void* library, const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(dlsym(library, name));
    if (!function) std::fprintf(stderr, "dpi_bridge: the library has no function %s\n", name);
    return function != nullptr;
}

}  // namespace

extern "C" {

// 0 when the library is loaded and the trace open. state_words: of a channel (plusarg venom_words).
int venom_dpi_open(const char* library_path, const char* trace_path, int state_words) {
    if (!*library_path) {
        std::fprintf(stderr, "dpi_bridge: plusarg +venom_library=<shared library> is missing\n");
        return 1;
    }
    void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::fprintf(stderr, "dpi_bridge: %s\n", dlerror());
        return 1;
    }
    if (!find(library, "venom_reset", venom_reset) || !find(library, "venom_idle", venom_idle) ||
        !find(library, "venom_sample", venom_sample) || !find(library, "venom_state", venom_state))
        return 1;
    words.resize(state_words);
    return venom_trace_open(trace_path);
}

void venom_dpi_reset() { venom_reset(); }

// A beat after `idle` clocks without one; the flags of venom_sample.
int venom_dpi_sample(unsigned idle, unsigned tdata, unsigned channel, unsigned char start, unsigned char last,
                     unsigned* result) {
    venom_idle(idle);
    const int flags = venom_sample(tdata, channel, start, last, result);
    if (!words.empty() && !(flags & (IGNORED | OVERLONG | REVISIT))) {
        for (std::size_t k = 0; k < words.size(); k++)
            words[k] = venom_state(static_cast<int>(channel), static_cast<int>(k));
        venom_trace_record(static_cast<int>(channel), flags, static_cast<int>(words.size()),
                           reinterpret_cast<const std::uint32_t*>(words.data()));
    }
    return flags;
}

}  // extern "C"
