// exp for the kernels of the CPU: the scan's (scan_kernel.cpp) and the array trainer's (train_array/step_kernel.cpp).
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace {

// exp to about 1 unit in the last place, without a branch, so that a loop over it becomes vector code (Cephes, Moshier).
inline float exponential(float x) {
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.3f ? 88.3f : x;
    constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float n = (x * 1.44269504088896341f + shift) - shift;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

inline double exponential(double x) { return std::exp(x); }

}  // namespace
