// Streams vectors through a pipeline's ports, each at its own clock; outside its samples an input holds noise.
//   pipeline_sim <samples> <in.bin> <out.bin>
// Ports, latency and interval come from ports.inc: IN(name, bits, clock) / OUT(name, bits, clock), LAST, INTERVAL.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

using Words = std::vector<uint32_t>;
static std::mt19937 noise(1);

static int words_of(int bits) { return (bits + 31) / 32; }
static uint32_t top_mask(int bits) { return bits % 32 ? (1u << bits % 32) - 1 : ~0u; }

template <class T> static void put(T &port, const uint32_t *w, int bits) {
  uint64_t v = w[0];
  if (bits > 32) v |= uint64_t(w[1]) << 32;
  port = static_cast<T>(v);
}
template <std::size_t N> static void put(VlWide<N> &port, const uint32_t *w, int) {
  for (std::size_t i = 0; i < N; ++i) port[i] = w[i];
}
template <class T> static void get(const T &port, uint32_t *w, int bits) {
  w[0] = static_cast<uint32_t>(port);
  if (bits > 32) w[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <std::size_t N> static void get(const VlWide<N> &port, uint32_t *w, int) {
  for (std::size_t i = 0; i < N; ++i) w[i] = port[i];
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const long samples = std::atol(argv[1]);
  std::FILE *in = std::fopen(argv[2], "rb"), *out = std::fopen(argv[3], "wb");
  if (!in || !out) return 2;
  std::vector<std::vector<uint32_t>> given, made;
  std::vector<int> in_bits, out_bits;
#define IN(name, bits, clock) in_bits.push_back(bits);
#define OUT(name, bits, clock) out_bits.push_back(bits);
#include "ports.inc"
#undef IN
#undef OUT
  for (int bits : in_bits) {
    given.emplace_back(words_of(bits) * samples);
    if (std::fread(given.back().data(), 4, given.back().size(), in) != given.back().size()) return 2;
  }
  for (int bits : out_bits) made.emplace_back(words_of(bits) * samples);
  VerilatedContext context;
  context.randReset(2);
  Vtop top{&context};
  uint32_t random_words[4096], seen[4096];
  for (long clock = 0; clock < samples * INTERVAL + LAST + INTERVAL; ++clock) {
    int at = 0;
#if INTERVAL > 1
    top.phase = clock % INTERVAL;
#endif
#define OUT(name, bits, when)
#define IN(name, bits, when)                                                                        \
  {                                                                                                 \
    const long since = clock - (when), t = since < 0 ? -1 : since / INTERVAL;                       \
    const int n = words_of(bits);                                                                   \
    for (int i = 0; i < n; ++i) random_words[i] = noise();                                          \
    random_words[n - 1] &= top_mask(bits);                                                          \
    put(top.name, t >= 0 && t < samples ? &given[at][t * n] : random_words, bits);                  \
    ++at;                                                                                           \
  }
#include "ports.inc"
#undef IN
#undef OUT
    top.clk = 0;
    top.eval();
    at = 0;
#define IN(name, bits, when)
#define OUT(name, bits, when)                                                                       \
  {                                                                                                 \
    const long since = clock - (when), t = since < 0 ? -1 : since / INTERVAL;                       \
    const int n = words_of(bits);                                                                   \
    get(top.name, seen, bits);                                                                      \
    for (int i = 0; t >= 0 && t < samples && i < n; ++i) {                                          \
      if (since % INTERVAL == 0) made[at][t * n + i] = seen[i];                                     \
      else if (made[at][t * n + i] != seen[i]) {                                                    \
        std::printf("%s moves within the interval of sample %ld\n", #name, t);                      \
        return 3;                                                                                   \
      }                                                                                             \
    }                                                                                               \
    ++at;                                                                                           \
  }
#include "ports.inc"
#undef IN
#undef OUT
    top.clk = 1;
    top.eval();
  }
  for (const auto &port : made) std::fwrite(port.data(), 4, port.size(), out);
  std::fclose(out);
  return 0;
}
