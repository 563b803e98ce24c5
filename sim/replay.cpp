// Replays vector files (venom_hw/codegen/vectors.py) on the RTL of an engine, without any Python in the loop.
//
//   Vtop vectors.bin ...     one file after the other, without a reset in between; all but the last close their windows
//   Vtop -                   the files named on stdin, a line each; "done <file>" is printed after each
//
// Compared are every result beat and, unless built with -DNO_STATES, every state word after every sample that was used
// (through the DPI call of sim/state_trace.sv), at the end the counters. The last line is JSON; the exit status is 0 only
// without a mismatch. Macros: CHANNELS, CHANNEL_BITS, REVISIT, MAX_STEPS, STATE_WORDS, DRAIN (clocks to wait for results).
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

struct Header {
    char magic[8];
    std::uint32_t version, channels, revisit, max_steps, beats, results, tensors, abandoned, overlong;
};

struct Beat {
    std::uint32_t tdata, tuser, idle;
    std::uint8_t last, flags;
    std::uint16_t reserved;
};

struct Result {
    std::uint32_t beat, channel, tdata;
};

struct Tensor {
    std::string name;
    std::uint32_t words, bytes;
    std::vector<std::uint32_t> shape;
};

enum Flags { RESULT = 1, IGNORED = 4, OVERLONG = 8 };

struct Used {  // a beat whose state words are still to come
    std::uint32_t channel;
    long long sample;
};

struct Mismatch {
    std::uint32_t channel;
    long long sample;
    std::string tensor;
    std::uint32_t index;
    long long expected, found;
};

struct Failure {
    std::string what;
};

class Comparison {
  public:
    long long compared = 0, mismatches = 0;
    Mismatch first;

    void check(long long expected, long long found, std::uint32_t channel, long long sample, const char* tensor,
               std::uint32_t index = 0) {
        compared++;
        if (expected != found && mismatches++ == 0) first = {channel, sample, tensor, index, expected, found};
    }
};

// One vector file: header and beats in memory, the state words read as the simulation goes on.
class Vectors {
  public:
    explicit Vectors(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rb")) {
        if (!file_) throw Failure{path + ": cannot be opened"};
        read(&header, sizeof header);
        if (std::memcmp(header.magic, "VENOMVEC", 8) != 0 || header.version != 1) {
            throw Failure{path + ": not a vector file of version 1"};
        }
        if (header.channels != CHANNELS || header.revisit < REVISIT || header.max_steps != MAX_STEPS) {
            throw Failure{path + ": made for other channels, revisit distance or window length than this design"};
        }
        tensors.resize(header.tensors);
        std::uint32_t words = 0;
        for (Tensor& tensor : tensors) {
            char name[64];
            read(name, sizeof name);
            name[63] = 0;
            tensor.name = name;
            read(&tensor.words, 4);
            read(&tensor.bytes, 4);
            std::uint32_t rank;
            read(&rank, 4);
            tensor.shape.resize(rank);
            for (std::uint32_t& size : tensor.shape) read(&size, 4);
            words += tensor.words;
            record_bytes += tensor.words * tensor.bytes;
        }
#ifdef NO_STATES
        words = STATE_WORDS;  // whatever the file holds
#endif
        if (words != STATE_WORDS) throw Failure{path + ": another number of state words than this design"};
        beats.resize(header.beats);
        read(beats.data(), beats.size() * sizeof(Beat));
        results.resize(header.results);
        read(results.data(), results.size() * sizeof(Result));
    }
    ~Vectors() {
        if (file_) std::fclose(file_);
    }
    Vectors(const Vectors&) = delete;
    Vectors& operator=(const Vectors&) = delete;

    void read(void* into, std::size_t bytes) {
        if (bytes && std::fread(into, 1, bytes, file_) != bytes) throw Failure{path_ + ": ends early"};
    }

    Header header;
    std::vector<Tensor> tensors;
    std::vector<Beat> beats;
    std::vector<Result> results;
    std::size_t record_bytes = 0;

  private:
    std::string path_;
    std::FILE* file_;
};

long long word_at(const std::uint8_t* bytes, std::uint32_t size) {
    std::int64_t value = 0;
    std::memcpy(&value, bytes, size);
    const int unused = 64 - 8 * static_cast<int>(size);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << unused) >> unused;
}

// AXI4-Lite inputs, where the design has them: nobody writes.
template <class Top>
auto no_axi(Top& top, int) -> decltype(void(top.s_axi_AWVALID)) {
    top.s_axi_AWVALID = top.s_axi_WVALID = top.s_axi_ARVALID = top.s_axi_BREADY = top.s_axi_RREADY = 0;
}
template <class Top>
void no_axi(Top&, long) {}

class Bench {
  public:
    Bench() : sample_of_(CHANNELS, -1), open_(CHANNELS, false) {
        no_axi(top, 0);
        top.s_axis_TVALID = 0;
        top.s_axis_TKEEP = top.s_axis_TSTRB = 15;
        top.m_axis_TREADY = 1;
        top.ap_rst_n = 0;
        for (int i = 0; i < 16; i++) clock();
        top.ap_rst_n = 1;
        for (int i = 0; i < 4; i++) clock();
        clocks = 0;
    }

    // All beats of a file; what is still inside the engine comes with the next one, or in `drain`.
    void drive(Vectors& vectors) {
        std::size_t next_result = 0;
        for (std::uint32_t i = 0; i < vectors.header.revisit; i++) clock();
        for (std::uint32_t channel = 0; channel < CHANNELS; channel++) {
            if (open_[channel]) throw Failure{"a window is open at the end of the file before: give that file last"};
        }
        vectors_ = &vectors;
        for (const Beat& beat : vectors.beats) {
            for (std::uint32_t i = 0; i < beat.idle; i++) clock();
            const std::uint32_t channel = beat.tuser & ((1u << CHANNEL_BITS) - 1);
            const bool start = (beat.tuser >> CHANNEL_BITS) & 1;
            top.s_axis_TVALID = 1;
            top.s_axis_TDATA = beat.tdata;
            top.s_axis_TUSER = beat.tuser;
            top.s_axis_TLAST = beat.last;
            int waited = 0;
            while (!top.s_axis_TREADY && waited++ < 64) clock();
            if (waited >= 64) throw Failure{"s_axis_TREADY stays low"};
            sample_of_[channel] = start ? 0 : sample_of_[channel] + 1;
            const bool used = !(beat.flags & (IGNORED | OVERLONG));
            if (!(beat.flags & IGNORED)) open_[channel] = used && !(beat.flags & RESULT);
#ifndef NO_STATES
            if (used) used_.push_back({channel, sample_of_[channel]});
#endif
            if (beat.flags & RESULT) expected_.push_back(vectors.results[next_result++]);
            ignored += (beat.flags & IGNORED) != 0;
            clock();
            top.s_axis_TVALID = 0;
        }
        beats += static_cast<long long>(vectors.beats.size());
        windows += vectors.header.results;
        abandoned += vectors.header.abandoned;
        overlong += vectors.header.overlong;
        for (int i = 0; i < DRAIN && !used_.empty(); i++) clock();  // their state words are in this file
        vectors_ = nullptr;
    }

    void drain() {
        for (long long i = 0; i < DRAIN && !expected_.empty(); i++) clock();
        for (int i = 0; i < 64; i++) clock();  // nothing more may come
        comparison.check(0, static_cast<long long>(expected_.size()), 0, -1, "results missing");
#ifndef NO_STATES
        comparison.check(0, static_cast<long long>(used_.size()), 0, -1, "state records missing");
#endif
        comparison.check(abandoned, top.abandoned_count, 0, -1, "abandoned_count");
        comparison.check(ignored, top.ignored_count, 0, -1, "ignored_count");
        comparison.check(overlong, top.overlong_count, 0, -1, "overlong_count");
        comparison.check(0, top.dropped_count, 0, -1, "dropped_count");
        comparison.check(0, top.revisit_error, 0, -1, "revisit_error");
        top.final();
    }

    void record(std::uint32_t channel, std::uint32_t count, const std::uint32_t* words) {
        if (used_.empty() || !vectors_) {
            comparison.check(0, 1, channel, -1, "state record of no beat");
            return;
        }
        const Used used = used_.front();
        used_.pop_front();
        record_.resize(vectors_->record_bytes);
        vectors_->read(record_.data(), record_.size());
        comparison.check(used.channel, channel, used.channel, used.sample, "channel of the state record");
        comparison.check(STATE_WORDS, count, used.channel, used.sample, "words of the state record");
        if (count != STATE_WORDS) return;
        const std::uint8_t* at = record_.data();
        for (const Tensor& tensor : vectors_->tensors) {
            for (std::uint32_t i = 0; i < tensor.words; i++, at += tensor.bytes, words += 2) {
                std::int64_t found;
                std::memcpy(&found, words, sizeof found);
                comparison.check(word_at(at, tensor.bytes), found, used.channel, used.sample, tensor.name.c_str(), i);
            }
        }
    }

    Vtop top;
    Comparison comparison;
    long long clocks = 0, beats = 0, windows = 0, abandoned = 0, ignored = 0, overlong = 0;
    double seconds = 0;

  private:
    void clock() {
        top.ap_clk = 0;
        top.eval();
        if (top.m_axis_TVALID && top.ap_rst_n) result();
        top.ap_clk = 1;
        top.eval();
        clocks++;
    }

    void result() {
        if (expected_.empty()) {
            comparison.check(0, 1, top.m_axis_TUSER, -1, "result of no window");
            return;
        }
        const Result want = expected_.front();
        expected_.pop_front();
        const long long at = want.beat;
        comparison.check(want.tdata & 0xFFFF, top.m_axis_TDATA & 0xFFFF, want.channel, at, "energy");
        comparison.check(static_cast<std::int16_t>(want.tdata >> 16), static_cast<std::int16_t>(top.m_axis_TDATA >> 16),
                         want.channel, at, "log_variance");
        comparison.check(want.channel, top.m_axis_TUSER, want.channel, at, "m_axis_TUSER");
        comparison.check(1, top.m_axis_TLAST, want.channel, at, "m_axis_TLAST");
        comparison.check(15, top.m_axis_TKEEP & top.m_axis_TSTRB, want.channel, at, "m_axis_TKEEP");
    }

    std::vector<long long> sample_of_;
    std::vector<bool> open_;  // windows, after the beats driven so far
    std::deque<Used> used_;
    std::deque<Result> expected_;
    std::vector<std::uint8_t> record_;
    Vectors* vectors_ = nullptr;
};

Bench* running = nullptr;

std::string subscript(const std::vector<std::uint32_t>& shape, std::uint32_t index) {
    std::string text;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        text = std::to_string(index % shape[axis]) + (text.empty() ? "" : ", " + text);
        index /= shape[axis];
    }
    return text;
}

}  // namespace

#ifndef NO_STATES
extern "C" int venom_trace_open(const char*) { return 0; }
extern "C" void venom_trace_record(int channel, int, int count, const std::uint32_t* words) {
    if (running) running->record(static_cast<std::uint32_t>(channel), static_cast<std::uint32_t>(count), words);
}
#endif

double sc_time_stamp() { return 0; }

int main(int argc, char** argv) try {
    Verilated::commandArgs(argc, argv);
    if (argc < 2) return std::fprintf(stderr, "usage: Vtop vectors.bin ... | -\n"), 2;
    Bench bench;
    running = &bench;
    std::vector<Tensor> tensors;
    auto replay = [&](const std::string& path) {
        Vectors vectors(path);
        tensors = vectors.tensors;
        const auto begin = std::chrono::steady_clock::now();
        bench.drive(vectors);
        bench.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    if (std::string(argv[1]) == "-") {
        for (std::string path; std::getline(std::cin, path);) {
            replay(path);
            std::cout << "done " << path << std::endl;
        }
    } else {
        for (int i = 1; i < argc && argv[i][0] != '+'; i++) replay(argv[i]);
    }
    bench.drain();
    const Comparison& c = bench.comparison;
    std::string first = "null";
    if (c.mismatches) {
        std::string index = std::to_string(c.first.index);
        for (const Tensor& tensor : tensors) {
            if (tensor.name == c.first.tensor) index = subscript(tensor.shape, c.first.index);
        }
        first = "{\"channel\": " + std::to_string(c.first.channel) + ", \"sample\": " + std::to_string(c.first.sample) +
                ", \"tensor\": \"" + c.first.tensor + "\", \"index\": [" + index +
                "], \"expected\": " + std::to_string(c.first.expected) + ", \"found\": " + std::to_string(c.first.found) + "}";
    }
    std::printf("{\"beats\": %lld, \"windows\": %lld, \"compared\": %lld, \"mismatches\": %lld, \"clocks\": %lld, "
                "\"seconds\": %.3f, \"first\": %s}\n",
                bench.beats, bench.windows, c.compared, c.mismatches, bench.clocks, bench.seconds, first.c_str());
    return c.mismatches ? 1 : 0;
} catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.what.c_str());
    return 2;
}
