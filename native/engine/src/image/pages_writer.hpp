// SPDX-License-Identifier: Apache-2.0
// Writing a pages image by its plan, and summing it on the way.
#pragma once

#include "image/directory.hpp"
#include "image/pages_plan.hpp"
#include "image/sums.hpp"
#include <atomic>
#include <span>

namespace pclive::image {

/// Of a write; for other threads.
struct WriteProgress {
    std::atomic<uint64_t> bytes = 0;   ///< of pages images, written
    std::atomic<bool> stopped = false; ///< set from outside: the write ends with the error "aborted"
};

struct PagesJob {
    std::string name;
    PagesPlan plan;
    const PageSource *source = nullptr; ///< of the plan's pages of a process
};

struct WriteMode {
    bool direct = false; ///< past the page cache, where the file system can
    int nice = 0;        ///< of the threads
};

class PagesWriter {
  public:
    PagesWriter(const Directory &skeleton, const Directory &to, WriteMode mode, WriteProgress &progress)
        : skeleton_(skeleton), to_(to), mode_(mode), progress_(progress) {}

    /// Errors: "no-space", "files", "aborted", and what the source throws.
    ImageSums::Pages write(const PagesJob &job, size_t threads) const;

  private:
    struct File;
    struct Buffer;
    [[nodiscard]] Fd create(const PagesJob &job) const;
    uint32_t writeChunk(const File &file, uint64_t begin, uint64_t end, Buffer &buffer) const;
    void gather(const File &file, uint64_t begin, uint64_t end, Buffer &buffer) const;
    void put(const File &file, uint64_t offset, std::span<iovec> pieces) const;

    const Directory &skeleton_, &to_;
    WriteMode mode_;
    WriteProgress &progress_;
};

} // namespace pclive::image
