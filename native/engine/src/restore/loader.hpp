// SPDX-License-Identifier: Apache-2.0
// Brings the pages of an image into CRIU's process, with several threads.
#pragma once

#include "dest/remote.hpp"
#include "restore/chunks.hpp"
#include <atomic>

namespace pclive::restore {

class Loader {
  public:
    /// `chunks` must outlive the loader. `pid`: CRIU's process. Error "overlay-lost".
    Loader(const Layers &layers, const Chunks &chunks, int pid, unsigned threads);

    /// Returns when everything is there and every sum was right. Errors: "images", "overlay-lost", "aborted".
    void run();
    /// Makes run() fail soon; from any thread.
    void abort() noexcept { stop_ = true; }
    /// Bytes placed so far; from any thread.
    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }

  private:
    class Worker;

    const Layers &layers_;
    const Chunks &chunks_;
    int pid_;
    unsigned threads_;
    std::atomic<uint64_t> bytes_ = 0;
    std::atomic<bool> stop_ = false;
};

/// Asks the kernel to read the pages files ahead, as far as they are not in memory yet. Best effort; blocks
/// while the disk is busy, so it is for a thread of its own.
void readAhead(const Layers &layers, const std::atomic<bool> &stop) noexcept;

} // namespace pclive::restore
