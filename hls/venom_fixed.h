// Integer arithmetic of the datapath for tensors whose binary point differs from element to element.
//
// Such tensors are raw integers (ap_int, ap_uint); the shifts that align or requantise them are constants. Tensors with
// one binary point are ap_fixed, and an assignment rounds and saturates them. Everything here is exact on integers.
#ifndef VENOM_FIXED_H
#define VENOM_FIXED_H

#if defined(__GNUC__) && !defined(__clang__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic push  // the vendor's constructors trim a word before they set it
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <ap_fixed.h>
#include <ap_int.h>
#pragma GCC diagnostic pop
#else
#include <ap_fixed.h>
#include <ap_int.h>
#endif

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic ignored "-Wunused-label"  // labels name the loops in Vitis HLS reports
#endif

// The integer of a fixed-point number: value = raw_bits(value) * 2^-frac.
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
inline ap_int<W> raw_bits(const ap_fixed<W, I, Q, O, N> &value) {
    ap_int<W> bits(0);
    bits.V = value.V;
    return bits;
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
inline ap_uint<W> raw_bits(const ap_ufixed<W, I, Q, O, N> &value) {
    ap_uint<W> bits(0);
    bits.V = value.V;
    return bits;
}

// The fixed-point number with this integer.
template <class T, class R>
inline T from_raw(const R &bits) {
    T value(0);
    value.V = ap_int<T::width>(bits).V;
    return value;
}

// x * 2^shift in R, shift >= 0. Bits that leave R at the top wrap; the datapath's intervals prove that results fit.
template <class R, class X>
inline R shift_left(const X &x, const int shift) {
    R result(0);
    if (shift < R::width) {
        result = R(x) << shift;
    }
    return result;
}

template <class T>
inline T larger(const T &a, const T &b) {
    return a > b ? a : b;
}

// Index into a table that has one entry for each code, from the smallest code on.
template <int W>
inline ap_uint<W> table_index(const ap_int<W> &code) {
    return ap_uint<W>(code) ^ (ap_uint<W>(1) << (W - 1));
}

template <int W>
inline ap_uint<W> table_index(const ap_uint<W> &code) {
    return code;
}

// Zeros above the leading one; W - 1 for zero.
template <int W>
inline ap_uint<W> leading_zeros(const ap_uint<W> &x) {
    ap_uint<W> zeros(W - 1);
    for (int bit = 0; bit < W; bit++) {
        if (x[bit]) {
            zeros = ap_uint<W>(W - 1 - bit);
        }
    }
    return zeros;
}

// x / 2^drop, ties to even; a negative drop is an exact shift to the left. All of it fits in WORK bits.
template <int WORK, class X>
inline ap_int<WORK> round_half_even(const X &x, const int drop) {
    ap_int<WORK> result(x);
    if (drop > 0) {
        const ap_int<WORK> odd((result >> drop) & ap_int<WORK>(1));
        const ap_int<WORK> half(ap_int<WORK>(1) << (drop - 1));
        result = ap_int<WORK>(result + half - ap_int<WORK>(1) + odd) >> drop;
    } else {
        result = result << -drop;
    }
    return result;
}

// x / 2^drop, rounded down.
template <int WORK, class X>
inline ap_int<WORK> round_floor(const X &x, const int drop) {
    ap_int<WORK> result(x);
    if (drop > 0) {
        result = result >> drop;
    } else {
        result = result << -drop;
    }
    return result;
}

// x held to LOW..HIGH, in R.
template <class R, long long LOW, long long HIGH, int W>
inline R saturate(const ap_int<W> &x) {
    R result(x);
    if (x < ap_int<64>(LOW)) {
        result = R(LOW);
    } else if (x > ap_int<64>(HIGH)) {
        result = R(HIGH);
    }
    return result;
}

#endif
