// Writes the state trace (format: sim/state_trace.py); used by sim/dpi_bridge.cpp and sim/state_trace.sv.
//
// Each record is one write(2) to a file opened for appending: nothing is buffered, so the bench may read the file, and
// truncate it, at any time between two clocks.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {
int trace = -1;
std::vector<std::int64_t> record;
}  // namespace

extern "C" {

// 0 when the file is open; an empty path turns the trace off.
int venom_trace_open(const char* path) {
    if (trace >= 0 || !*path) return 0;
    trace = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    if (trace < 0) std::perror(path);
    return trace < 0;
}

// One record: the words of a channel, 64 bits each, the first in the lowest bits.
void venom_trace_record(int channel, int flags, int count, const std::uint32_t* words) {
    if (trace < 0) return;
    record.resize(2 + count);
    record[0] = channel;
    record[1] = flags;
    std::memcpy(record.data() + 2, words, count * sizeof record[0]);
    const auto bytes = static_cast<ssize_t>(record.size() * sizeof record[0]);
    if (write(trace, record.data(), bytes) != bytes) {
        std::perror("state trace");
        _exit(1);
    }
}

}  // extern "C"
