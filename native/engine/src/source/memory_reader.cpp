// SPDX-License-Identifier: Apache-2.0
#include "source/memory_reader.hpp"
#include "proc/procfs.hpp"
#include "proc/transfer.hpp"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/uio.h>

namespace pclive {
namespace {

/// What is still to be done of a list of pieces, as the kernel wants it.
class Rest {
  public:
    explicit Rest(std::span<const wire::RunEntry> runs) {
        for (const auto &run : runs)
            parts_.push_back({reinterpret_cast<void *>(run.start), run.pages * kPageSize});
    }
    explicit Rest(std::span<const iovec> parts) : parts_(parts.begin(), parts.end()) {}
    [[nodiscard]] std::span<iovec> parts() { return std::span(parts_).subspan(at_); }
    /// The first `bytes` of it, or all.
    [[nodiscard]] const std::vector<iovec> &first(size_t bytes) {
        first_.clear();
        for (size_t i = at_; i < parts_.size() && bytes; i++) {
            first_.push_back({parts_[i].iov_base, std::min(bytes, parts_[i].iov_len)});
            bytes -= first_.back().iov_len;
        }
        return first_;
    }
    void skip(size_t bytes) {
        while (bytes) {
            auto &part = parts_[at_];
            size_t step = std::min(bytes, part.iov_len);
            part.iov_base = static_cast<uint8_t *>(part.iov_base) + step;
            part.iov_len -= step;
            bytes -= step;
            at_ += part.iov_len == 0;
        }
    }

  private:
    std::vector<iovec> parts_, first_;
    size_t at_ = 0;
};

} // namespace

PageFlags MemoryReader::read(std::span<const wire::RunEntry> runs, uint8_t *to) {
    iovec whole{to, 0};
    for (const auto &run : runs)
        whole.iov_len += run.pages * kPageSize;
    return read(runs, std::span<const iovec>(&whole, 1));
}

PageFlags MemoryReader::read(std::span<const wire::RunEntry> runs, std::span<const iovec> to) {
    PageFlags unreadable;
    Rest rest(runs), room(to);
    size_t done = 0;
    auto advance = [&](size_t bytes) {
        rest.skip(bytes);
        room.skip(bytes);
        done += bytes;
    };
    while (!rest.parts().empty()) {
        auto ours = room.parts();
        const auto &theirs = rest.first(kBytesPerCall);
        ssize_t got = ::process_vm_readv(pid_, ours.data(), ours.size(), theirs.data(), theirs.size(), 0);
        if (got < 0 && errno == ESRCH)
            throw ProcessGone(pid_);
        if (got >= static_cast<ssize_t>(kPageSize)) {
            advance(static_cast<size_t>(got) / kPageSize * kPageSize);
            continue;
        }
        if (size_t bytes = readThroughFile(theirs.front(), ours.front())) {
            advance(bytes);
            continue;
        }
        unreadable.set(done / kPageSize);
        std::memset(ours.front().iov_base, 0, kPageSize);
        advance(kPageSize);
    }
    return unreadable;
}

size_t MemoryReader::readThroughFile(const iovec &from, const iovec &to) {
    if (!file_)
        file_ = openProc(pid_, "mem", O_RDONLY);
    ssize_t got = ::pread(file_.get(), to.iov_base, std::min(from.iov_len, to.iov_len),
                          static_cast<off_t>(reinterpret_cast<uint64_t>(from.iov_base)));
    return got < 0 ? 0 : static_cast<size_t>(got) / kPageSize * kPageSize;
}

bool isZeroPage(const uint8_t *page) {
    // Vectors of the compiler's own: AVX2, SSE2 or NEON, whatever the target has. Most pages differ in the
    // first one.
    using Vector [[gnu::vector_size(32), gnu::may_alias]] = uint64_t;
    constexpr size_t kVectorsPerStep = 8;
    const auto *at = reinterpret_cast<const Vector *>(page);
    const auto *end = reinterpret_cast<const Vector *>(page + kPageSize);
    for (; at < end; at += kVectorsPerStep) {
        Vector any = at[0] | at[1] | at[2] | at[3] | at[4] | at[5] | at[6] | at[7];
        if (any[0] | any[1] | any[2] | any[3])
            return false;
    }
    return true;
}

} // namespace pclive
