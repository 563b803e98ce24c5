// Selective scan and linear scan on the CPU, forward and backward, for float and double.
//
// One thread takes one sequence of the batch at a time; the state (d_state, d_inner) of a sequence stays in registers or L1.
// The backward pass runs the sequence forwards again, keeping decay and state in a buffer of the thread: nothing of size
// (batch, length, d_inner, d_state) ever exists. The sizes (16, 8) are compiled in; any others take the same code.
//
// All arrays are contiguous. x, delta, y: (batch, length, d_inner); B, C: (batch, length, d_state); A: (d_state, d_inner).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "exponential.h"

namespace {

using Index = std::int64_t;

template <class T, int FIXED_D, int FIXED_N>
struct Selective {
    Index batch, length, d, n;
    const T *x, *delta, *A, *B, *C;

    Index inner() const { return FIXED_D ? FIXED_D : d; }
    Index states() const { return FIXED_N ? FIXED_N : n; }

    // h <- exp(delta A) h + delta B x for one sample; the decay goes to a.
    inline void advance(const T* xt, const T* dt, const T* bt, const T* h, T* a, T* h_next) const {
        const Index D = inner(), N = states();
        for (Index j = 0; j < N; ++j) {
#pragma omp simd
            for (Index i = 0; i < D; ++i) {
                const T decay = exponential(dt[i] * A[j * D + i]);
                a[j * D + i] = decay;
                h_next[j * D + i] = decay * h[j * D + i] + dt[i] * xt[i] * bt[j];
            }
        }
    }

    void forward(T* y, T* h_last, int threads) const {
        const Index D = inner(), N = states();
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> state(2 * D * N);
            T *h = state.data(), *a = h + D * N;
#pragma omp for schedule(static)
            for (Index s = 0; s < batch; ++s) {
                std::fill(h, h + D * N, T(0));
                for (Index t = 0; t < length; ++t) {
                    const Index row = s * length + t;
                    advance(x + row * D, delta + row * D, B + row * N, h, a, h);
                    const T* ct = C + row * N;
                    T* yt = y + row * D;
#pragma omp simd
                    for (Index i = 0; i < D; ++i) yt[i] = ct[0] * h[i];
                    for (Index j = 1; j < N; ++j) {
#pragma omp simd
                        for (Index i = 0; i < D; ++i) yt[i] += ct[j] * h[j * D + i];
                    }
                }
                std::copy(h, h + D * N, h_last + s * D * N);
            }
        }
    }

    // gA: (batch, d_state, d_inner), one sum a sequence, so that the result does not depend on the number of threads.
    void backward(const T* gy, T* gx, T* gdelta, T* gA, T* gB, T* gC, int threads) const {
        const Index D = inner(), N = states(), M = D * N;
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> history((2 * length + 1) * M), work(M + 3 * D);
            T *h = history.data(), *a = h + (length + 1) * M;  // h[0] is the state before the first sample
            T *g = work.data(), *gu = g + M, *gd = gu + D, *u = gd + D;
#pragma omp for schedule(static)
            for (Index s = 0; s < batch; ++s) {
                std::fill(h, h + M, T(0));
                for (Index t = 0; t < length; ++t) {
                    const Index row = s * length + t;
                    advance(x + row * D, delta + row * D, B + row * N, h + t * M, a + t * M, h + (t + 1) * M);
                }
                std::fill(g, g + M, T(0));
                T* ga = gA + s * M;
                std::fill(ga, ga + M, T(0));
                for (Index t = length - 1; t >= 0; --t) {
                    const Index row = s * length + t;
                    const T *xt = x + row * D, *dt = delta + row * D, *gyt = gy + row * D;
                    const T *at = a + t * M, *before = h + t * M, *after = before + M;
                    for (Index i = 0; i < D; ++i) {
                        u[i] = dt[i] * xt[i];
                        gu[i] = gd[i] = T(0);
                    }
                    for (Index j = 0; j < N; ++j) {
                        const T bt = B[row * N + j], ct = C[row * N + j];
                        T sum_b = 0, sum_c = 0;
#pragma omp simd reduction(+ : sum_b, sum_c)
                        for (Index i = 0; i < D; ++i) {
                            const Index k = j * D + i;
                            const T gh = g[k] + ct * gyt[i];   // gradient of this sample's state
                            sum_c += gyt[i] * after[k];
                            sum_b += gh * u[i];
                            gu[i] += gh * bt;
                            const T back = gh * at[k];
                            const T ge = back * before[k];     // gradient of delta * A
                            gd[i] += ge * A[k];
                            ga[k] += ge * dt[i];
                            g[k] = back;
                        }
                        gB[row * N + j] = sum_b;
                        gC[row * N + j] = sum_c;
                    }
                    for (Index i = 0; i < D; ++i) {
                        gx[row * D + i] = gu[i] * dt[i];
                        gdelta[row * D + i] = gd[i] + gu[i] * xt[i];
                    }
                }
            }
        }
    }
};

template <class T>
void selective_forward(const Index* size, const T* x, const T* delta, const T* A, const T* B, const T* C, T* y, T* h_last,
                       int threads) {
    if (size[2] == 16 && size[3] == 8)
        Selective<T, 16, 8>{size[0], size[1], 16, 8, x, delta, A, B, C}.forward(y, h_last, threads);
    else
        Selective<T, 0, 0>{size[0], size[1], size[2], size[3], x, delta, A, B, C}.forward(y, h_last, threads);
}

template <class T>
void selective_backward(const Index* size, const T* x, const T* delta, const T* A, const T* B, const T* C, const T* gy, T* gx,
                        T* gdelta, T* gA, T* gB, T* gC, int threads) {
    if (size[2] == 16 && size[3] == 8)
        Selective<T, 16, 8>{size[0], size[1], 16, 8, x, delta, A, B, C}.backward(gy, gx, gdelta, gA, gB, gC, threads);
    else
        Selective<T, 0, 0>{size[0], size[1], size[2], size[3], x, delta, A, B, C}.backward(gy, gx, gdelta, gA, gB, gC, threads);
}

// h[t] = a[t] h[t-1] + b[t], all (batch, length, width).
template <class T>
void linear_forward(Index batch, Index length, Index width, const T* a, const T* b, T* h, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Index s = 0; s < batch; ++s) {
        const Index first = s * length * width;
        std::copy(b + first, b + first + width, h + first);
        for (Index t = 1; t < length; ++t) {
            const Index k = first + t * width;
#pragma omp simd
            for (Index i = 0; i < width; ++i) h[k + i] = a[k + i] * h[k - width + i] + b[k + i];
        }
    }
}

// gb[t] = gh[t] + a[t+1] gb[t+1];  ga[t] = gb[t] h[t-1].
template <class T>
void linear_backward(Index batch, Index length, Index width, const T* a, const T* h, const T* gh, T* ga, T* gb, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Index s = 0; s < batch; ++s) {
        const Index first = s * length * width;
        for (Index t = length - 1; t >= 0; --t) {
            const Index k = first + t * width;
            if (t == length - 1)
                std::copy(gh + k, gh + k + width, gb + k);
            else {
#pragma omp simd
                for (Index i = 0; i < width; ++i) gb[k + i] = gh[k + i] + a[k + width + i] * gb[k + width + i];
            }
            if (t == 0)
                std::fill(ga + k, ga + k + width, T(0));
            else {
#pragma omp simd
                for (Index i = 0; i < width; ++i) ga[k + i] = gb[k + i] * h[k - width + i];
            }
        }
    }
}

}  // namespace

#define VENOM_SCAN(T, suffix)                                                                                                  \
    extern "C" void venom_selective_forward_##suffix(const Index* size, const T* x, const T* delta, const T* A, const T* B,    \
                                                     const T* C, T* y, T* h_last, int threads) {                               \
        selective_forward<T>(size, x, delta, A, B, C, y, h_last, threads);                                                     \
    }                                                                                                                          \
    extern "C" void venom_selective_backward_##suffix(const Index* size, const T* x, const T* delta, const T* A, const T* B,   \
                                                      const T* C, const T* gy, T* gx, T* gdelta, T* gA, T* gB, T* gC,          \
                                                      int threads) {                                                           \
        selective_backward<T>(size, x, delta, A, B, C, gy, gx, gdelta, gA, gB, gC, threads);                                   \
    }                                                                                                                          \
    extern "C" void venom_linear_forward_##suffix(const Index* size, const T* a, const T* b, T* h, int threads) {              \
        linear_forward<T>(size[0], size[1], size[2], a, b, h, threads);                                                        \
    }                                                                                                                          \
    extern "C" void venom_linear_backward_##suffix(const Index* size, const T* a, const T* h, const T* gh, T* ga, T* gb,       \
                                                   int threads) {                                                              \
        linear_backward<T>(size[0], size[1], size[2], a, h, gh, ga, gb, threads);                                              \
    }

VENOM_SCAN(float, float32)
VENOM_SCAN(double, float64)
