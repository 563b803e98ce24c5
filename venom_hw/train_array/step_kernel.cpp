// Loss and gradient of many small VENOM networks at once, on the CPU: pixel p has parameters of its own and a batch of its own.
//
// One thread takes one pixel at a time and goes through its pulses: forward and backward of a pulse run over buffers of the
// thread (a few hundred kB, in the second-level cache), stage by stage, so nothing of the size of a batch is ever written to
// memory and no operation has a cost of its own. A pixel's sums run over its pulses in order: a pixel's result depends neither
// on the number of threads nor on its neighbours, to the last bit.
//
// Names as in venom_hw/model: D d_model, E d_inner, N d_state, K d_conv, H hidden width of the head. Weights are (out, in) as
// in PyTorch; `offset` says where each lies in a pixel's row (order: step_kernel.py). The sizes 16, 16, 8, 4, 32 are compiled in.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../model/exponential.h"

namespace {

using Index = std::int64_t;

template <class T>
inline T sigmoid(T x) { return T(1) / (T(1) + exponential(-x)); }

// log(1 + exp(x)) with a small relative error everywhere: log1p(u) = 2 artanh(u / (2 + u)), u in (0, 1].
inline float softplus(float x) {
    const float u = exponential(x < 0 ? x : -x), s = u / (2.0f + u), q = s * s;
    float p = 1.0f / 15.0f;
    p = p * q + 1.0f / 13.0f;
    p = p * q + 1.0f / 11.0f;
    p = p * q + 1.0f / 9.0f;
    p = p * q + 1.0f / 7.0f;
    p = p * q + 1.0f / 5.0f;
    p = p * q + 1.0f / 3.0f;
    return (x > 0 ? x : 0.0f) + 2.0f * (s + s * q * p);
}
inline double softplus(double x) { return (x > 0 ? x : 0.0) + std::log1p(std::exp(x < 0 ? x : -x)); }

constexpr int LANES = 16;
template <class T>
struct Lanes { typedef T type __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias)); };
template <class T>
inline typename Lanes<T>::type load(const T* p) { return *reinterpret_cast<const typename Lanes<T>::type*>(p); }
template <class T>
inline void store(T* p, typename Lanes<T>::type v) { *reinterpret_cast<typename Lanes<T>::type*>(p) = v; }

// The sums over the lanes of eight vectors, to[0..7], by a tree that halves vectors and lanes together.
template <class T>
inline void sum_lanes(const typename Lanes<T>::type (&v)[8], T* to) {
    using V = typename Lanes<T>::type;
    V four[4], two[2];
    for (int i = 0; i < 4; ++i)
        four[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                  __builtin_shufflevector(v[2 * i], v[2 * i + 1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    for (int i = 0; i < 2; ++i)
        two[i] = __builtin_shufflevector(four[2 * i], four[2 * i + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
                 __builtin_shufflevector(four[2 * i], four[2 * i + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    const V one = __builtin_shufflevector(two[0], two[1], 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
                  __builtin_shufflevector(two[0], two[1], 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    const V sums = one + __builtin_shufflevector(one, one, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15);
    for (int i = 0; i < 8; ++i) to[i] = sums[2 * i];
}

// A few numbers that sums are collected in: on the stack where the size is known.
template <class T, int SIZE>
struct Sums {
    T v[SIZE] = {};
    explicit Sums(Index) {}
    T& operator[](Index i) { return v[i]; }
};
template <class T>
struct Sums<T, 0> {
    std::vector<T> v;
    explicit Sums(Index size) : v(size) {}
    T& operator[](Index i) { return v[i]; }
};

// y (rows, M) = x (rows, K) w (K, M) + bias, or added to y where bias is null and `add`.
template <int K_, int M_, class T>
inline void multiply(Index rows, Index k_, Index m_, const T* x, const T* w, const T* bias, T* y, bool add) {
    const Index K = K_ ? K_ : k_, M = M_ ? M_ : m_;
    if constexpr (M_ > 0 && M_ % LANES == 0) {
        using V = typename Lanes<T>::type;
        constexpr int BLOCKS = M_ / LANES, ROWS = 4;
        auto some = [&]<int R>(Index t) {
            V sum[R][BLOCKS];
            for (int r = 0; r < R; ++r)
                for (int b = 0; b < BLOCKS; ++b) sum[r][b] = bias ? load(bias + b * LANES) : add ? load(y + (t + r) * M + b * LANES) : V{};
            for (Index k = 0; k < K; ++k)
                for (int b = 0; b < BLOCKS; ++b) {
                    const V row = load(w + k * M + b * LANES);
                    for (int r = 0; r < R; ++r) sum[r][b] += x[(t + r) * K + k] * row;
                }
            for (int r = 0; r < R; ++r)
                for (int b = 0; b < BLOCKS; ++b) store(y + (t + r) * M + b * LANES, sum[r][b]);
        };
        Index t = 0;
        for (; t + ROWS <= rows; t += ROWS) some.template operator()<ROWS>(t);
        for (; t < rows; ++t) some.template operator()<1>(t);
    } else {
        for (Index t = 0; t < rows; ++t) {
            T* out = y + t * M;
            for (Index m = 0; m < M; ++m) out[m] = bias ? bias[m] : add ? out[m] : T(0);
            for (Index k = 0; k < K; ++k)
                for (Index m = 0; m < M; ++m) out[m] += x[t * K + k] * w[k * M + m];
        }
    }
}

// g (M, K) += sum over rows of dy (rows, M) times x (rows, K): the gradient of a weight.
template <int M_, int K_, class T>
inline void accumulate(Index rows, Index m_, Index k_, const T* dy, const T* x, T* g) {
    const Index K = K_ ? K_ : k_, M = M_ ? M_ : m_;
    if constexpr (K_ > 0 && K_ % LANES == 0 && M_ > 0 && M_ % 8 == 0) {
        using V = typename Lanes<T>::type;
        constexpr int R = 8;
        for (Index m = 0; m < M; m += R)
            for (Index k = 0; k < K; k += LANES) {
                V sum[R];
                for (int r = 0; r < R; ++r) sum[r] = load(g + (m + r) * K + k);
                for (Index t = 0; t < rows; ++t) {
                    const V row = load(x + t * K + k);
                    for (int r = 0; r < R; ++r) sum[r] += dy[t * M + m + r] * row;
                }
                for (int r = 0; r < R; ++r) store(g + (m + r) * K + k, sum[r]);
            }
    } else {
        for (Index t = 0; t < rows; ++t)
            for (Index m = 0; m < M; ++m)
                for (Index k = 0; k < K; ++k) g[m * K + k] += dy[t * M + m] * x[t * K + k];
    }
}

template <class T>
void transpose(Index rows, Index columns, const T* from, T* to) {
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

// Where a pixel's tensors lie: input projection, head, then per layer.
enum Global { INPUT_W, INPUT_B, NORM_W, NORM_B, QUERY, FC1_W, FC1_B, FC2_W, FC2_B, FC3_W, FC3_B, GLOBALS };
enum Local { L_NORM_W, L_NORM_B, IN_PROJ, CONV_W, CONV_B, B_PROJ, C_PROJ, DT_W, DT_B, LOG_NEG_A, SKIP, OUT_PROJ, LOCALS };

template <class T, int D_, int E_, int N_, int K_, int H_>
struct Pixel {
    static constexpr int P_ = E_ ? E_ + 2 * N_ : 0, Z_ = 2 * E_;
    Index d, e, n, k, hidden, layers, parameters;
    T eps;
    const Index* offset;
    Index D() const { return D_ ? D_ : d; }
    Index E() const { return E_ ? E_ : e; }
    Index N() const { return N_ ? N_ : n; }
    Index K() const { return K_ ? K_ : k; }
    Index H() const { return H_ ? H_ : hidden; }
    Index at(int name) const { return offset[name]; }
    Index at(Index layer, int name) const { return offset[GLOBALS + layer * LOCALS + name]; }

    // Weights of a pixel as the loops want them: (in, out), dt, B and C in one.
    struct Layer { std::vector<T> in, projection, projection_t, bias, conv, A, out; };
    struct Weights { std::vector<T> input, fc1, fc2; std::vector<Layer> layer; };
    // Activations of a pulse that the backward pass needs.
    struct Trace { std::vector<T> hat, rstd, normed, xp, z, gate, silu, xc, sx, xs, projected, delta, sv, a, h, y, o, wide; };
    struct Buffers { std::vector<Trace> layer; std::vector<T> r, hat, rstd, f, w, dr, dx, dp, dd, dy, dz, dwide, narrow; };

    void prepare(const T* p, Weights& w) const {
        const Index D = this->D(), E = this->E(), N = this->N(), K = this->K(), H = this->H(), M = E + 2 * N;
        w.input.resize(2 * D), w.fc1.resize(D * H), w.fc2.resize(H * H), w.layer.resize(layers);
        transpose(D, 2, p + at(INPUT_W), w.input.data());
        transpose(H, D, p + at(FC1_W), w.fc1.data());
        transpose(H, H, p + at(FC2_W), w.fc2.data());
        for (Index l = 0; l < layers; ++l) {
            Layer& one = w.layer[l];
            one.in.resize(2 * E * D), one.projection.resize(M * E), one.projection_t.resize(M * E), one.bias.assign(M, T(0));
            one.conv.resize(K * E), one.A.resize(E * N), one.out.resize(E * D);
            transpose(2 * E, D, p + at(l, IN_PROJ), one.in.data());
            std::copy_n(p + at(l, DT_W), E * E, one.projection.data());
            std::copy_n(p + at(l, B_PROJ), N * E, one.projection.data() + E * E);
            std::copy_n(p + at(l, C_PROJ), N * E, one.projection.data() + E * E + N * E);
            transpose(M, E, one.projection.data(), one.projection_t.data());
            std::copy_n(p + at(l, DT_B), E, one.bias.data());
            transpose(E, K, p + at(l, CONV_W), one.conv.data());
            transpose(E, N, p + at(l, LOG_NEG_A), one.A.data());
            for (T& v : one.A) v = -std::exp(v);
            transpose(D, E, p + at(l, OUT_PROJ), one.out.data());
        }
    }

    void reserve(Index length, Buffers& b) const {
        const Index D = this->D(), E = this->E(), N = this->N(), M = E + 2 * N;
        b.layer.resize(layers);
        for (Trace& t : b.layer) {
            for (auto* v : {&t.hat, &t.normed}) v->resize(length * D);
            t.rstd.resize(length), t.projected.resize(length * M), t.wide.resize(length * 2 * E);
            for (auto* v : {&t.xp, &t.z, &t.gate, &t.silu, &t.xc, &t.sx, &t.xs, &t.delta, &t.sv, &t.y, &t.o}) v->resize(length * E);
            t.a.resize(length * N * E), t.h.resize((length + 1) * N * E);
        }
        for (auto* v : {&b.r, &b.hat, &b.f, &b.dr}) v->resize(length * D);
        for (auto* v : {&b.dx, &b.dd, &b.dy, &b.dz}) v->resize(length * E);
        b.rstd.resize(length), b.w.resize(length), b.dp.resize(length * M), b.dwide.resize(length * 2 * E), b.narrow.resize(length * D);
    }

    void normalise(Index length, const T* r, const T* weight, const T* bias, T* hat, T* rstd, T* out) const {
        const Index D = this->D();
        for (Index t = 0; t < length; ++t) {
            const T* __restrict x = r + t * D;
            T *__restrict to_hat = hat + t * D, *__restrict to = out + t * D;
            T sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
            for (Index i = 0; i < D; ++i) sum += x[i];
            const T mean = sum / T(D);
#pragma omp simd reduction(+ : square)
            for (Index i = 0; i < D; ++i) square += (x[i] - mean) * (x[i] - mean);
            const T scale = T(1) / std::sqrt(square / T(D) + eps);
            rstd[t] = scale;
#pragma omp simd
            for (Index i = 0; i < D; ++i) {
                to_hat[i] = (x[i] - mean) * scale;
                to[i] = to_hat[i] * weight[i] + bias[i];
            }
        }
    }

    // dr (+)= gradient through the layer norm; gw, gb are added to.
    void normalise_back(Index length, const T* dy, const T* weight, const T* hat, const T* rstd, T* dr, T* gw, T* gb, bool add) const {
        const Index D = this->D();
        Sums<T, D_> sum_w(D), sum_b(D);
        for (Index t = 0; t < length; ++t) {
            const T* __restrict g = dy + t * D;
            const T* __restrict x = hat + t * D;
            T* __restrict to = dr + t * D;
            T sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
            for (Index i = 0; i < D; ++i) {
                sum += g[i] * weight[i];
                dot += g[i] * weight[i] * x[i];
            }
            sum /= T(D), dot /= T(D);
#pragma omp simd
            for (Index i = 0; i < D; ++i) {
                const T through = rstd[t] * (g[i] * weight[i] - sum - x[i] * dot);
                to[i] = add ? to[i] + through : through;
                sum_w[i] += g[i] * x[i];
                sum_b[i] += g[i];
            }
        }
        for (Index i = 0; i < D; ++i) gw[i] += sum_w[i], gb[i] += sum_b[i];
    }

    // sigmoid(x) and silu(x) = x sigmoid(x).
    static void activate(Index count, const T* __restrict x, T* __restrict s, T* __restrict silu) {
#pragma omp simd
        for (Index i = 0; i < count; ++i) {
            s[i] = sigmoid(x[i]);
            silu[i] = x[i] * s[i];
        }
    }

    void layer_forward(Index length, const T* p, Index l, const Layer& w, Trace& s, T* r) const {
        const Index D = this->D(), E = this->E(), N = this->N(), K = this->K(), M = E + 2 * N;
        normalise(length, r, p + at(l, L_NORM_W), p + at(l, L_NORM_B), s.hat.data(), s.rstd.data(), s.normed.data());
        multiply<D_, Z_>(length, D, 2 * E, s.normed.data(), w.in.data(), static_cast<const T*>(nullptr), s.wide.data(), false);
        for (Index t = 0; t < length; ++t) {
            std::copy_n(s.wide.data() + t * 2 * E, E, s.xp.data() + t * E);
            std::copy_n(s.wide.data() + t * 2 * E + E, E, s.z.data() + t * E);
        }
        const T* bias = p + at(l, CONV_B);
        for (Index t = 0; t < length; ++t) {
            Sums<T, E_> sum(E);
#pragma omp simd
            for (Index i = 0; i < E; ++i) sum[i] = bias[i];
            for (Index back = 0; back < std::min(K, t + 1); ++back) {
                const T *tap = w.conv.data() + (K - 1 - back) * E, *x = s.xp.data() + (t - back) * E;
#pragma omp simd
                for (Index i = 0; i < E; ++i) sum[i] += tap[i] * x[i];
            }
            std::copy_n(&sum[0], E, s.xc.data() + t * E);
        }
        activate(length * E, s.xc.data(), s.sx.data(), s.xs.data());
        activate(length * E, s.z.data(), s.gate.data(), s.silu.data());
        multiply<E_, P_>(length, E, M, s.xs.data(), w.projection_t.data(), w.bias.data(), s.projected.data(), false);
        for (Index t = 0; t < length; ++t) {
            const T* __restrict v = s.projected.data() + t * M;
            T *__restrict delta = s.delta.data() + t * E, *__restrict slope = s.sv.data() + t * E;
#pragma omp simd
            for (Index i = 0; i < E; ++i) {
                delta[i] = softplus(v[i]);
                slope[i] = sigmoid(v[i]);
            }
        }
        scan_forward(length, p + at(l, SKIP), w, s);
        const T* __restrict y = s.y.data();
        const T* __restrict silu = s.silu.data();
        T* __restrict o = s.o.data();
#pragma omp simd
        for (Index i = 0; i < length * E; ++i) o[i] = y[i] * silu[i];
        multiply<E_, D_>(length, E, D, s.o.data(), w.out.data(), static_cast<const T*>(nullptr), r, true);
    }

    // h = exp(delta A) h + delta B x, y = C h + skip x, keeping decays and states.
    void scan_forward(Index length, const T* skip, const Layer& w, Trace& s) const {
        const Index E = this->E(), N = this->N(), M = E + 2 * N, S = N * E;
        std::fill_n(s.h.data(), S, T(0));
        for (Index t = 0; t < length; ++t) {
            const T* __restrict dt = s.delta.data() + t * E;
            const T* __restrict xt = s.xs.data() + t * E;
            const T* __restrict bt = s.projected.data() + t * M + E;
            const T* __restrict before = s.h.data() + t * S;
            const T* __restrict A = w.A.data();
            const T* ct = bt + N;
            T* __restrict after = s.h.data() + (t + 1) * S;
            T* __restrict a = s.a.data() + t * S;
            Sums<T, E_> y(E);
#pragma omp simd
            for (Index i = 0; i < E; ++i) y[i] = skip[i] * xt[i];
            for (Index j = 0; j < N; ++j) {
#pragma omp simd
                for (Index i = 0; i < E; ++i) {
                    a[j * E + i] = exponential(dt[i] * A[j * E + i]);
                    const T h = a[j * E + i] * before[j * E + i] + dt[i] * xt[i] * bt[j];
                    after[j * E + i] = h;
                    y[i] += ct[j] * h;
                }
            }
#pragma omp simd
            for (Index i = 0; i < E; ++i) s.y[t * E + i] = y[i];
        }
    }

    // From b.dy: b.dx, b.dp (gradients of delta before its softplus, of B, of C); g_skip, g_decay are added to.
    void scan_backward(Index length, const T* skip, const Layer& w, const Trace& s, Buffers& b, T* g_skip, T* g_decay) const {
        const Index E = this->E(), N = this->N(), M = E + 2 * N, S = N * E;
        std::vector<T> work(2 * S);
        T* __restrict back = work.data();
        T* __restrict gA = back + S;
        const T* __restrict A = w.A.data();
        Sums<T, E_> sum_skip(E);
        for (Index t = length - 1; t >= 0; --t) {
            const T* __restrict dt = s.delta.data() + t * E;
            const T* __restrict xt = s.xs.data() + t * E;
            const T* __restrict dy = b.dy.data() + t * E;
            const T* __restrict bt = s.projected.data() + t * M + E;
            const T* __restrict before = s.h.data() + t * S;
            const T* __restrict a = s.a.data() + t * S;
            const T *ct = bt + N, *after = before + S;
            T* __restrict dp = b.dp.data() + t * M;
            Sums<T, E_> gu(E), gd(E);
            if constexpr (E_ == LANES && N_ == 8) {
                using V = typename Lanes<T>::type;
                const V d = load(dt), u = d * load(xt), out = load(dy);
                V sum_b[N_], sum_c[N_], gu_sum{}, gd_sum{};
                for (int j = 0; j < N_; ++j) {
                    const V gh = load(back + j * E) + ct[j] * out;
                    sum_c[j] = out * load(after + j * E);
                    sum_b[j] = gh * u;
                    gu_sum += gh * bt[j];
                    const V through = gh * load(a + j * E), ge = through * load(before + j * E);
                    gd_sum += ge * load(A + j * E);
                    store(gA + j * E, load(gA + j * E) + ge * d);
                    store(back + j * E, through);
                }
                sum_lanes<T>(sum_b, dp + E);
                sum_lanes<T>(sum_c, dp + E + N);
                store(&gu[0], gu_sum);
                store(&gd[0], gd_sum);
            } else {
                for (Index j = 0; j < N; ++j) {
                    T sum_b = 0, sum_c = 0;
                    for (Index i = 0; i < E; ++i) {
                        const Index q = j * E + i;
                        const T gh = back[q] + ct[j] * dy[i];
                        sum_c += dy[i] * after[q];
                        sum_b += gh * dt[i] * xt[i];
                        gu[i] += gh * bt[j];
                        const T through = gh * a[q], ge = through * before[q];
                        gd[i] += ge * A[q];
                        gA[q] += ge * dt[i];
                        back[q] = through;
                    }
                    dp[E + j] = sum_b;
                    dp[E + N + j] = sum_c;
                }
            }
#pragma omp simd
            for (Index i = 0; i < E; ++i) {
                sum_skip[i] += dy[i] * xt[i];
                b.dx[t * E + i] = dy[i] * skip[i] + gu[i] * dt[i];
                dp[i] = (gd[i] + gu[i] * xt[i]) * s.sv[t * E + i];
            }
        }
        for (Index i = 0; i < E; ++i) g_skip[i] += sum_skip[i];
        for (Index j = 0; j < N; ++j)
            for (Index i = 0; i < E; ++i) g_decay[i * N + j] += gA[j * E + i] * A[j * E + i];  // A = -exp(log_neg_A)
    }

    // b.dr holds the gradient of the layer's output and gets that of its input.
    void layer_backward(Index length, const T* p, T* g, Index l, const Layer& w, const Trace& s, Buffers& b) const {
        const Index D = this->D(), E = this->E(), N = this->N(), K = this->K(), M = E + 2 * N;
        multiply<D_, E_>(length, D, E, b.dr.data(), p + at(l, OUT_PROJ), static_cast<const T*>(nullptr), b.dy.data(), false);
        accumulate<D_, E_>(length, D, E, b.dr.data(), s.o.data(), g + at(l, OUT_PROJ));
        const T* __restrict gate = s.gate.data();
        const T* __restrict silu = s.silu.data();
        const T* __restrict y = s.y.data();
        T* __restrict dy = b.dy.data();
        T* __restrict dz = b.dz.data();
#pragma omp simd
        for (Index i = 0; i < length * E; ++i) {
            dz[i] = dy[i] * y[i] * (gate[i] + silu[i] * (T(1) - gate[i]));
            dy[i] *= silu[i];
        }
        scan_backward(length, p + at(l, SKIP), w, s, b, g + at(l, SKIP), g + at(l, LOG_NEG_A));
        multiply<P_, E_>(length, M, E, b.dp.data(), w.projection.data(), static_cast<const T*>(nullptr), b.dx.data(), true);
        std::vector<T> gp(M * E, T(0));
        accumulate<P_, E_>(length, M, E, b.dp.data(), s.xs.data(), gp.data());
        auto add = [&](Index from, Index count, T* to) { for (Index i = 0; i < count; ++i) to[i] += gp[from + i]; };
        add(0, E * E, g + at(l, DT_W));
        add(E * E, N * E, g + at(l, B_PROJ));
        add(E * E + N * E, N * E, g + at(l, C_PROJ));
        T *g_bias = g + at(l, DT_B), *g_conv_bias = g + at(l, CONV_B), *g_conv = g + at(l, CONV_W);
        Sums<T, E_> sum_dt(E), sum_conv(E);
        for (Index t = 0; t < length; ++t) {
            const T* __restrict dp = b.dp.data() + t * M;
            const T *__restrict sx = s.sx.data() + t * E, *__restrict xs = s.xs.data() + t * E;
            T* __restrict dx = b.dx.data() + t * E;
#pragma omp simd
            for (Index i = 0; i < E; ++i) {
                sum_dt[i] += dp[i];
                dx[i] *= sx[i] + xs[i] * (T(1) - sx[i]);
                sum_conv[i] += dx[i];
            }
        }
        for (Index i = 0; i < E; ++i) g_bias[i] += sum_dt[i], g_conv_bias[i] += sum_conv[i];
        Sums<T, K_ * E_> gc(K * E);
        for (Index t = 0; t < length; ++t) {
            const T* __restrict x = s.xp.data() + t * E;
            T* __restrict out = b.dwide.data() + t * 2 * E;
            Sums<T, E_> sum(E);
            for (Index ahead = 0; ahead < std::min(K, length - t); ++ahead) {
                const Index tap = (K - 1 - ahead) * E;
                const T *__restrict weight = w.conv.data() + tap, *__restrict dx = b.dx.data() + (t + ahead) * E;
#pragma omp simd
                for (Index i = 0; i < E; ++i) {
                    sum[i] += weight[i] * dx[i];
                    gc[tap + i] += dx[i] * x[i];
                }
            }
            std::copy_n(&sum[0], E, out);
            std::copy_n(b.dz.data() + t * E, E, out + E);
        }
        for (Index j = 0; j < K; ++j)
            for (Index i = 0; i < E; ++i) g_conv[i * K + j] += gc[j * E + i];
        multiply<Z_, D_>(length, 2 * E, D, b.dwide.data(), p + at(l, IN_PROJ), static_cast<const T*>(nullptr), b.narrow.data(), false);
        accumulate<Z_, D_>(length, 2 * E, D, b.dwide.data(), s.normed.data(), g + at(l, IN_PROJ));
        normalise_back(length, b.narrow.data(), p + at(l, L_NORM_W), s.hat.data(), s.rstd.data(), b.dr.data(), g + at(l, L_NORM_W),
                       g + at(l, L_NORM_B), true);
    }

    static T gelu(T x, T& slope) {
        const T half = T(0.5) * (T(1) + std::erf(x * T(0.70710678118654752440)));
        slope = half + x * T(0.39894228040143267794) * std::exp(T(-0.5) * x * x);
        return x * half;
    }

    struct Head { std::vector<T> pooled, s1, a1, s2, a2; T mu, logvar; };

    void forward(Index length, const T* p, const Weights& w, const T* x, Buffers& b, Head& head) const {
        const Index D = this->D(), H = this->H();
        multiply<2, D_>(length, 2, D, x, w.input.data(), p + at(INPUT_B), b.r.data(), false);
        for (Index l = 0; l < layers; ++l) layer_forward(length, p, l, w.layer[l], b.layer[l], b.r.data());
        normalise(length, b.r.data(), p + at(NORM_W), p + at(NORM_B), b.hat.data(), b.rstd.data(), b.f.data());
        const T* query = p + at(QUERY);
        T largest = -INFINITY, total = 0;
        for (Index t = 0; t < length; ++t) {
            T score = 0;
            const T* __restrict f = b.f.data() + t * D;
#pragma omp simd reduction(+ : score)
            for (Index i = 0; i < D; ++i) score += f[i] * query[i];
            b.w[t] = score;
            largest = score > largest || score != score ? score : largest;
        }
        for (Index t = 0; t < length; ++t) total += b.w[t] = exponential(b.w[t] - largest);
        Sums<T, D_> pooled(D);
        for (Index t = 0; t < length; ++t) {
            const T weight = b.w[t] /= total;
            const T* __restrict f = b.f.data() + t * D;
#pragma omp simd
            for (Index i = 0; i < D; ++i) pooled[i] += weight * f[i];
        }
        head.pooled.assign(&pooled[0], &pooled[0] + D);
        for (auto* v : {&head.s1, &head.a1, &head.s2, &head.a2}) v->resize(H);
        multiply<D_, H_>(1, D, H, head.pooled.data(), w.fc1.data(), p + at(FC1_B), head.a1.data(), false);
        for (Index i = 0; i < H; ++i) head.a1[i] = gelu(head.a1[i], head.s1[i]);
        multiply<H_, H_>(1, H, H, head.a1.data(), w.fc2.data(), p + at(FC2_B), head.a2.data(), false);
        for (Index i = 0; i < H; ++i) head.a2[i] = gelu(head.a2[i], head.s2[i]);
        const T *fc3 = p + at(FC3_W), *bias = p + at(FC3_B);
        head.mu = bias[0], head.logvar = bias[1];
        for (Index i = 0; i < H; ++i) {
            head.mu += fc3[i] * head.a2[i];
            head.logvar += fc3[H + i] * head.a2[i];
        }
    }

    void backward(Index length, const T* p, T* g, const Weights& w, const T* x, Buffers& b, Head& head, T d_mu, T d_logvar) const {
        const Index D = this->D(), H = this->H();
        const T* fc3 = p + at(FC3_W);
        T* g3 = g + at(FC3_W);
        std::vector<T> d2(H), d1(H), dpooled(D);
        g[at(FC3_B)] += d_mu, g[at(FC3_B) + 1] += d_logvar;
        for (Index i = 0; i < H; ++i) {
            g3[i] += d_mu * head.a2[i];
            g3[H + i] += d_logvar * head.a2[i];
            d2[i] = (d_mu * fc3[i] + d_logvar * fc3[H + i]) * head.s2[i];
            g[at(FC2_B) + i] += d2[i];
        }
        accumulate<H_, H_>(1, H, H, d2.data(), head.a1.data(), g + at(FC2_W));
        multiply<H_, H_>(1, H, H, d2.data(), p + at(FC2_W), static_cast<const T*>(nullptr), d1.data(), false);
        for (Index i = 0; i < H; ++i) g[at(FC1_B) + i] += d1[i] *= head.s1[i];
        accumulate<H_, D_>(1, H, D, d1.data(), head.pooled.data(), g + at(FC1_W));
        multiply<H_, D_>(1, H, D, d1.data(), p + at(FC1_W), static_cast<const T*>(nullptr), dpooled.data(), false);
        const T* query = p + at(QUERY);
        T *g_query = g + at(QUERY), centre = 0;
        Sums<T, D_> sum_query(D);
        for (Index i = 0; i < D; ++i) centre += dpooled[i] * head.pooled[i];
        for (Index t = 0; t < length; ++t) {
            const T* __restrict f = b.f.data() + t * D;
            const T* __restrict d = dpooled.data();
            T* __restrict to = b.narrow.data() + t * D;
            T slope = 0;
#pragma omp simd reduction(+ : slope)
            for (Index i = 0; i < D; ++i) slope += d[i] * f[i];
            const T weight = b.w[t];
            slope = weight * (slope - centre);
#pragma omp simd
            for (Index i = 0; i < D; ++i) {
                to[i] = weight * d[i] + slope * query[i];
                sum_query[i] += slope * f[i];
            }
        }
        for (Index i = 0; i < D; ++i) g_query[i] += sum_query[i];
        normalise_back(length, b.narrow.data(), p + at(NORM_W), b.hat.data(), b.rstd.data(), b.dr.data(), g + at(NORM_W), g + at(NORM_B),
                       false);
        for (Index l = layers - 1; l >= 0; --l) layer_backward(length, p, g, l, w.layer[l], b.layer[l], b);
        Sums<T, D_> sum_i(D), sum_q(D), sum_1(D);
        for (Index t = 0; t < length; ++t) {
            const T* __restrict dr = b.dr.data() + t * D;
#pragma omp simd
            for (Index i = 0; i < D; ++i) {
                sum_i[i] += dr[i] * x[2 * t];
                sum_q[i] += dr[i] * x[2 * t + 1];
                sum_1[i] += dr[i];
            }
        }
        for (Index i = 0; i < D; ++i) {
            g[at(INPUT_W) + 2 * i] += sum_i[i];
            g[at(INPUT_W) + 2 * i + 1] += sum_q[i];
            g[at(INPUT_B) + i] += sum_1[i];
        }
    }
};

// counts (pixels, batch, length, 2) int16, mean and scale (pixels, 2); lengths (pixels, batch) valid samples.
template <class P, class T>
void run(const P& pixel, Index pixels, Index batch, Index length, const T* parameters, const std::int16_t* counts, const T* mean,
         const T* std, const Index* lengths, const T* target, int loss, T* losses, T* gradients, T* outputs, int threads) {
#pragma omp parallel num_threads(threads)
    {
        typename P::Weights weights;
        typename P::Buffers buffers;
        typename P::Head head;
        pixel.reserve(length, buffers);
        std::vector<T> x(2 * length);
#pragma omp for schedule(dynamic, 1)
        for (Index one = 0; one < pixels; ++one) {
            const T* p = parameters + one * pixel.parameters;
            T* g = gradients ? gradients + one * pixel.parameters : nullptr;
            pixel.prepare(p, weights);
            if (g) std::fill_n(g, pixel.parameters, T(0));
            T sum = 0;
            for (Index k = 0; k < batch; ++k) {
                const Index row = one * batch + k, valid = lengths[row];
                const std::int16_t* raw = counts + row * length * 2;
                for (Index t = 0; t < 2 * valid; ++t) x[t] = (T(raw[t]) - mean[one * 2 + t % 2]) / std[one * 2 + t % 2];
                pixel.forward(valid, p, weights, x.data(), buffers, head);
                if (outputs) outputs[2 * row] = head.mu, outputs[2 * row + 1] = head.logvar;
                if (!g) continue;
                const T error = head.mu - target[row], inverse = std::exp(-head.logvar);
                T d_mu, d_logvar = 0;
                if (loss == 0) {
                    sum += T(0.5) * (head.logvar + error * error * inverse);
                    d_mu = error * inverse / T(batch);
                    d_logvar = T(0.5) * (T(1) - error * error * inverse) / T(batch);
                } else {
                    sum += error * error;
                    d_mu = T(2) * error / T(batch);
                }
                pixel.backward(valid, p, g, weights, x.data(), buffers, head, d_mu, d_logvar);
            }
            if (losses) losses[one] = sum / T(batch);
        }
    }
}

// size: pixels, batch, length, d_model, d_inner, d_state, d_conv, hidden, layers, parameters of a pixel, loss (0 NLL, 1 MSE).
template <class T>
void dispatch(const Index* s, const Index* offset, double eps, const T* parameters, const std::int16_t* counts, const T* mean,
              const T* std, const Index* lengths, const T* target, T* losses, T* gradients, T* outputs, int threads) {
    auto go = [&](const auto& pixel) {
        run(pixel, s[0], s[1], s[2], parameters, counts, mean, std, lengths, target, int(s[10]), losses, gradients, outputs, threads);
    };
    if (s[3] == 16 && s[4] == 16 && s[5] == 8 && s[6] == 4 && s[7] == 32)
        go(Pixel<T, 16, 16, 8, 4, 32>{16, 16, 8, 4, 32, s[8], s[9], T(eps), offset});
    else
        go(Pixel<T, 0, 0, 0, 0, 0>{s[3], s[4], s[5], s[6], s[7], s[8], s[9], T(eps), offset});
}

}  // namespace

#define VENOM_STEP(T, suffix)                                                                                                       \
    extern "C" void venom_step_##suffix(const Index* size, const Index* offset, double eps, const T* parameters,                    \
                                        const std::int16_t* counts, const T* mean, const T* std, const Index* lengths,              \
                                        const T* target, T* losses, T* gradients, T* outputs, int threads) {                        \
        dispatch<T>(size, offset, eps, parameters, counts, mean, std, lengths, target, losses, gradients, outputs, threads);        \
    }

VENOM_STEP(float, float32)
VENOM_STEP(double, float64)
