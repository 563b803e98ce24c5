// C simulation: drives the design with a vector file and compares every energy word and every state word.
//
//   tb vectors.bin
//
// First pass: beat by beat through the engine, all state words compared after every sample that was used, every energy
// word when its window closes, and what the protocol made of each beat. Second pass: all beats through the top function's
// streams, energy words, their channels and the counters compared. The last line is JSON; the exit status is 0 only
// without a mismatch. The file's format is that of venom_hw/codegen/vectors.py.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "venom.h"

namespace {

struct Tensor {
    std::string name;
    unsigned words;
    unsigned bytes;
    std::vector<unsigned> shape;
};

struct Header {
    char magic[8];
    uint32_t version, channels, revisit, max_steps, beats, results, tensors, abandoned, overlong;
};

struct Beat {
    uint32_t tdata, tuser, idle;
    uint8_t last, flags;
    uint16_t reserved;
};

struct Result {
    uint32_t beat, channel, tdata;
};

struct Mismatch {
    unsigned channel;
    long long sample;
    std::string tensor;
    unsigned index;
    long long expected, found;
};

class Comparison {
  public:
    long long compared = 0;
    long long mismatches = 0;
    Mismatch first;

    void check(long long expected, long long found, unsigned channel, long long sample, const char *tensor, unsigned index) {
        compared++;
        if (expected != found && mismatches++ == 0) {
            first = Mismatch{channel, sample, tensor, index, expected, found};
        }
    }
};

class Reader {
  public:
    explicit Reader(const char *path) : file_(fopen(path, "rb")), good_(file_ != nullptr) {}
    ~Reader() {
        if (file_) fclose(file_);
    }
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;

    template <class T>
    T get() {
        T value;
        memset(static_cast<void *>(&value), 0, sizeof value);
        read(&value, sizeof value);
        return value;
    }
    void read(void *into, size_t bytes) {
        if (good_) good_ = fread(into, 1, bytes, file_) == bytes;
    }
    bool good() const { return good_; }

  private:
    FILE *file_;
    bool good_;
};

long long word_at(const std::vector<uint8_t> &words, size_t at, unsigned bytes) {
    int64_t value = 0;
    memcpy(&value, &words[at], bytes);
    const int unused = 64 - 8 * static_cast<int>(bytes);
    return static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused;
}

std::string subscript(const Tensor &tensor, unsigned index) {
    std::string text;
    for (size_t axis = tensor.shape.size(); axis-- > 0;) {
        text = std::to_string(index % tensor.shape[axis]) + (text.empty() ? "" : "," + text);
        index /= tensor.shape[axis];
    }
    return text;
}

void engine_pass(const std::vector<Beat> &beats, const std::vector<Result> &results, const std::vector<Tensor> &tensors,
                 Reader &reader, Comparison &comparison) {
    size_t bytes = 0;
    for (const Tensor &tensor : tensors) bytes += static_cast<size_t>(tensor.words) * tensor.bytes;
    std::vector<uint8_t> words(bytes);
    std::vector<long long> sample_of(CHANNELS, -1);
    size_t next_result = 0;
    venom_reset();
    for (size_t b = 0; b < beats.size(); b++) {
        const Beat &beat = beats[b];
        const unsigned channel = beat.tuser & ((1u << CHANNEL_BITS) - 1);
        const unsigned char start = (beat.tuser >> CHANNEL_BITS) & 1;
        unsigned word = 0;
        venom_idle(beat.idle);
        const int flags = venom_sample(beat.tdata, channel, start, beat.last, &word);
        sample_of[channel] = start ? 0 : sample_of[channel] + 1;
        const long long sample = sample_of[channel];
        comparison.check(beat.flags, flags, channel, sample, "protocol", 0);
        if (beat.flags & VENOM_RESULT) {
            const Result &result = results[next_result++];
            comparison.check(result.tdata & 0xFFFF, word & 0xFFFF, channel, sample, "energy", 0);
            comparison.check(int16_t(result.tdata >> 16), int16_t(word >> 16), channel, sample, "log_variance", 0);
        }
        if (beat.flags & (VENOM_IGNORED | VENOM_OVERLONG)) continue;
        reader.read(words.data(), bytes);
        if (!reader.good()) return;
        size_t at = 0;
        int state = 0;
        for (const Tensor &tensor : tensors) {
            for (unsigned i = 0; i < tensor.words; i++, at += tensor.bytes) {
                const long long expected = word_at(words, at, tensor.bytes);
                comparison.check(expected, venom_state(channel, state++), channel, sample, tensor.name.c_str(), i);
            }
        }
    }
}

void stream_pass(const Header &header, const std::vector<Beat> &beats, const std::vector<Result> &results,
                 Comparison &comparison) {
    hls::stream<sample_beat_t> s_axis("s_axis");
    hls::stream<energy_beat_t> m_axis("m_axis");
    unsigned abandoned = 0, overlong = 0, dropped = 0;
    venom_reset();
    for (const Beat &beat : beats) {
        sample_beat_t word;
        word.data = beat.tdata;
        word.user = beat.tuser;
        word.last = beat.last;
        word.keep = -1;
        word.strb = -1;
        s_axis.write(word);
    }
    venom(s_axis, m_axis, &abandoned, &overlong, &dropped);
    size_t found = 0;
    for (; !m_axis.empty(); found++) {
        const energy_beat_t word = m_axis.read();
        if (found >= results.size()) continue;
        const Result &result = results[found];
        const long long at = result.beat;
        comparison.check(result.tdata, word.data.to_uint(), result.channel, at, "m_axis.data", 0);
        comparison.check(result.channel, word.user.to_uint(), result.channel, at, "m_axis.user", 0);
        comparison.check(1, word.last.to_uint(), result.channel, at, "m_axis.last", 0);
        comparison.check(15, word.keep.to_uint() & word.strb.to_uint(), result.channel, at, "m_axis.keep", 0);
    }
    comparison.check(static_cast<long long>(results.size()), static_cast<long long>(found), 0, -1, "m_axis.beats", 0);
    comparison.check(header.abandoned, abandoned, 0, -1, "abandoned_count", 0);
    comparison.check(header.overlong, overlong, 0, -1, "overlong_count", 0);
    comparison.check(0, dropped, 0, -1, "dropped_count", 0);
}

int refuse(const char *path, const char *what) {
    fprintf(stderr, "%s: %s\n", path, what);
    return 2;
}

}  // namespace

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "vectors.bin";
    Reader reader(path);
    const Header header = reader.get<Header>();
    if (!reader.good() || memcmp(header.magic, "VENOMVEC", 8) != 0 || header.version != 1) {
        return refuse(path, "not a vector file of version 1");
    }
    if (header.channels != unsigned(CHANNELS) || header.revisit < unsigned(REVISIT) ||
        header.max_steps != unsigned(MAX_STEPS)) {
        return refuse(path, "made for other channels, revisit distance or window length than this design");
    }
    std::vector<Tensor> tensors(header.tensors);
    int state_words = 0;
    for (Tensor &tensor : tensors) {
        char name[64];
        reader.read(name, sizeof name);
        name[63] = 0;
        tensor.name = name;
        tensor.words = reader.get<uint32_t>();
        tensor.bytes = reader.get<uint32_t>();
        tensor.shape.resize(reader.get<uint32_t>());
        for (unsigned &size : tensor.shape) size = reader.get<uint32_t>();
        state_words += int(tensor.words);
    }
    if (state_words != STATE_WORDS) return refuse(path, "another number of state words than this design");
    std::vector<Beat> beats(header.beats);
    if (!beats.empty()) reader.read(beats.data(), beats.size() * sizeof(Beat));
    std::vector<Result> results(header.results);
    if (!results.empty()) reader.read(results.data(), results.size() * sizeof(Result));
    if (!reader.good()) return refuse(path, "ends early");

    Comparison comparison;
    engine_pass(beats, results, tensors, reader, comparison);
    if (!reader.good()) return refuse(path, "ends early");
    stream_pass(header, beats, results, comparison);

    std::string first = "null";
    if (comparison.mismatches) {
        const Mismatch &m = comparison.first;
        std::string index = std::to_string(m.index);
        for (const Tensor &tensor : tensors) {
            if (tensor.name == m.tensor) index = subscript(tensor, m.index);
        }
        printf("first mismatch: channel %u, sample %lld, %s[%s]: expected %lld, found %lld\n", m.channel, m.sample,
               m.tensor.c_str(), index.c_str(), m.expected, m.found);
        first = "{\"channel\": " + std::to_string(m.channel) + ", \"sample\": " + std::to_string(m.sample) +
                ", \"tensor\": \"" + m.tensor + "\", \"index\": [" + index + "], \"expected\": " +
                std::to_string(m.expected) + ", \"found\": " + std::to_string(m.found) + "}";
    }
    printf("{\"beats\": %zu, \"windows\": %zu, \"compared\": %lld, \"mismatches\": %lld, \"first\": %s}\n", beats.size(),
           results.size(), comparison.compared, comparison.mismatches, first.c_str());
    return comparison.mismatches ? 1 : 0;
}
