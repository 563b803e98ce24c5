// Frame of the compiled golden engine; native_code.py fills in what stands between two @.
// One lane of a vector is one window; a group of LANES windows runs from its first sample to its last.
#include <cmath>
#include <cstdint>
#include <memory>

#if defined(__AVX512F__)
constexpr int LANES = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif
typedef double V __attribute__((vector_size(LANES * sizeof(double))));
typedef float F __attribute__((vector_size(LANES * sizeof(float))));
typedef int64_t L __attribute__((vector_size(LANES * sizeof(int64_t))));

namespace {

inline V splat(double x) { return V{} + x; }

inline V larger(V a, V b) { return a > b ? a : b; }

inline V round_half_even(V x) {  // |x| < 2^51
    const V magic = splat(0x1.8p52);
    return (x + magic) - magic;
}

inline V round_floor(V x) {
    V r = round_half_even(x);
    return r > x ? r - 1.0 : r;
}

inline V saturate(V x, double lo, double hi, V& missed) {
    V r = x > hi ? splat(hi) : x;
    r = r < lo ? splat(lo) : r;
    missed += r != x ? splat(1.0) : V{};
    return r;
}

// entries[base + code * stride], lane by lane
inline V look_up(const float* entries, int64_t base, V code, int64_t stride) {
    const L k = __builtin_convertvector(code, L) * stride + base;
    F found;
    for (int l = 0; l < LANES; ++l) found[l] = entries[k[l]];
    return __builtin_convertvector(found, V);
}

inline V look_up(const double* entries, int64_t base, V code, int64_t stride) {
    const L k = __builtin_convertvector(code, L) * stride + base;
    V found;
    for (int l = 0; l < LANES; ++l) found[l] = entries[k[l]];
    return found;
}

[[maybe_unused]] inline V leading_zeros(V x, int width) {
    V zeros;
    for (int l = 0; l < LANES; ++l) zeros[l] = width - 1 - (x[l] > 0 ? std::ilogb(x[l]) : 0);
    return zeros;
}

[[maybe_unused]] inline V shifted(V x, V s) {
    V out;
    for (int l = 0; l < LANES; ++l) out[l] = std::ldexp(x[l], static_cast<int>(s[l]));
    return out;
}

[[maybe_unused]] inline void copy(V* to, const V* from, int size) {
    for (int i = 0; i < size; ++i) to[i] = from[i];
}

[[maybe_unused]] inline void advance(V* state, const V* next, int size, V valid, bool all) {
    if (all) return copy(state, next, size);
    for (int i = 0; i < size; ++i) state[i] = valid > 0.5 ? next[i] : state[i];
}

template <typename T>
void put(T* out, const V* values, int size, int64_t g, int64_t count, int64_t length, int64_t t) {
    for (int64_t l = 0; l < LANES && g + l < count; ++l) {
        T* row = out + ((g + l) * length + t) * size;
        for (int i = 0; i < size; ++i) row[i] = static_cast<T>(values[i][l]);
    }
}

struct Work {
    V valid;
    V saturated[@COUNTERS@];
@BUFFERS@
};

__attribute__((noinline)) void step(
    Work& w, [[maybe_unused]] const double* __restrict c, [[maybe_unused]] const float* __restrict t) {
@STEP@
}

[[maybe_unused]] inline void next(Work& w, bool all) {
    (void)w, (void)all;
@ADVANCE@
}

}  // namespace

extern "C" int venom_lanes() { return LANES; }

// Windows `first` to `last` of samples (count, length, input elements). states: (count, elements) each; traces:
// (count, length, elements) each, null for none; saturations: counters, added to.
extern "C" void venom_run(
    const int64_t* samples, const int64_t* lengths, int64_t count, int64_t length, int64_t first, int64_t last,
    const double* constants, const float* tables, int64_t* const* states, void* const* traces, int64_t* saturations) {
    std::unique_ptr<Work> work(new Work);
    Work& w = *work;
    for (V& v : w.saturated) v = V{};
    (void)states;
    for (int64_t g = first; g < last; g += LANES) {
@RESET@
        int64_t longest = 0, shortest = length;
        for (int64_t l = 0; l < LANES; ++l) {
            const int64_t n = g + l < count ? lengths[g + l] : 0;
            longest = n > longest ? n : longest;
            shortest = n < shortest ? n : shortest;
        }
        for (int64_t t = 0; t < longest; ++t) {
            for (int64_t l = 0; l < LANES; ++l) {
                const bool there = g + l < count;
                const int64_t* row = samples + ((g + (there ? l : 0)) * length + t) * @INPUT_SIZE@;
                for (int i = 0; i < @INPUT_SIZE@; ++i) @INPUT@[i][l] = static_cast<double>(row[i]);
                w.valid[l] = there && t < lengths[g + l];
            }
            step(w, constants, tables);
            next(w, t < shortest);
            if (traces) {
@TRACE@
            }
        }
@FINAL@
    }
    for (int k = 0; k < @COUNTERS@; ++k)
        for (int l = 0; l < LANES; ++l) saturations[k] += static_cast<int64_t>(w.saturated[k][l]);
}
